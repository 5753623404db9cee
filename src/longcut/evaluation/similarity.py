"""Cosines between embeddings of pairs."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


def pair_similarities(first: Float[Tensor, "b d"], second: Float[Tensor, "b *v d"]) -> Float[Tensor, "b *v"]:
    """Cosine of each row of `first` with its rows of `second`.

    Args:
        first: `[b, d]`, of any length.
        second: `[b, d]` or `[b, v, d]`, of any length.

    Returns:
        `[b]` or `[b, v]`, in [-1, 1].
    """
    first = first[:, None] if second.ndim > first.ndim else first
    return functional.cosine_similarity(first.float(), second.float(), dim=-1).clamp(-1, 1)


def draw_others(num_samples: int, count: int, *, seed: int = 0) -> Int[NDArray[np.int64], "s k"]:
    """For each sample so many others, drawn uniformly with replacement: never the sample itself.

    Args:
        num_samples: s, at least 2.
        count: k.
        seed: of the draw.

    Raises:
        ValueError: there is no other sample.
    """
    if num_samples < 2:
        raise ValueError(f"standard negatives are other samples: {num_samples} has none, give at least 2 images")
    steps = np.random.default_rng(seed).integers(1, num_samples, (num_samples, count))
    return (np.arange(num_samples)[:, None] + steps) % num_samples
