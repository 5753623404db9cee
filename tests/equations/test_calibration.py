"""The calibration error against its loop, and its interval."""

from __future__ import annotations

import numpy as np
import pytest

from longcut.evaluation.audit.effects import About
from longcut.evaluation.calibration import calibration_effect, calibration_error


def by_loop(confidence: list[float], correct: list[bool], bins: int) -> float:
    error = 0.0
    for b in range(bins):
        inside = [i for i, c in enumerate(confidence) if b / bins < c <= (b + 1) / bins or (b == 0 and c == 0)]
        if inside:
            accuracy = sum(correct[i] for i in inside) / len(inside)
            error += len(inside) / len(correct) * abs(accuracy - sum(confidence[i] for i in inside) / len(inside))
    return error


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_it_is_its_loop(bins: int) -> None:
    draw = np.random.default_rng(1)
    confidence, correct = draw.random(200), draw.random(200) < 0.6
    found = calibration_error(confidence, correct, bins=bins)
    assert found.value == pytest.approx(by_loop(confidence.tolist(), correct.tolist(), bins), abs=1e-12)
    assert found.n == 200
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_bins_are_closed_above() -> None:
    confidence, correct = np.array([0.0, 0.25, 0.5, 0.75, 1.0]), np.array([0, 1, 0, 1, 1], bool)
    found = calibration_error(confidence, correct, bins=4)
    assert found.value == pytest.approx(by_loop(confidence.tolist(), correct.tolist(), 4), abs=1e-12)
    assert found.value == pytest.approx((0.75 + 0.5 + 0.25) / 5), "0 and 0.25 share a bin, and one of them is right"


def test_a_calibrated_model_can_have_none() -> None:
    """Its error is above 0 by chance alone, which the interval knows."""
    zero = 0
    for seed in range(20):
        draw = np.random.default_rng(seed)
        confidence = draw.uniform(0.2, 1, 300)
        found = calibration_error(confidence, draw.random(300) < confidence, seed=seed)
        assert found.value > 0.02
        zero += found.low == 0
    assert zero >= 18


def test_an_overconfident_model_has_one() -> None:
    draw = np.random.default_rng(2)
    confidence = draw.uniform(0.5, 1, 1000)
    found = calibration_error(confidence, draw.random(1000) < confidence - 0.2)
    assert 0.15 < found.low < 0.2 < found.high < 0.26


def test_it_is_an_error_in_an_audit() -> None:
    confidence, correct = np.full(30, 0.9, np.float32), np.arange(30) < 15
    found = calibration_effect(About("ece", "Calibration error", "calibration"), confidence, correct)
    assert (found.name, found.kind, found.unit, found.n) == ("ece", "measured", "error", 30)
    assert found.value == pytest.approx(0.4, abs=1e-6)


@pytest.mark.parametrize(
    ("confidence", "number", "message"),
    [([], 0, "0 and 0"), ([0.5], 2, "1 and 2"), ([3.5], 1, "softmax"), ([float("nan")], 1, "softmax")],
)
def test_what_is_no_confidence_is_refused(confidence: list[float], number: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibration_error(np.array(confidence), np.ones(number, bool))
