"""How far an effect changed from one audit to another, image by image where the images are the same."""

from __future__ import annotations

import math

import numpy as np

from longcut.evaluation.audit.design_effect import design_effect
from longcut.evaluation.audit.effects import above_chance, alone_resamples
from longcut.evaluation.audit.intervals import Estimate, simultaneous_interval
from longcut.evaluation.audit.kept_scores import KeptScores
from longcut.evaluation.audit.result import Effect
from longcut.evaluation.intervals import normal_quantile

_SAME = 1e-12


def aligned(before: KeptScores, after: KeptScores) -> tuple[KeptScores, KeptScores] | None:
    """Both with their images in the same order; None where they are not the same images, by path."""
    if sorted(before.paths) != sorted(after.paths) or len(set(before.paths)) < len(before.paths):
        return None
    rows = (np.argsort(np.asarray(kept.paths, object)) for kept in (before, after))
    first, second = (kept.take(order) for kept, order in zip((before, after), rows, strict=True))
    return first, second


def paired_change(
    effect: str, before: KeptScores, after: KeptScores, num_tests: int = 1, *, seed: int = 0
) -> Estimate | None:
    """Change of an effect, image by image, with a 95 % interval that holds for a handful of changed images too.

    It is the score interval of `simultaneous_interval`; of what a cue alone keeps, which is no mean over images, that
    of a bootstrap that draws the same images of both audits, for one test whatever `num_tests` says.

    Only images that count in both are compared; what an image is held against may differ, as it does where each model
    is held against its own predictions.

    Args:
        effect: name.
        before: scores of the first audit, aligned with
        after: those of the second.
        num_tests: changes whose intervals are to hold together.
        seed: of the bootstrap.

    Returns:
        The change; None where an audit has no recipe of the effect, the recipes differ, or no image counts in both.
    """
    recipe = before.recipe(effect)
    if recipe is None or recipe != after.recipe(effect):
        return None
    both = before.members(recipe) & after.members(recipe)
    if not both.any():
        return None
    if recipe.kind != "alone":
        change = after.differences(recipe) - before.differences(recipe)
        lent = [kept.lenders for kept in (before, after) if recipe.kind == "swapped" and kept.lenders is not None]
        design = max((design_effect(change, lenders) for lenders in lent), default=1.0)
        bound = 1 if recipe.kind == "measured" else 2
        return simultaneous_interval(change[both], num_tests, bound=bound, design=design)
    sides = [(kept.variants[recipe.first].predicted[both], kept.reference[both]) for kept in (before, after)]
    first, second = (alone_resamples(*side, seed=seed) for side in sides)
    if np.ptp(second - first) < _SAME:
        return simultaneous_interval(np.zeros(int(both.sum())), 1)
    low, high = np.percentile(second - first, [2.5, 97.5])
    value = above_chance(*sides[1]) - above_chance(*sides[0])
    return Estimate(value, float(low), float(high), int(both.sum()))


def unpaired_change(before: Effect, after: Effect, num_tests: int = 1) -> Estimate:
    """Change of an effect that was measured on other images, with an interval from the two effects' own.

    Args:
        before: in the first audit.
        after: in the second.
        num_tests: changes whose intervals are to hold together.

    Source:
        Zou and Donner, "Construction of confidence limits about effect measures: a general approach" (Statistics in
        Medicine, 2008): the square of each side is the sum of the squares of the sides that it comes from.
    """
    change = after.value - before.value
    (below_first, above_first), (below, above) = (_sides(effect, num_tests) for effect in (before, after))
    low, high = change - math.hypot(below, above_first), change + math.hypot(above, below_first)
    return Estimate(change, low, high, min(before.n, after.n))


def _sides(effect: Effect, num_tests: int) -> tuple[float, float]:
    """How far an effect's interval reaches below it and above, for several tests together.

    An effect of a change has a bootstrap, too narrow for a handful of images: each side of it counts as that of the
    score interval of images none of which changes, at least.
    """
    one, all_tests = normal_quantile(1), normal_quantile(num_tests)
    least = 0.0 if effect.kind == "measured" else all_tests**2 / (effect.n + all_tests**2)
    below, above = (
        max(all_tests / one * side, least) for side in (effect.value - effect.low, effect.high - effect.value)
    )
    return below, above
