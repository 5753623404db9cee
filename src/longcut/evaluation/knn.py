"""The weighted nearest-neighbour classifier on frozen features."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

_AT_ONCE = 2**26  # similarities that are held at a time


@torch.no_grad()
def knn_votes(
    features: Float[Tensor, "s d"],
    targets: Int[Tensor, " s"],
    queries: Float[Tensor, "q d"],
    *,
    num_classes: int,
    neighbours: int = 200,
    temperature: float = 0.1,
) -> Float[Tensor, "q n"]:
    """Share of the vote that each class gets from a query's nearest neighbours by cosine.

    Of the `neighbours` most similar samples each votes for its class with the weight exp(cosine / temperature). Only
    the queries are cut into parts: at no time are more than about 64 million similarities held.

    Args:
        features: of the labelled samples, of any length.
        targets: their classes, 0 to `num_classes - 1`.
        queries: features to classify.
        num_classes: how many classes there are.
        neighbours: k; all samples where there are fewer.
        temperature: the smaller, the more the nearest ones count.

    Returns:
        Votes that sum to 1 for each query; the prediction is the largest.

    Raises:
        ValueError: there is no sample, or k or the temperature is not positive.

    Source:
        Wu et al., "Unsupervised feature learning via non-parametric instance discrimination" (CVPR 2018), section 3.4.
    """
    if len(features) == 0:
        raise ValueError("nearest neighbours need at least one labelled sample")
    if neighbours < 1:
        raise ValueError(f"neighbours must be at least 1, not {neighbours}")
    if not temperature > 0:
        raise ValueError(f"the temperature of nearest neighbours must be positive, not {temperature}")
    known, k = functional.normalize(features, dim=1), min(neighbours, len(features))
    parts = []
    for part in queries.split(max(1, _AT_ONCE // len(features))):
        nearest, places = (functional.normalize(part, dim=1) @ known.T).topk(k, dim=1)
        weights = (nearest / temperature).softmax(dim=1)  # exp(s / t), divided by its sum: no overflow at any t
        votes = weights.new_zeros(len(part), num_classes)
        parts.append(votes.scatter_add_(1, targets[places], weights))
    return torch.cat(parts) if parts else queries.new_zeros(0, num_classes)
