"""95 % intervals of means: of numbers by bootstrap, of shares by Wilson's score test."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000


def bootstrap_means(values: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """`[RESAMPLES]` means of resampled values; equal values are drawn together, by how many of each there are.

    Args:
        values: `[s]`.
        generator: of the draws.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= 8:
        return generator.multinomial(len(values), counts / len(values), RESAMPLES) @ distinct / len(values)
    rows = [values[generator.integers(len(values), size=len(values))].mean() for _ in range(RESAMPLES)]
    return np.array(rows)


def wilson(
    sums: NDArray[np.int64], counts: NDArray[np.int64], *, intervals: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's 95 % interval of shares.

    Args:
        sums: `[g]` samples recognised.
        counts: `[g]` samples, at least one in each.
        intervals: how many are to hold together.

    Returns:
        `[g]` lower and `[g]` upper ends.
    """
    z, share = normal_quantile(intervals), sums / counts
    shrunk = 1 + z**2 / counts
    middle = (share + z**2 / (2 * counts)) / shrunk
    half = z / shrunk * np.sqrt(share * (1 - share) / counts + z**2 / (4 * counts**2))
    # Clipped, so that rounding puts no end beyond 0, 1 or the share itself.
    return np.minimum(np.maximum(middle - half, 0), share), np.maximum(np.minimum(middle + half, 1), share)


def normal_quantile(intervals: int) -> float:
    """Half the width of a two-sided 95 % interval of a standard normal variable; for several that hold together."""
    return NormalDist().inv_cdf(1 - 0.05 / intervals / 2)
