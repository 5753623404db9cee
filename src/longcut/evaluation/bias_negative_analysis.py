"""What a method keeps of each sample, beside the bias labels that it did not have.

Park et al., "Enhancing intrinsic features for debiasing via investigating class-discerning common attributes in
bias-contrastive pair" (CVPR 2024): section 3.2, Figure 2 and Table 2. Pure numpy; `s` counts samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.metrics import Measure, measure

Values = NDArray[np.floating]
"""`[s]` a number for each sample."""
Members = NDArray[np.bool_]
"""`[s]` which samples."""
_HALVINGS = 60  # of an interval of at most 1: the end is as exact as the number
_EPS = 1e-8


@dataclass(frozen=True)
class Sides:
    """Which samples the bias goes with; a sample whose bias is not known is on neither side."""

    aligned: Members
    """`[s]` whether the bias is the one that goes with the class."""
    conflicting: Members
    """`[s]` whether it is another."""

    def named(self) -> dict[str, Members]:
        """Both sides by name."""
        return {"aligned": self.aligned, "conflicting": self.conflicting}


@dataclass(frozen=True)
class Spread:
    """A number over some samples at one step.

    Attributes:
        n: how many samples there are.
        mean: of the number; None where there is no sample, as all that follow.
        low: lower quartile.
        high: upper quartile.
        positive: how many samples have a number above 0.
    """

    n: int
    mean: float | None
    low: float | None
    high: float | None
    positive: int


@dataclass(frozen=True)
class Contents:
    """Samples of one side of the bias, in the data and in the bias-negative set (Park et al., Table 2).

    Attributes:
        images: in the data.
        candidates: among them.
        unscored: candidates that were not seen again after their reference was taken.
        kept: candidates in the bias-negative set.
        removed: candidates that are not.
        share_kept: of the data's, with Wilson's interval; None where the data has none.
        mean_score: of the candidates, with a bootstrap interval; None where there are none.
    """

    images: int
    candidates: int
    unscored: int
    kept: int
    removed: int
    share_kept: Measure | None
    mean_score: Measure | None


@dataclass(frozen=True)
class Separation:
    """How well a number tells conflicting samples from aligned ones.

    Attributes:
        value: the area under the ROC curve: how often a conflicting sample has the larger number; ties count half.
        low: lower end of the 95 % interval.
        high: upper end.
        conflicting: how many samples conflict.
        aligned: how many are aligned.
    """

    value: float
    low: float
    high: float
    conflicting: int
    aligned: int


def sides(targets: NDArray[np.int64], bias: NDArray[np.int64]) -> Sides:
    """Aligned and conflicting samples, where a value of the bias goes with each class at the same place.

    Args:
        targets: `[s]` classes.
        bias: `[s]` values of the bias, -1 where it is not known.
    """
    known = (targets >= 0) & (bias >= 0)
    return Sides(known & (targets == bias), known & (targets != bias))


def spread(values: Values, members: Members) -> Spread:
    """Mean, quartiles and sign of a number over some samples."""
    chosen = np.asarray(values[members], np.float64)
    if not len(chosen):
        return Spread(0, None, None, None, 0)
    low, high = np.percentile(chosen, [25, 75])
    return Spread(len(chosen), float(chosen.mean()), float(low), float(high), int((chosen > 0).sum()))


def mean_of(values: Values, members: Members) -> Measure | None:
    """Mean of a number over some samples, with a bootstrap interval (`measure`); None where there are none."""
    return measure(values[members]) if members.any() else None


def share(part: Members, of: Members) -> Measure | None:
    """The share of some samples that are others too, with Wilson's interval; None where there are none."""
    return measure(part[of]) if of.any() else None


def loss_fell(losses: Values, references: Values) -> Members:
    """Whether the biased network's loss on each sample lies below what it was early on (section 3.2).

    Args:
        losses: `[s]` averages of the loss, at least 0.
        references: `[s]` the same at the reference step; 0 where none was taken, which no loss lies below.
    """
    return np.asarray(losses < references)


def contents(scores: Values, candidates: Members, side: Members) -> Contents:
    """What became of one side of the bias in the bias-negative set: candidates whose score is positive (equation 3).

    Args:
        scores: `[s]` bias-negative scores; exactly 0 of a sample not seen again after its reference.
        candidates: `[s]` those of both sides.
        side: `[s]` which samples to count.
    """
    mine = candidates & side
    kept = mine & (scores > 0)
    return Contents(
        images=int(side.sum()),
        candidates=int(mine.sum()),
        unscored=int((mine & (scores == 0)).sum()),
        kept=int(kept.sum()),
        removed=int((mine & ~kept).sum()),
        share_kept=share(kept, side),
        mean_score=mean_of(scores, mine),
    )


def separation(values: Values, conflicting: Members, aligned: Members) -> Separation | None:
    """Area under the ROC curve of a number that should be large for conflicting samples; None where a side is empty.

    Args:
        values: `[s]`.
        conflicting: `[s]` samples that should have large ones.
        aligned: `[s]` samples that should have small ones.

    Source:
        The interval is method 5 of Newcombe, "Confidence intervals for an effect size measure based on the
        Mann-Whitney statistic. Part 2" (Statistics in Medicine, 2006): it keeps its width where the area is 1.
    """
    high, low = values[conflicting], np.sort(values[aligned])
    if not len(high) or not len(low):
        return None
    below = np.searchsorted(low, high, side="left") + np.searchsorted(low, high, side="right")
    area = float(below.sum(dtype=np.float64) / (2 * len(high) * len(low)))
    ends = _area_interval(area, len(high), len(low))
    return Separation(area, *ends, conflicting=len(high), aligned=len(low))


def relative_difficulty(biased: Values, debiased: Values, targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """LfF's weight of each sample, from what a run keeps of it.

    Args:
        biased: `[s]` averages of the biased network's loss, 0 where a sample was not yet seen.
        debiased: `[s]` averages of the debiased network's.
        targets: `[s]` classes.

    Returns:
        `[s]` weights from 0 to 1; 0 where a sample was not yet seen.

    Source:
        Nam et al., "Learning from failure" (NeurIPS 2020), section 3; class maxima as its code has them.
    """
    shares = []
    for losses in (biased, debiased):
        tops = np.zeros(int(targets.max()) + 1)
        np.maximum.at(tops, targets, losses)
        shares.append(losses / np.maximum(tops[targets], _EPS))
    weights: NDArray[np.float64] = shares[0] / (shares[0] + shares[1] + _EPS)
    return weights


def _area_interval(area: float, conflicting: int, aligned: int) -> tuple[float, float]:
    """The areas whose own standard error is large enough to explain the one that was found."""
    z = NormalDist().inv_cdf(0.975)
    both = (conflicting + aligned) / 2 - 1

    def beyond(other: float) -> bool:
        factor = 1 + both * (1 - other) / (2 - other) + both * other / (1 + other)
        return abs(area - other) > z * (other * (1 - other) * factor / (conflicting * aligned)) ** 0.5

    ends = []
    for outer in (0.0, 1.0):
        inside = area
        for _ in range(_HALVINGS):
            middle = (inside + outer) / 2
            inside, outer = (inside, middle) if beyond(middle) else (middle, outer)
        ends.append(inside)
    return ends[0], ends[1]
