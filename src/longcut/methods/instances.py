"""Each sample a class of its own: the loss that InsDis and CMC have in common."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from longcut.losses import contrast, cosine
from longcut.queues import SampleAverage


def draw_candidates(bank: SampleAverage, count: int) -> Int[Tensor, " k"]:
    """Samples of the bank, drawn with replacement on its device, to be the negatives of a whole batch."""
    return torch.randint(len(bank.embeddings), (count,), device=bank.embeddings.device)


def instance_contrast(
    anchors: Float[Tensor, "b d"],
    indices: Int[Tensor, " b"],
    bank: SampleAverage,
    candidates: Int[Tensor, " k"],
    *,
    temperature: float,
) -> Float[Tensor, " b"]:
    """Tell the average of each anchor's own sample from those of other samples.

    Args:
        anchors: embeddings, of any length.
        indices: the sample of each anchor.
        bank: the averages.
        candidates: samples whose averages are the negatives; one that is an anchor's own does not count for it.
        temperature: divides every cosine.

    Returns:
        One loss per anchor, in nats.

    Source:
        Wu et al., "Unsupervised feature learning via non-parametric instance discrimination" (CVPR 2018), equation 2.
    """
    return contrast(
        cosine(anchors, bank.read(indices)),
        bank.similarities(anchors, candidates),
        candidates != indices[:, None],
        temperature=temperature,
    )
