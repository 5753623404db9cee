"""What sits on a backbone's features: projectors, and the linear head that looks on."""

from __future__ import annotations

import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from longcut.core.distributed import world_size
from longcut.methods.checks import check_counts


def mlp(dim: int, hidden: int, out: int, *, batch_norm: bool = False) -> nn.Sequential:
    """Two linear layers with a ReLU between them: a projector, or a predictor.

    Args:
        dim: length of what comes in.
        hidden: length in between.
        out: length of the embedding.
        batch_norm: as BYOL has it: BatchNorm before the ReLU, and no biases, which it and the cosine make idle.

    Raises:
        ValueError: a length below 1.
    """
    check_counts(hidden=hidden, dim=out)
    between: list[nn.Module] = [nn.BatchNorm1d(hidden)] if batch_norm else []
    return nn.Sequential(
        nn.Linear(dim, hidden, bias=not batch_norm),
        *between,
        nn.ReLU(inplace=True),
        nn.Linear(hidden, out, bias=not batch_norm),
    )


class OnlineHead(nn.Linear):
    """A linear classifier that learns on features while they are learnt, and gives them no gradient.

    Args:
        dim: length of the features.
        num_classes: how many classes there are; with 0 it has one output and rests.
    """

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__(dim, max(1, num_classes))

    def loss(self, features: Float[Tensor, "b d"], targets: Int[Tensor, " b"]) -> Tensor:
        """Mean cross-entropy of the labelled samples, those whose target is not -1.

        Where none is labelled, an exact zero with a graph. On several processes the mean is that of the global batch:
        each divides by its share of all labelled samples.
        """
        total = functional.cross_entropy(self(features.detach()), targets, ignore_index=-1, reduction="sum")
        count = (targets != -1).sum()
        if world_size() > 1:
            dist.all_reduce(count)
        return total * world_size() / count.clamp(min=1)
