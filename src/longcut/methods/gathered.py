"""Rows of the global batch: this process's among them, and similarities to all of them."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from longcut.core.distributed import gather, rank, world_size
from longcut.losses.mass import at_least_float32


def own_rows(tensor: Tensor, *, dim: int = 0) -> Tensor:
    """This process's rows of what was gathered from all, or is the same on all."""
    return tensor.chunk(world_size(), dim)[rank()]


def gather_with_gradient(tensor: Tensor) -> Tensor:
    """Rows of all processes in the order of their ranks, with gradient for all of them.

    A row is an anchor on its own process and a negative on the others. The gradients of all these parts are summed, so
    that after DistributedDataParallel's mean a step equals that of one process with the global batch.

    Args:
        tensor: `[b, ...]`, of the same shape on every rank.

    Returns:
        `[world * b, ...]`; the tensor itself where there is one process.
    """
    if world_size() == 1:
        return tensor
    gathered: Tensor = _GatherWithGradient.apply(tensor)
    return gathered


def similarities_to_all(
    embeddings: Float[Tensor, "b d"],
) -> tuple[Float[Tensor, "b k"], Int[Tensor, " b"]]:
    """Cosine of each embedding to those of all processes, with gradient for both, in float32 at least.

    Args:
        embeddings: of any length.

    Returns:
        The cosines, whose columns are in the order of the ranks, and the column of each row itself.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        units = functional.normalize(at_least_float32(embeddings), dim=1)
        similarities = units @ gather_with_gradient(units).T
    return similarities, torch.arange(len(units), device=units.device) + rank() * len(units)


class _GatherWithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return gather(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return own_rows(gradient)
