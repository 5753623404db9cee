"""The losses and the weights of a run, watched without waiting for the device at every step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.utils import get_total_norm

from longcut.core import Method
from longcut.core.distributed import world_size
from longcut.data.image_set import ImageSet
from longcut.data.order import Order
from longcut.engine.run_folder import CHECKPOINTS, holds_nothing, kept_checkpoints
from longcut.engine.train import Precision
from longcut.evaluation.finite import NotFiniteError


class DivergedError(NotFiniteError):
    """The loss of a run, or what it trains, is no finite number any more."""


class Watch:
    """Keeps the losses of the steps since it last looked at them, and looks at the method where that is to be kept.

    Args:
        method: that is trained.
        order: of the batches.
        images: that the batches are of.
        folder: of the run, for what to go back to; None where nothing is kept on the way.
        precision: of the forward passes.
        whose: what is trained, for the message, where that is not the run's own method.
    """

    def __init__(
        self,
        method: Method,
        order: Order,
        images: ImageSet,
        folder: Path | None,
        *,
        precision: Precision,
        whose: str = "",
    ) -> None:
        self._method = method
        self._order = replace(order, accumulate=1, rank=0, world_size=1)
        self._images = images
        self._folder = folder
        self._precision = precision
        self._of = whose and f" of {whose}"
        self._losses: list[Tensor] = []
        self._sound = 0

    def add(self, loss: Tensor) -> None:
        """Keep the loss of a step, on the device."""
        self._losses.append(loss)

    def check_losses(self, step: int) -> None:
        """Look at the losses up to a step.

        Raises:
            DivergedError: one is no finite number: names the first such step, images of its batch and the last
                checkpoint.
        """
        if not self._losses:
            return
        finite = torch.stack(self._losses).isfinite().int()
        first = step - len(self._losses) + 1
        self._losses.clear()
        if world_size() > 1:
            dist.all_reduce(finite, dist.ReduceOp.MIN)
        if not finite.all():
            diverged = first + int(finite.argmin())
            said = f"the loss{self._of} is not finite at step {diverged}, whose batch holds {self._batch(diverged)}"
            raise DivergedError(said + self._way_out())

    def check(self, step: int) -> None:
        """Look at the losses up to a step, and at what its updates made of the method: before that is used or kept.

        Raises:
            DivergedError: as `check_losses`; or a parameter or buffer is not finite.
        """
        self.check_losses(step)
        if step == self._sound:
            return
        broken = _not_finite(self._method)
        count = torch.tensor(len(broken))
        if world_size() > 1:
            dist.all_reduce(count, dist.ReduceOp.MAX)
        if count:
            first = f" ({broken[0]} is the first)" if broken else ""
            raise DivergedError(f"the weights{self._of} are not finite after step {step}{first}{self._way_out()}")
        self._sound = step

    def _batch(self, step: int) -> str:
        """The first images of a step's batch, over all its slices and processes."""
        _, indices = next(self._order.keys(step - 1, step))
        names = ", ".join(self._images.paths[i] for i in indices[:3])
        return names + (f" and {len(indices) - 3} more" if len(indices) > 3 else "")

    def _way_out(self) -> str:
        advice = ": try a lower lr" if self._precision == "fp32" else ": try a lower lr, or precision=fp32"
        if self._folder is None:
            return advice
        kept = kept_checkpoints(self._folder)
        before = (
            f"the last good checkpoint is {self._folder / CHECKPOINTS[kept[0]]}"
            if kept
            else "no checkpoint was written before it"
        )
        elsewhere = "" if holds_nothing(self._folder) else ", with another --out"
        return f"{advice}{elsewhere}; {before}"


def _not_finite(method: Method) -> list[str]:
    """Names of the parameters and buffers that hold a value which is no finite number; the device is waited for."""
    state = {name: tensor for name, tensor in method.state_dict().items() if tensor.is_floating_point()}
    if get_total_norm(state.values()).isfinite():
        return []
    return [name for name, tensor in state.items() if not tensor.isfinite().all()]  # none, where the norm overflowed
