"""What an effect's note says where there are no labels: how far predictions move, beside how often."""

from __future__ import annotations

import numpy as np
import pytest

from longcut.evaluation.audit.effects import Scores
from longcut.evaluation.audit.result import Effect, Unit
from longcut.recipes.audit.effects import Scored, effects_of
from longcut.recipes.audit.scores import Pass

COUNT = 8


def told(probability: float) -> Scores:
    """Predictions that are all of the first class, as sure as that."""
    sure = np.full(COUNT, probability, np.float32)
    return Scores(np.zeros(COUNT, np.int64), sure, sure)


def greyscale(unit: Unit, probability: float) -> Effect:
    changed = Pass({"greyscale": told(probability)}, {"greyscale": np.ones(COUNT, bool)})
    effects, _ = effects_of(Scored(told(0.9), changed, np.zeros(COUNT, np.int64), unit), ())
    (effect,) = [each for each in effects if each.name == "colour_removed"]
    return effect


@pytest.mark.parametrize(("probability", "moved"), [(0.6, "falls by 30.0 points"), (0.95, "rises by 5.0 points")])
def test_the_probability_moves_where_no_decision_does(probability: float, moved: str) -> None:
    effect = greyscale("agreement", probability)
    assert effect.value == 0
    assert moved in effect.note


def test_with_labels_there_is_nothing_to_add() -> None:
    assert greyscale("accuracy", 0.6).note == ""
