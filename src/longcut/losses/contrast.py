"""The contrastive core, on similarities, and InfoNCE, its front on embeddings."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional


def contrast(
    positive: Float[Tensor, " b"],
    negatives: Float[Tensor, "b k"],
    mask: Bool[Tensor, "b k"] | None = None,
    *,
    temperature: float = 0.2,
    negative_scale: float | Float[Tensor, " k"] = 1.0,
) -> Float[Tensor, " b"]:
    r"""Cross-entropy of telling the positive from its negatives, given their similarities.

    .. math:: -\log \frac{e^{s^+/t}}{e^{s^+/t} + \sum_k e^{a\,s_k/t}}

    Computed in float32 at least, whatever the autocast, and by log-sum-exp, so that no temperature overflows.

    Args:
        positive: similarity of each anchor to its positive.
        negatives: similarity of each anchor to each of its negatives.
        mask: True where a negative counts; an anchor without any has loss 0.
        temperature: divides every similarity.
        negative_scale: multiplies the negatives' similarities inside the exponent, one number or one for each.

    Returns:
        One loss per anchor, in nats.

    Source:
        Oord et al., "Representation learning with contrastive predictive coding" (2018); Wang et al., "CLAD"
        (BMVC 2022), equation 1.
    """
    positive, negatives = _at_least_float32(positive), _at_least_float32(negatives)
    negatives = negatives * negative_scale
    if mask is not None:
        negatives = negatives.masked_fill(~mask, -torch.inf)
    logits = torch.cat([positive[:, None], negatives], dim=1) / temperature
    return logits.logsumexp(dim=1) - positive / temperature


def info_nce(
    anchors: Float[Tensor, "b d"],
    positives: Float[Tensor, "b d"],
    negatives: Float[Tensor, "b k d"],
    *,
    temperature: float = 0.2,
    negative_scale: float = 1.0,
    mask: Bool[Tensor, "b k"] | None = None,
) -> Float[Tensor, " b"]:
    """InfoNCE on embeddings: `contrast` of cosine similarities.

    Args:
        anchors: embeddings, of any length.
        positives: the embedding that each anchor should be close to.
        negatives: the embeddings that each anchor should be far from.
        temperature: divides every cosine.
        negative_scale: multiplies the negatives' cosines inside the exponent.
        mask: True where a negative counts; all do by default.

    Returns:
        One loss per anchor, in nats.

    Source:
        Wang et al., "CLAD" (BMVC 2022), equation 1.
    """
    with torch.autocast(anchors.device.type, enabled=False):
        anchors = functional.normalize(_at_least_float32(anchors), dim=-1)
        positives = functional.normalize(_at_least_float32(positives), dim=-1)
        negatives = functional.normalize(_at_least_float32(negatives), dim=-1)
        positive = torch.einsum("bd,bd->b", anchors, positives)
        negative = torch.einsum("bd,bkd->bk", anchors, negatives)
    return contrast(positive, negative, mask, temperature=temperature, negative_scale=negative_scale)


def cosine(first: Float[Tensor, "b d"], second: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
    """Cosine similarity of each row of one to the same row of the other, in float32 at least."""
    return functional.cosine_similarity(_at_least_float32(first), _at_least_float32(second), dim=-1)


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
