"""Pure metrics: a sum and a count, and the interval of their ratio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.audit.intervals import paired_interval
from longcut.evaluation.intervals import bootstrap_means, wilson


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


def measure(values: NDArray[np.floating] | NDArray[np.bool_], *, seed: int = 0) -> Measure:
    """Mean of one value per sample, with an interval: Wilson's of booleans, else one from resampling the samples.

    Args:
        values: `[s]`.
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
    else:
        low, high = np.percentile(bootstrap_means(numbers, np.random.default_rng(seed)), [2.5, 97.5])
    return Measure(float(numbers.sum()), len(numbers), float(low), float(high))


def background_gap(same: NDArray[np.bool_], rand: NDArray[np.bool_], *, seed: int = 0) -> Measure:
    """BG-Gap: accuracy on Mixed-Same minus accuracy on Mixed-Rand, with `paired_interval`.

    Args:
        same: `[s]` whether each foreground is recognised on a background of its own class.
        rand: `[s]` the same foregrounds on random backgrounds.
        seed: of the resampling.

    Source:
        Xiao et al., "Noise or signal" (ICLR 2021).
    """
    differences = same.astype(np.float64) - rand.astype(np.float64)
    found = paired_interval(differences, seed=seed)
    return Measure(float(differences.sum()), found.n, found.low, found.high)


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
    return measure((a * b).sum(axis=1) / np.maximum(norms, 1e-12))
