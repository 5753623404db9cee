"""What code inside a step needs to know of other processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Result = TypeVar("Result")


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This process's place among those that train together, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


@torch.no_grad()
def gather(tensor: Tensor) -> Tensor:
    """Rows of all processes in the order of their ranks, without gradient.

    Args:
        tensor: `[b, ...]`, of the same shape on every rank.

    Returns:
        `[world * b, ...]`; the tensor itself, detached, where there is one process.
    """
    tensor = tensor.detach()
    if world_size() == 1:
        return tensor
    tensor = tensor.contiguous()  # what is received has the layout of what is sent
    parts = [torch.empty_like(tensor) for _ in range(world_size())]
    dist.all_gather(parts, tensor)
    return torch.cat(parts)


def on_first_process_first(function: Callable[[], Result]) -> Result:
    """Call a function on the first process, then on the others: what the first one writes, the others find.

    An error on the first process is raised on all of them, on the others as the `ValueError`, `OSError` or
    `MemoryError` that it is, and as a `RuntimeError` where it is something else. An interrupt does not wait until they
    have heard of it: as the first process leaves the group, their wait ends with torch's error.
    """
    if world_size() == 1:
        return function()
    failure: Exception | None = None
    result: Result | None = None
    if rank() == 0:
        try:
            result = function()
        except Exception as error:
            failure = error
    told = [failure and _for_others(failure)]
    dist.broadcast_object_list(told, 0)
    failure = failure or told[0]
    if failure is not None:
        raise failure
    return function() if rank() != 0 else result  # type: ignore[return-value]


def _for_others(error: Exception) -> Exception:
    """An error with the meaning of another, of a class that every process can read."""
    if isinstance(error, OSError) and error.errno is not None:
        return OSError(error.errno, error.strerror, error.filename)
    for kind in (ValueError, OSError, MemoryError):
        if isinstance(error, kind):
            return kind(str(error))
    return RuntimeError(f"{type(error).__name__} on the first process: {error}")
