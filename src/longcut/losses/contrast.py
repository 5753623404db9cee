"""The contrastive core, on similarities, and InfoNCE, its front on embeddings."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from longcut.losses.mass import at_least_float32, bank_mass, log_mass

__all__ = ["bank_mass", "contrast", "contrast_with", "cosine", "info_nce", "log_mass", "supervised_contrast"]


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
    mass = log_mass(negatives, mask, temperature=temperature, scale=negative_scale)
    return contrast_with(positive, mass, temperature=temperature)


def contrast_with(
    positive: Float[Tensor, " b"], *masses: Float[Tensor, " b"], temperature: float
) -> Float[Tensor, " b"]:
    r"""`contrast` against groups of negatives of which each anchor's log mass is known.

    .. math:: -\log \frac{e^{s^+/t}}{e^{s^+/t} + \sum_j e^{m_j}}

    Groups with scales of their own, a shared bank (`bank_mass`) or weighted negatives join so without a copy.

    Args:
        positive: similarity of each anchor to its positive.
        masses: what `log_mass` and its like give; minus infinity is no negative at all.
        temperature: divides the positive's similarity.

    Returns:
        One loss per anchor, in nats.

    Raises:
        ValueError: no mass is given.

    Source:
        Ge et al., "Robust contrastive learning using negative samples with diminished semantics" (NeurIPS 2021),
        equation 1, is the loss with a group of its own scale.
    """
    if not masses:
        raise ValueError("contrast_with needs at least one log mass of negatives, not none")
    mass = masses[0] if len(masses) == 1 else log_mass(torch.stack(masses, dim=1), temperature=1.0)
    # Beyond a difference of 40 the positive is under the last bit of float64.
    return functional.softplus(mass - at_least_float32(positive) / temperature, threshold=40)


def supervised_contrast(
    similarities: Float[Tensor, "b k"],
    positives: Bool[Tensor, "b k"],
    candidates: Bool[Tensor, "b k"],
    *,
    temperature: float,
) -> Float[Tensor, " b"]:
    r"""Contrast with several positives, the mean over them outside the logarithm (:math:`L_\text{out}`).

    .. math:: -\frac{1}{|P|} \sum_{p \in P} \log \frac{e^{s_p/t}}{\sum_{c \in C} e^{s_c/t}}

    With one positive for each anchor, this is NT-Xent.

    Args:
        similarities: of each anchor to each candidate.
        positives: True where a candidate is a positive, as one of the same class.
        candidates: True for all that is compared with, the positives too; False for the anchor itself.
        temperature: divides every similarity.

    Returns:
        One loss per anchor, in nats; 0 where an anchor has no positive.

    Source:
        Khosla et al., "Supervised contrastive learning" (NeurIPS 2020), equation 2.
    """
    similarities = at_least_float32(similarities)
    mass = log_mass(similarities, candidates, temperature=temperature)
    count = positives.sum(dim=1)
    mean = (similarities * positives).sum(dim=1) / count.clamp(min=1)
    return torch.where(count > 0, mass - mean / temperature, 0)


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
        anchors = functional.normalize(at_least_float32(anchors), dim=-1)
        positives = functional.normalize(at_least_float32(positives), dim=-1)
        negatives = functional.normalize(at_least_float32(negatives), dim=-1)
        positive = torch.einsum("bd,bd->b", anchors, positives)
        negative = torch.einsum("bd,bkd->bk", anchors, negatives)
    return contrast(positive, negative, mask, temperature=temperature, negative_scale=negative_scale)


def cosine(first: Float[Tensor, "b d"], second: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
    """Cosine similarity of each row of one to the same row of the other, in float32 at least."""
    return functional.cosine_similarity(at_least_float32(first), at_least_float32(second), dim=-1)
