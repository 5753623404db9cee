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
        seed: of the draws behind the interval; those in which kappa is undefined are left out of it.

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
    low, high = np.nanpercentile(_kappa(_drawn_shares(cells, np.random.default_rng(seed))), [2.5, 97.5])
    return Measure(kappa * n, n, min(float(low), kappa), max(float(high), kappa))


def _drawn_shares(cells: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.float64]:
    """`[RESAMPLES, 4]` shares of the four cells: of resampled images, or Jeffreys' where those say nothing.

    Kappa is 1 in all resamples where the models never differ, and 0 where one of them is always right or always wrong.
    There the shares are drawn as they may be after these counts: from a Dirichlet distribution with 1/2 added to each.
    """
    table = cells.reshape(2, 2)
    never_differ = table[0, 1] == table[1, 0] == 0
    if never_differ or (table.sum(axis=0) == 0).any() or (table.sum(axis=1) == 0).any():
        return generator.dirichlet(cells + 0.5, RESAMPLES)
    return generator.multinomial(cells.sum(), cells / cells.sum(), RESAMPLES) / cells.sum()


def _kappa(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kappa for rows `[r, 4]` of the shares both wrong, second right, first right, both right; NaN where it is 0/0."""
    both_wrong, second_right, first_right, both_right = shares.T
    p, q = first_right + both_right, second_right + both_right
    observed, expected = both_wrong + both_right, p * q + (1 - p) * (1 - q)
    chance_left = 1 - expected
    undefined = chance_left < 1e-12
    return np.where(undefined, np.nan, (observed - expected) / np.where(undefined, 1, chance_left))
