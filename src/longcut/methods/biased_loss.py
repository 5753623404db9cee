"""What trains a biased network: a loss that holds to the bias, or data from which its exceptions are taken."""

from __future__ import annotations

import torch.distributed as dist
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from longcut.core.distributed import world_size
from longcut.losses.robust import generalized_cross_entropy


def biased_loss(
    logits: Float[Tensor, "b n"],
    targets: Int[Tensor, " b"],
    amplified: Bool[Tensor, " b"] | None,
    *,
    q: float = 0.7,
    authors_gce: bool = False,
) -> Tensor:
    """The loss of a biased network on a batch: LfF's on all samples, or BiasEnsemble's on the amplified set.

    Args:
        logits: of the biased network.
        targets: labels, 0 to n - 1.
        amplified: members of the bias-amplified set, over whose cross-entropy the mean is taken; None takes the mean
            of the generalized cross-entropy over the batch.
        q: of the generalized cross-entropy.
        authors_gce: the generalized cross-entropy as LfF's code has it, with a gradient q times as large.

    Source:
        Nam et al., "Learning from failure" (NeurIPS 2020); Lee et al., "Revisiting the importance of amplifying bias
        for debiasing" (AAAI 2023).
    """
    if amplified is None:
        return generalized_cross_entropy(logits, targets, q, authors_gce=authors_gce).mean()
    return amplified_mean(functional.cross_entropy(logits, targets, reduction="none"), amplified)


def amplified_mean(losses: Float[Tensor, " b"], amplified: Bool[Tensor, " b"]) -> Tensor:
    """Mean loss of the samples in the bias-amplified set.

    Where a batch has none, an exact zero with a graph. On several processes the mean is that of the global batch: each
    divides by its share of all members.

    Args:
        losses: of all samples of the batch.
        amplified: which of them are members.
    """
    total = losses.masked_fill(~amplified, 0).sum()
    count = amplified.sum()
    if world_size() > 1:
        dist.all_reduce(count)
    return total * world_size() / count.clamp(min=1)
