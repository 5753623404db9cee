"""Effects of an audit's passes, and what is said of each cue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.audit.effects import (
    About,
    Scores,
    alone_effect,
    consistency_effect,
    paired_differences,
    removed_effect,
    score_effect,
    swap_effect,
)
from longcut.evaluation.audit.result import Effect, NotRun, Unit
from longcut.evaluation.audit.step_down import Differences, StepDown
from longcut.evaluation.audit.verdicts import movement_of
from longcut.evaluation.calibration import calibration_effect
from longcut.recipes.audit.changes import ALONE, FILE, REMOVED, SWAPPED
from longcut.recipes.audit.scores import Pass

INSIDE = {"border": "background"}
"""Cues that lie inside others."""
CARRIED = (FILE,)
"""Cues that swaps of all others carry along."""


@dataclass(frozen=True)
class Scored:
    """What effects are made of.

    Attributes:
        original: of the unchanged images.
        changed: of their variants.
        reference: `[s]` classes, or the predictions on the unchanged images.
        unit: `accuracy` or `agreement`.
        lenders: `[s, 2]` positions of each image's donors; None where nothing was lent.
    """

    original: Scores
    changed: Pass
    reference: NDArray[np.int64]
    unit: Unit
    lenders: NDArray[np.int64] | None = None


def differences_of(changed: Pass, reference: NDArray[np.int64]) -> Differences:
    """`[s]` of each cue that was swapped: the score with the same class's less that with another's."""
    scores = changed.scores
    return {
        cue: paired_differences(scores[f"{cue}_same"], scores[f"{cue}_other"], reference, changed.usable[cue])
        for cue in SWAPPED
        if f"{cue}_same" in scores
    }


def name_cues(
    differences: Differences,
    least: float,
    measure: Callable[[tuple[str, ...], tuple[str, ...]], Differences],
    lenders: NDArray[np.int64],
) -> StepDown:
    """Name the cues that a model takes.

    Args:
        differences: of each cue.
        least: effects below it do not count.
        measure: differences of some cues with others alike in all images.
        lenders: `[s, 2]` positions of each image's donors.
    """
    state = StepDown.begin(differences, least=least, inside=INSIDE, carried=CARRIED, lenders=lenders)
    while (request := state.request) is not None:
        state = state.after(measure(request.cues, request.neutral))
    return state


def effects_of(scored: Scored, suites: tuple[str, ...]) -> tuple[list[Effect], list[NotRun]]:
    """All effects, and the swaps that no image could be found for."""
    scores, usable = scored.changed.scores, scored.changed.usable
    effects, not_run = figures_of(scored, suites), []
    reference, unit = scored.reference, scored.unit
    for cue, about in SWAPPED.items():
        if f"{cue}_same" in scores and usable[cue].any():
            same, other = scores[f"{cue}_same"], scores[f"{cue}_other"]
            swap = partial(swap_effect, about, same, other, reference, unit=unit, usable=usable[cue])
            effects.append(_with_distance(partial(swap, lenders=scored.lenders), unit))
        elif f"{cue}_same" in scores:
            not_run.append(NotRun(about.suite, _why_not(cue, about, reference, unit)))
    for name, about in REMOVED.items():
        if name in scores and usable[name].any():
            removed = partial(removed_effect, about, scored.original, scores[name], reference)
            effects.append(_with_distance(partial(removed, unit=unit, usable=usable[name]), unit))
    for name, about in ALONE.items():
        if name in scores and usable[name].any():
            effects.append(alone_effect(about, scores[name], reference, unit=unit, usable=usable[name]))
    return effects, not_run


def _with_distance(measure: Callable[..., Effect], unit: Unit) -> Effect:
    """An effect; without labels its note says how far predictions move, as the effect says how often."""
    effect = measure()
    if unit != "agreement":
        return effect
    movement = movement_of(measure(of="probability"))
    return replace(effect, note=f"The probability of those predictions {movement}.")


def figures_of(scored: Scored, suites: tuple[str, ...]) -> list[Effect]:
    """What is no effect of a change: accuracy, calibration; and how often predictions stay on another background."""
    figures, scores = [], scored.changed.scores
    if scored.unit == "accuracy":
        right = scored.original.predicted == scored.reference
        about = About("accuracy", "Accuracy", "figures")
        figures.append(score_effect(about, scored.original, scored.reference, unit="accuracy"))
        if "calibration" in suites:
            about = About("ece", "Calibration error (15 bins)", "calibration")
            figures.append(calibration_effect(about, scored.original.confidence, right))
    members = scored.changed.usable.get("background")
    if members is not None and members.any():
        about = About("consistency", "Predictions kept on another class's background", "background", True)
        figures.append(consistency_effect(about, scored.original, scores["background_other"], usable=members))
    return figures


def _why_not(cue: str, about: About, reference: NDArray[np.int64], unit: Unit) -> str:
    """Why no image could be given a cue of another."""
    if len(np.unique(reference)) < 2:
        what = "are of one class" if unit == "accuracy" else "are taken for one class"
        return f"all images {what}, so none can lend the {cue} of another"
    masks = ", and foreground masks" if about.needs_masks else ""
    return f"no image has what a swap of the {cue} takes: a donor of its own class and of another{masks}"
