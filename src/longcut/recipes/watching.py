"""The losses of a run, watched without waiting for the device at every step."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from longcut.core.distributed import world_size
from longcut.data.image_set import ImageSet
from longcut.data.order import Order
from longcut.engine.train import Precision
from longcut.evaluation.finite import NotFiniteError


class DivergedError(NotFiniteError):
    """The loss of a run is no finite number any more."""


class LossWatch:
    """Keeps the losses of the steps since it last looked at them.

    Args:
        order: of the batches.
        images: that the batches are of.
        checkpoint: file to go back to; None where there is none.
        precision: of the forward passes.
        what: whose loss it is, for the message.
    """

    def __init__(
        self,
        order: Order,
        images: ImageSet,
        checkpoint: Path | None,
        *,
        precision: Precision,
        what: str = "the loss",
    ) -> None:
        self._order = order
        self._images = images
        self._checkpoint = checkpoint
        self._precision = precision
        self._what = what
        self._losses: list[Tensor] = []

    def add(self, loss: Tensor) -> None:
        """Keep the loss of a step, on the device."""
        self._losses.append(loss)

    def check(self, step: int) -> None:
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
            raise DivergedError(self._told(first + int(finite.argmin())))

    def _told(self, step: int) -> str:
        _, indices = next(self._order.keys(step - 1, step))
        names = ", ".join(self._images.paths[i] for i in indices[:3])
        more = f" and {len(indices) - 3} more" if len(indices) > 3 else ""
        advice = "try a lower lr" if self._precision == "fp32" else "try a lower lr, or precision=fp32"
        return f"{self._what} is not finite at step {step}, whose batch holds {names}{more}: {advice}{self._way_back()}"

    def _way_back(self) -> str:
        kept = self._checkpoint
        if kept is None:
            return ""
        return f"; the last good checkpoint is {kept}" if kept.exists() else "; no checkpoint was written before it"
