"""The loop: a generator of logs that the caller reads, saves and stops as it likes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from longcut.core import Batch, Method
from longcut.core.distributed import world_size

Precision = Literal["fp32", "bf16", "fp16"]
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def train(
    method: Method,
    batches: Iterable[Batch],
    optimizer: Optimizer,
    *,
    scheduler: LRScheduler | None = None,
    scaler: torch.amp.GradScaler | None = None,
    precision: Precision = "fp32",
    accumulate: int = 1,
) -> Iterator[dict[str, Tensor]]:
    """Train a method, one optimizer step for each dict of terms that it yields.

    Between two logs no generator is open and nothing is half done: the place to evaluate, save or stop.

    Args:
        method: trained in place; on several processes its gradients are averaged.
        batches: this process's share of each global batch.
        optimizer: over the method's parameters; those without a gradient in a yield are left alone.
        scheduler: stepped once after each log's batches.
        scaler: for fp16, where gradients would underflow; one is made where None.
        precision: of the forward passes, by autocast.
        accumulate: how many batches make one step.

    Yields:
        The terms of the step, detached and on the device, and their sum as `loss`; no value is read, so nothing waits.

    Raises:
        ValueError: the method is not one whose batches can be accumulated, reads fields that the batches lack, or
            yields more often for one of the batches of a step than for another.
    """
    check_accumulation(method, accumulate)
    if precision == "fp16" and scaler is None:
        scaler = torch.amp.GradScaler(next(method.parameters()).device.type)
    step = _Step(_advance(method), optimizer, scaler, precision)
    batches = iter(batches)
    while group := list(islice(batches, accumulate)):
        method.train()
        logs = step(method, group)
        method.after_update()
        if scheduler is not None:
            scheduler.step()
        yield logs


def check_accumulation(method: Method, accumulate: int) -> None:
    """Refuse to accumulate the batches of a method for which they are not one larger batch.

    Raises:
        ValueError: `accumulate` is above 1 and the method does not say that it `accumulates`.
    """
    if accumulate > 1 and not method.accumulates:
        raise ValueError(
            f"{type(method).__name__} cannot accumulate: what it computes depends on the whole batch at once; "
            "leave accumulate at 1 and take a smaller batch_size"
        )


class _Advance(nn.Module):
    """Move an open training step to its next yield; what DistributedDataParallel wraps.

    It holds the trainable parameters and no buffers, so nothing is broadcast over a process's own state. The end of
    the step leaves it as StopIteration, before DistributedDataParallel prepares to average.
    """

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.trainable = nn.ParameterList(p for p in method.parameters() if p.requires_grad)

    def forward(self, step: Iterator[dict[str, Tensor]]) -> dict[str, Tensor]:
        return next(step)


def _advance(method: Method) -> nn.Module:
    if world_size() == 1:
        return _Advance(method)
    # Alternating yields use different parameters, and without this flag buckets are rebuilt, which a resumed run
    # on three or more processes does not repeat.
    return DistributedDataParallel(_Advance(method), find_unused_parameters=True)


class _Step:
    """All optimizer steps of one group of batches."""

    def __init__(
        self, advance: nn.Module, optimizer: Optimizer, scaler: torch.amp.GradScaler | None, precision: Precision
    ) -> None:
        self._advance = advance
        self._optimizer = optimizer
        self._scaler = scaler
        self._precision = precision

    def __call__(self, method: Method, group: list[Batch]) -> dict[str, Tensor]:
        steps = [iter(method.training_step(batch)) for batch in group]
        device = group[0].images.device.type
        logs: dict[str, Tensor] = {}
        while terms := self._backward(steps, device):
            self._update()
            logs |= terms
        return logs | {"loss": torch.stack([*logs.values()]).sum()}

    def _backward(self, steps: list[Iterator[dict[str, Tensor]]], device: str) -> dict[str, Tensor]:
        """Gradients of the next yield of every open step, and the means of its terms; empty when all are at their end.

        Raises:
            ValueError: one is at its end before another.
        """
        sums: dict[str, Tensor] = {}
        for place, step in enumerate(steps):
            with self._synchronised(last=place == len(steps) - 1):
                try:
                    with self._autocast(device):
                        terms = self._advance(step)
                except StopIteration:
                    self._end(steps, place, device)
                    return {}
                if place == 0:
                    self._optimizer.zero_grad(set_to_none=True)
                loss = torch.stack([*terms.values()]).sum() / len(steps)
                (loss if self._scaler is None else self._scaler.scale(loss)).backward()
            for name, term in terms.items():
                sums[name] = sums.get(name, 0) + term.detach() / len(steps)
        return sums

    def _end(self, steps: list[Iterator[dict[str, Tensor]]], ended: int, device: str) -> None:
        """Run what all other steps do after their last yield, where one of them has ended."""
        with self._autocast(device):
            if ended > 0 or any(next(step, None) is not None for step in steps[1:]):
                raise ValueError("the slices of one step yield unequally often: leave accumulate at 1") from None

    def _autocast(self, device: str) -> AbstractContextManager[object]:
        return torch.autocast(device, _DTYPES.get(self._precision), enabled=self._precision != "fp32")

    def _synchronised(self, *, last: bool) -> AbstractContextManager[None]:
        if last or not isinstance(self._advance, DistributedDataParallel):
            return nullcontext()
        return self._advance.no_sync()

    def _update(self) -> None:
        if self._scaler is None:
            self._optimizer.step()
        else:
            self._scaler.step(self._optimizer)
            self._scaler.update()
