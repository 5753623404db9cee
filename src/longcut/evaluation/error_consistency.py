"""Error consistency: whether two models err on the same images more than chance has it.

Geirhos, Meding and Wichmann, "Beyond accuracy: quantifying trial-by-trial behaviour of CNNs and humans by measuring
error consistency" (NeurIPS 2020).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.intervals import RESAMPLES
from longcut.evaluation.metrics import Measure


def error_consistency(first: NDArray[np.bool_], second: NDArray[np.bool_], *, seed: int = 0) -> Measure | None:
    """Cohen's kappa of two models' being right: `(observed - expected) / (1 - expected)`.

    Observed is the share of images on which both are right or both are wrong; expected is what two independent models
    of the same accuracies `p` and `q` would have, `p q + (1 - p)(1 - q)`. 1 is the same errors, 0 is chance.

    Args:
        first: `[s]` whether the first model recognises each image.
        second: `[s]` the same of the second.
        seed: of the resampling of images; resamples in which kappa is undefined are left out of the interval.

    Returns:
        Kappa, its 95 % interval and the number of images; None where it is undefined (0/0), as both models are right
        everywhere or both wrong everywhere.

    Raises:
        ValueError: there are no images, or not the same number of both.
    """
    if len(first) == 0 or len(first) != len(second):
        raise ValueError(f"error consistency needs the same images from both: {len(first)} and {len(second)}")
    n = len(first)
    cells = np.bincount(2 * np.asarray(first, np.int64) + np.asarray(second, np.int64), minlength=4)
    kappa = float(_kappa(cells[None] / n)[0])
    if np.isnan(kappa):
        return None
    draws = np.random.default_rng(seed).multinomial(n, cells / n, RESAMPLES) / n
    low, high = np.nanpercentile(_kappa(draws), [2.5, 97.5])
    return Measure(kappa * n, n, float(low), float(high))


def _kappa(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kappa for rows `[r, 4]` of the shares both wrong, second right, first right, both right; NaN where it is 0/0."""
    both_wrong, second_right, first_right, both_right = shares.T
    p, q = first_right + both_right, second_right + both_right
    observed, expected = both_wrong + both_right, p * q + (1 - p) * (1 - q)
    chance_left = 1 - expected
    undefined = chance_left < 1e-12
    return np.where(undefined, np.nan, (observed - expected) / np.where(undefined, 1, chance_left))
