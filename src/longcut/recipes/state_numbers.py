"""The numbers of a run's state, on both sides of the bias: over training, and at its last step.

Park et al., "Enhancing intrinsic features for debiasing via investigating class-discerning common attributes in
bias-contrastive pair" (CVPR 2024), section 3.2, Figure 2 and Table 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.bias_negative_analysis import (
    Contents,
    Members,
    Separation,
    Sides,
    Spread,
    Values,
    contents,
    loss_fell,
    mean_of,
    relative_difficulty,
    separation,
    share,
    spread,
)
from longcut.evaluation.metrics import Measure
from longcut.recipes.sample_states import SampleStates, State

_Found = TypeVar("_Found")
ALL, CANDIDATES = "all images", "candidates"
FALLEN = "aligned_among_fallen"


@dataclass(frozen=True)
class Panel:
    """A number of each sample at one step, and the samples that it is looked at."""

    values: Values
    members: Members


@dataclass(frozen=True)
class Curve:
    """A number on both sides of the bias over training.

    Attributes:
        name: of the number: `score`, `loss`, `weight`, or what else the method keeps.
        steps: at which it was kept.
        spreads: of each side, one for each step.
    """

    name: str
    steps: tuple[int, ...]
    spreads: Mapping[str, tuple[Spread, ...]]


@dataclass(frozen=True)
class Numbers:
    """What a state says.

    Attributes:
        curves: over training, the number that the others are made of first.
        means: of that number at the last step, by side.
        separations: of that number at the last step, by the samples that it was looked at.
        contents: of the bias-negative set at the last step, by side; nothing without scores.
        shares: by name; nothing without scores.
    """

    curves: tuple[Curve, ...]
    means: Mapping[str, Measure]
    separations: Mapping[str, Separation]
    contents: Mapping[str, Contents]
    shares: Mapping[str, Measure]


def has_scores(state: State) -> bool:
    """Whether a state has the bias-negative scores of Park et al., and what they are made of."""
    return {"score", "loss", "reference", "candidate"} <= set(state)


def has_difficulty(state: State) -> bool:
    """Whether a state has what LfF's weights are made of."""
    return {"biased_loss", "debiased_loss"} <= set(state)


def panels(state: State, last: State, targets: NDArray[np.int64]) -> dict[str, Panel]:
    """The numbers of one step, the main one first.

    Bias-negative scores, and the loss beneath them, of the candidates; LfF's weight and losses, of all samples seen.
    Of a method with other arrays, each of them, of all samples.

    Args:
        state: the arrays of the step.
        last: those of the last step, when every candidate was seen.
        targets: `[s]` classes.
    """
    if has_scores(state):
        candidates = last["candidate"] > 0
        # A loss of exactly 0 is that of a sample not yet seen.
        loss = Panel(state["loss"], candidates & (state["loss"] > 0))
        return {"score": Panel(state["score"], candidates), "loss": loss}
    if has_difficulty(state):
        biased, debiased = state["biased_loss"], state["debiased_loss"]
        seen = (biased > 0) | (debiased > 0)
        numbers = {"weight": relative_difficulty(biased, debiased, targets), "biased_loss": biased}
        return {name: Panel(values, seen) for name, values in (numbers | {"debiased_loss": debiased}).items()}
    return {name: Panel(values, np.ones(len(values), bool)) for name, values in state.items()}


def read_numbers(states: SampleStates, sides: Sides, targets: NDArray[np.int64]) -> Numbers:
    """Everything that is read of a run's state; one step after the other, so that one alone is in memory.

    Args:
        states: of the run.
        sides: of its images.
        targets: `[s]` their classes.

    Raises:
        ValueError: a file is broken, or its arrays are not those of the last one.
    """
    last = states.read(states.last)
    main, panel = next(iter(panels(last, last, targets).items()))
    groups = {CANDIDATES: panel.members, ALL: np.ones_like(panel.members)} if has_scores(last) else {ALL: panel.members}
    found = {
        name: separation(panel.values, sides.conflicting & group, sides.aligned & group)
        for name, group in groups.items()
    }
    fell: dict[str, Measure | None] = {}
    if has_scores(last):
        known = sides.aligned | sides.conflicting
        fell[FALLEN] = share(sides.aligned, loss_fell(last["loss"], last["reference"]) & panel.members & known)
    return Numbers(
        curves=_curves(states, last, sides, targets),
        means=_there({name: mean_of(panel.values, panel.members & side) for name, side in sides.named().items()}),
        separations=_there(found),
        contents={
            name: contents(panel.values, panel.members, side) for name, side in sides.named().items() if main == "score"
        },
        shares=_there(fell),
    )


def _curves(states: SampleStates, last: State, sides: Sides, targets: NDArray[np.int64]) -> tuple[Curve, ...]:
    names = tuple(panels(last, last, targets))
    rows: dict[str, dict[str, list[Spread]]] = {name: {side: [] for side in sides.named()} for name in names}
    for step, copy in states.copies.items():
        state = states.read(step)
        if {name: len(values) for name, values in state.items()} != {k: len(v) for k, v in last.items()}:
            raise ValueError(f"{copy} has other arrays than {states.copies[states.last]}: they are of two runs")
        for name, panel in panels(state, last, targets).items():
            for side, members in sides.named().items():
                rows[name][side].append(spread(panel.values, panel.members & members))
    steps = tuple(states.copies)
    return tuple(Curve(name, steps, {side: tuple(found) for side, found in rows[name].items()}) for name in names)


def _there(found: Mapping[str, _Found | None]) -> dict[str, _Found]:
    return {name: value for name, value in found.items() if value is not None}
