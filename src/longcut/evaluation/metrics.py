"""Pure metrics: a sum and a count, and the interval of their ratio."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.audit.intervals import differ, paired_interval
from longcut.evaluation.intervals import bootstrap_means, wilson

COSINES = (-1.0, 1.0)
"""Bounds of cosines."""
_ROUNDING = 1e-6
"""Numbers that differ by no more, as a share of one of them, are equal: cosines of float32 differ by less."""


@dataclass(frozen=True)
class Measure:
    """A mean with its 95 % interval: a percentile bootstrap where a function does not say otherwise.

    Attributes:
        sum: over the samples.
        n: how many samples there are.
        low: lower end.
        high: upper end.
    """

    sum: float
    n: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The mean."""
        return self.sum / self.n


def measure(
    values: NDArray[np.floating] | NDArray[np.bool_],
    *,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    seed: int = 0,
) -> Measure:
    """Mean of one value per sample, with an interval: Wilson's of booleans, else one from resampling the samples.

    Where all numbers are equal, resampling says nothing. There as many other samples as Wilson's interval of none in
    `s` allows may lie at either bound, which for all 0 or all 1 is Wilson's interval itself.

    Args:
        values: `[s]`.
        bounds: no number can lie beyond them; where they are unknown, the interval of equal numbers has no ends.
        seed: of the resampling.

    Raises:
        ValueError: there are no samples.
    """
    if len(values) == 0:
        raise ValueError("a mean needs at least one sample")
    numbers = np.asarray(values, np.float64)
    if values.dtype == bool:
        ends = wilson(np.array([values.sum()]), np.array([len(values)]))
        low, high = (float(end[0]) for end in ends)
    elif np.ptp(numbers) <= _ROUNDING * abs(numbers[0]):
        low, high = _ends_of_equal(float(numbers.mean()), len(numbers), bounds)
    else:
        low, high = np.percentile(bootstrap_means(numbers, np.random.default_rng(seed)), [2.5, 97.5])
    return Measure(float(numbers.sum()), len(numbers), float(low), float(high))


def _ends_of_equal(value: float, n: int, bounds: tuple[float, float]) -> tuple[float, float]:
    """Ends of the interval of a mean of `n` samples that all have the same value."""
    unseen = float(wilson(np.array([0]), np.array([n]))[1][0])
    return value - unseen * max(value - bounds[0], 0), value + unseen * max(bounds[1] - value, 0)


def background_gap(same: NDArray[np.bool_], rand: NDArray[np.bool_], *, seed: int = 0) -> Measure:
    """BG-Gap: accuracy on Mixed-Same minus accuracy on Mixed-Rand, with the bootstrap of `paired_interval`.

    It is kept from leaving out 0 where McNemar's exact test does not, as the bootstrap of a handful of changes would.

    Args:
        same: `[s]` whether each foreground is recognised on a background of its own class.
        rand: `[s]` the same foregrounds on random backgrounds.
        seed: of the resampling.

    Source:
        Xiao et al., "Noise or signal" (ICLR 2021).
    """
    differences = same.astype(np.float64) - rand.astype(np.float64)
    found = paired_interval(differences, seed=seed)
    low, high = found.low, found.high
    if not differ(int((differences > 0).sum()), int((differences < 0).sum())):
        low, high = min(low, 0.0), max(high, 0.0)
    return Measure(float(differences.sum()), found.n, low, high)


def decision_consistency(first: NDArray[np.int64], second: NDArray[np.int64]) -> Measure:
    """Share of pairs with the same foreground that get the same decision, right or wrong.

    Args:
        first: `[s]` predicted classes.
        second: `[s]` predicted classes of the same foregrounds on other backgrounds.

    Source:
        Wang et al., "CLAD" (BMVC 2022), section 4.4.
    """
    return measure(first == second)


def feature_consistency(first: NDArray[np.floating], second: NDArray[np.floating]) -> Measure:
    """Mean cosine between the features of pairs with the same foreground.

    The cosine itself, in [-1, 1]; not rescaled.

    Args:
        first: `[s, d]` pooled features.
        second: `[s, d]` pooled features of the same foregrounds on other backgrounds.

    Source:
        Wang et al., "CLAD" (BMVC 2022), section 4.4.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return measure((a * b).sum(axis=1) / np.maximum(norms, 1e-12), bounds=COSINES)
