"""Effects of changing images: scores of one variant against another, image by image. Pure numpy; `s` counts images.

A score is how often a model's prediction is the reference: the class that an image is labelled with (`accuracy`), or,
where there are no labels, the model's own prediction on the unchanged image (`agreement`). With `of="probability"` it
is the probability that the model gives to the reference, which says how far predictions move and not only how often
they turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.audit.design_effect import design_effect
from longcut.evaluation.audit.intervals import (
    Estimate,
    index_blocks,
    paired_interval,
    row_counts,
    simultaneous_interval,
)
from longcut.evaluation.audit.result import Effect, Kind, Unit
from longcut.evaluation.intervals import wilson

Classes = NDArray[np.int64]
"""`[s]` places in a list of classes."""
Members = NDArray[np.bool_]
"""`[s]` which images."""
Of = Literal["decision", "probability"]
_SAME = 1e-12


@dataclass(frozen=True)
class Scores:
    """What a model says of one variant of every image.

    Attributes:
        predicted: `[s]` the class with the largest logit.
        confidence: `[s]` its probability.
        probability: `[s]` that of the reference class.
    """

    predicted: Classes
    confidence: NDArray[np.float32]
    probability: NDArray[np.float32]


@dataclass(frozen=True)
class About:
    """What an effect is called, and what it rests on besides its images; see `Effect`."""

    name: str
    title: str
    suite: str
    needs_masks: bool = False
    note: str = ""


def score_of(scores: Scores, reference: Classes, of: Of = "decision") -> NDArray[np.float64]:
    """`[s]` 1 where the prediction is the reference, else 0; or the probability of the reference.

    Args:
        scores: of a variant.
        reference: `[s]` classes.
        of: which.
    """
    values = scores.predicted == reference if of == "decision" else scores.probability
    return np.asarray(values, np.float64)


def paired_differences(
    first: Scores, second: Scores, reference: Classes, usable: Members | None = None, of: Of = "decision"
) -> NDArray[np.float64]:
    """`[s]` each image's score on one variant less that on another; nan where it is not usable.

    Args:
        first: of the one.
        second: of the other.
        reference: `[s]` classes.
        usable: `[s]` images that both variants could be made of; all where None.
        of: what the score is.
    """
    differences = score_of(first, reference, of) - score_of(second, reference, of)
    return differences if usable is None else np.where(usable, differences, np.nan)


def swap_effect(
    about: About,
    same: Scores,
    other: Scores,
    reference: Classes,
    *,
    unit: Unit,
    usable: Members | None = None,
    lenders: NDArray[np.int64] | None = None,
    of: Of = "decision",
    seed: int = 0,
) -> Effect:
    """Score with a cue of the same class minus the score with another class's: 0 for a model that does not look at it.

    Args:
        about: the effect.
        same: with the cue from another image of the same class.
        other: with the cue from an image of another class.
        reference: `[s]` classes.
        unit: of the score.
        usable: `[s]` images that have a donor of either kind, and a mask where it takes one.
        lenders: `[s, 2]` positions of each image's donors, which make the interval wider; see `design_effect`.
        of: what the score is.
        seed: of the bootstrap.

    Raises:
        ValueError: no image is usable.

    Source:
        BG-Gap of Xiao et al., "Noise or signal" (ICLR 2021), where the cue is the background.
    """
    design = 1.0
    if lenders is not None:
        design = design_effect(paired_differences(same, other, reference, usable, of), lenders)
    return _difference(about, "swapped", same, other, reference, unit, usable, of, seed, design)


def removed_effect(
    about: About,
    original: Scores,
    changed: Scores,
    reference: Classes,
    *,
    unit: Unit,
    usable: Members | None = None,
    of: Of = "decision",
    seed: int = 0,
) -> Effect:
    """Score lost without a cue: that on unchanged images minus that without it.

    Args:
        about: the effect.
        original: of the unchanged images.
        changed: without the cue.
        reference: `[s]` classes.
        unit: of the score.
        usable: `[s]` images that the variant could be made of; all where None.
        of: what the score is.
        seed: of the bootstrap.

    Raises:
        ValueError: no image is usable.
    """
    return _difference(about, "removed", original, changed, reference, unit, usable, of, seed)


def alone_effect(
    about: About,
    changed: Scores,
    reference: Classes,
    *,
    unit: Unit,
    usable: Members | None = None,
    seed: int = 0,
) -> Effect:
    """Score that a cue alone keeps, above chance.

    Chance is how often the same predictions would be right if they had nothing to do with the images: the sum over
    classes of the share predicted times the share of the reference. Each resample has its own.

    Args:
        about: the effect; `before` is chance, `after` the score.
        changed: with nothing but the cue.
        reference: `[s]` classes.
        unit: of the score.
        usable: `[s]` images that the variant could be made of; all where None.
        seed: of the bootstrap.

    Raises:
        ValueError: no image is usable.
    """
    chosen = _usable(about, usable, len(reference))
    predicted, targets = changed.predicted[chosen], reference[chosen]
    value, after = above_chance(predicted, targets), float((predicted == targets).mean())
    values = alone_resamples(predicted, targets, seed=seed)
    if np.ptp(values) < _SAME:  # one class is all that is predicted, or all that there is: nothing varies
        found = simultaneous_interval(np.zeros(len(targets)), 1)
    else:
        low, high = np.percentile(values, [2.5, 97.5])
        found = Estimate(value, float(low), float(high), len(targets))
    return effect_of(about, "alone", unit, found, after - value, after)


def above_chance(predicted: Classes, reference: Classes) -> float:
    """The score above chance; see `alone_effect`.

    Args:
        predicted: `[s]` classes.
        reference: `[s]` classes.
    """
    first, second, num = _coded(predicted, reference)
    return float(_above_chance(first[None], second[None], num)[0])


def alone_resamples(predicted: Classes, reference: Classes, *, seed: int) -> NDArray[np.float64]:
    """`[RESAMPLES]` the score above chance in each resample of the images; the same seed draws the same images.

    Args:
        predicted: `[s]` classes.
        reference: `[s]` classes.
        seed: of the bootstrap.
    """
    first, second, num = _coded(predicted, reference)
    blocks = index_blocks(len(reference), seed=seed)
    return np.concatenate([_above_chance(first[rows], second[rows], num) for rows in blocks])


def consistency_effect(about: About, original: Scores, changed: Scores, *, usable: Members | None = None) -> Effect:
    """Share of images whose prediction a change leaves as it is, with Wilson's interval; it takes no labels.

    Args:
        about: the effect.
        original: of the unchanged images.
        changed: of the variant.
        usable: `[s]` images that the variant could be made of; all where None.

    Raises:
        ValueError: no image is usable.
    """
    return share_effect(about, "share", original.predicted == changed.predicted, usable)


def score_effect(
    about: About, scores: Scores, reference: Classes, *, unit: Unit, usable: Members | None = None
) -> Effect:
    """The score itself, as a figure, with Wilson's interval.

    Args:
        about: the effect.
        scores: of a variant, or of the unchanged images.
        reference: `[s]` classes.
        unit: of the score.
        usable: `[s]` images to count; all where None.

    Raises:
        ValueError: no image is usable.
    """
    return share_effect(about, unit, scores.predicted == reference, usable)


def share_effect(
    about: About, unit: Unit, hits: Members, usable: Members | None = None, *, note: str | None = None
) -> Effect:
    """A share of images, as a figure, with Wilson's interval.

    Args:
        about: the effect.
        unit: of the share.
        hits: `[s]` images that count as one.
        usable: `[s]` images to count; all where None.
        note: what a reader must know; that of `about` where None.

    Raises:
        ValueError: no image is usable.
    """
    chosen = hits[_usable(about, usable, len(hits))]
    low, high = wilson(np.array([chosen.sum()]), np.array([len(chosen)]))
    found = Estimate(float(chosen.mean()), float(low[0]), float(high[0]), len(chosen))
    return effect_of(about, "measured", unit, found, note=note)


def effect_of(
    about: About,
    kind: Kind,
    unit: Unit,
    found: Estimate,
    before: float | None = None,
    after: float | None = None,
    *,
    note: str | None = None,
) -> Effect:
    """What was found of an effect, as an audit keeps it; see `Effect`.

    Args:
        about: the effect.
        kind: how it is to be read.
        unit: of its scores.
        found: its size.
        before: the first score.
        after: the second.
        note: what a reader must know; that of `about` where None.
    """
    return Effect(
        about.name,
        about.title,
        about.suite,
        kind,
        unit,
        found.value,
        found.low,
        found.high,
        found.n,
        before,
        after,
        about.needs_masks,
        about.note if note is None else note,
    )


def _difference(
    about: About,
    kind: Kind,
    first: Scores,
    second: Scores,
    reference: Classes,
    unit: Unit,
    usable: Members | None,
    of: Of,
    seed: int,
    design: float = 1.0,
) -> Effect:
    chosen = _usable(about, usable, len(reference))
    before, after = (score_of(scores, reference, of)[chosen] for scores in (first, second))
    found = paired_interval(before - after, design=design, seed=seed)
    return effect_of(about, kind, unit, found, float(before.mean()), float(after.mean()))


def _usable(about: About, usable: Members | None, size: int) -> Members:
    chosen = np.ones(size, bool) if usable is None else usable
    if not chosen.any():
        raise ValueError(f"{about.name} has no image that it could be measured on")
    return chosen


def _coded(predicted: Classes, reference: Classes) -> tuple[Classes, Classes, int]:
    """Both as places in the list of the classes that occur, and how many those are."""
    classes, places = np.unique(np.concatenate([predicted, reference]), return_inverse=True)
    return places[: len(predicted)], places[len(predicted) :], len(classes)


def _above_chance(predicted: Classes, reference: Classes, num: int) -> NDArray[np.float64]:
    """Of each row of `[r, s]` places."""
    size = reference.shape[1]
    chance = (row_counts(predicted, num) * row_counts(reference, num)).sum(axis=1) / size**2
    return (predicted == reference).mean(axis=1) - chance
