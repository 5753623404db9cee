"""Intervals of paired differences: one at a time by bootstrap, several at once by score tests.

A bootstrap has no width where all differences are equal, and none of its tails holds for a handful of images. What a
shortcut is named by, and by what it is said to have grown or shrunk, is therefore no bootstrap: it is the score
interval, which is as wide as it must be for any number of images, and of which McNemar's test is the part at 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.intervals import RESAMPLES, bootstrap_means

_HALVINGS = 60  # of an interval of at most 2: the end is as exact as the number
_BLOCK = 1 << 20  # indices drawn at a time


@dataclass(frozen=True)
class Estimate:
    """A mean and an interval of it.

    Attributes:
        value: the mean.
        low: lower end.
        high: upper end.
        n: images that it rests on.
    """

    value: float
    low: float
    high: float
    n: int


def paired_interval(differences: NDArray[np.floating], *, design: float = 1.0, seed: int = 0) -> Estimate:
    """Mean of paired differences, none further than 1 from 0, with the 95 % interval of a percentile bootstrap.

    Where all differences are equal, resampling says nothing: the score interval stands in.

    Args:
        differences: `[s]`, all finite.
        design: variance of the mean over that of independent differences, at least 1; see `design_effect`.
        seed: of the resampling.

    Raises:
        ValueError: there are none.
    """
    values = _checked(differences)
    if (values == values[0]).all():
        return simultaneous_interval(values, 1)
    mean, means = float(values.mean()), bootstrap_means(values, np.random.default_rng(seed))
    low, high = mean + math.sqrt(design) * (np.percentile(means, [2.5, 97.5]) - mean)
    return Estimate(mean, max(float(low), -1.0), min(float(high), 1.0), len(values))


def simultaneous_interval(
    differences: NDArray[np.floating], num_tests: int, *, bound: float = 1.0, design: float = 1.0
) -> Estimate:
    """Mean of paired differences, with an interval that holds together with those of other tests at 95 % (Bonferroni).

    Differences of two decisions, -1, 0 or 1, get Tango's score interval, kept from leaving out 0 where McNemar's exact
    test does not: with no effect, it lies above 0 in at most `2.5 / num_tests` % of all cases, however few images there
    are. Other differences get the interval of their self-normalised mean, at least as wide as Tango's where all are 0.

    Args:
        differences: `[s]`, all finite.
        num_tests: how many intervals are to hold together.
        bound: no difference can be further from 0.
        design: variance of the mean over that of independent differences, at least 1: so many times fewer images count.

    Raises:
        ValueError: there are none.

    Source:
        Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
        design" (Statistics in Medicine, 1998).
    """
    values = _checked(differences)
    z, n, mean = NormalDist().inv_cdf(1 - 0.05 / num_tests / 2), len(values) / design, float(values.mean())
    if np.isin(values, (-1.0, 0.0, 1.0)).all():
        more, less = float((values > 0).sum() / design), float((values < 0).sum() / design)
        low, high = -_tango_end(less, more, n, z), _tango_end(more, less, n, z)
        if not differ(more, less, num_tests):
            low, high = min(low, 0.0), max(high, 0.0)
    else:
        # All means d with n (mean - d)^2 <= z^2 sum (x - d)^2 / n.
        half = z * float(values.std()) / math.sqrt(n - z**2) if n > z**2 else 2 * bound
        half = max(half, bound * z**2 / (n + z**2))
        low, high = max(mean - half, -bound), min(mean + half, bound)
    return Estimate(mean, min(low, mean), max(high, mean), len(values))


def differ(more: float, less: float, num_tests: int = 1) -> bool:
    """Whether McNemar's exact test tells two kinds of discordant pairs apart, at 5 % over all tests (Bonferroni).

    Args:
        more: how many speak for the one side; fewer than they are where they are not independent.
        less: how many speak for the other.
        num_tests: how many tests are to hold together.
    """
    return _exact_tail(math.floor(max(more, less)), math.ceil(min(more, less))) <= 0.025 / num_tests


def index_blocks(n: int, *, seed: int) -> Iterator[NDArray[np.int64]]:
    """Resamples of `n` images: `[r, n]` positions at a time, `RESAMPLES` rows in all, so that memory stays small."""
    generator = np.random.default_rng(seed)
    rows = max(1, _BLOCK // n)
    for start in range(0, RESAMPLES, rows):
        yield generator.integers(n, size=(min(rows, RESAMPLES - start), n))


def row_counts(labels: NDArray[np.int64], num: int, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """How often each label is in each row, or the sum of its weights there.

    Args:
        labels: `[r, s]` from 0 to `num - 1`.
        num: how many labels there are.
        weights: `[r, s]`; 1 each where None.

    Returns:
        `[r, num]`
    """
    places = (labels + num * np.arange(len(labels))[:, None]).ravel()
    sums = np.bincount(places, None if weights is None else weights.ravel(), minlength=num * len(labels))
    return sums.reshape(len(labels), num).astype(np.float64)


def _checked(differences: NDArray[np.floating]) -> NDArray[np.float64]:
    values = np.asarray(differences, np.float64)
    if len(values) == 0:
        raise ValueError("an interval of paired differences needs at least one image")
    if not np.isfinite(values).all():
        raise ValueError("paired differences must be finite: leave out the images that have none")
    return values


def _tango_end(more: float, less: float, n: float, z: float) -> float:
    """The largest true difference that a score test at `z` does not reject (Tango 1998, equation 7)."""

    def rejected(d: float) -> bool:
        b, c = (2 * n - more + less) * d - more - less, -less * d * (1 - d)
        share = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)  # of the less frequent discordance, under d
        variance = n * (2 * share + d * (1 - d))
        return more - less - n * d < -z * math.sqrt(max(variance, 0.0))

    inside, outer = (more - less) / n, 1.0
    for _ in range(_HALVINGS):
        middle = (inside + outer) / 2
        inside, outer = (inside, middle) if rejected(middle) else (middle, outer)
    return inside


def _exact_tail(more: int, less: int) -> float:
    """McNemar's exact test: how often the rarer of two equally likely sides is as rare as this, or rarer."""
    pairs, rarer = more + less, min(more, less)
    k = np.arange(1, rarer + 1)
    logs = np.concatenate([[0.0], np.log((pairs - k + 1) / k).cumsum()]) - pairs * math.log(2)
    return min(1.0, float(np.exp(logs).sum()))
