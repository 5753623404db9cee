from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from longcut.corruptions import CORRUPTIONS
from longcut.evaluation.corruption_error import ALEXNET_ERRORS, SEVERITIES, mean_accuracy, mean_corruption_error
from longcut.evaluation.metrics import measure

Cells = dict[tuple[str, int], NDArray[np.bool_]]


def cells(seed: int = 0, count: int = 40) -> Cells:
    draw = np.random.default_rng(seed)
    return {
        (name, severity): draw.random(count) < 1 - 0.1 * severity * ALEXNET_ERRORS[name]
        for name in ALEXNET_ERRORS
        for severity in SEVERITIES
    }


def test_mce_against_plain_loops() -> None:
    correct = cells()
    errors = []
    for name, alexnet in ALEXNET_ERRORS.items():
        over_severities = sum(sum(not c for c in correct[name, s]) / len(correct[name, s]) for s in (1, 2, 3, 4, 5))
        errors.append(over_severities / (5 * alexnet))
    found = mean_corruption_error(correct)
    assert found.value == pytest.approx(sum(errors) / 15, rel=1e-12)
    assert found.n == 40
    assert found.low < found.value < found.high


def test_alexnet_has_an_mce_of_one() -> None:
    # A model that is wrong on AlexNet's share of a million images, to the published digits.
    count = 1_000_000
    correct = {
        (name, s): np.arange(count) >= round(error * count)
        for name, error in ALEXNET_ERRORS.items()
        for s in SEVERITIES
    }
    wrong = {key: (~values).mean() for key, values in correct.items()}
    assert wrong["fog", 1] == ALEXNET_ERRORS["fog"]
    few = {key: values[:: count // 1000] for key, values in correct.items()}
    assert mean_corruption_error(few).value == pytest.approx(1, abs=2e-3)


def test_the_published_errors_are_of_the_fifteen() -> None:
    assert tuple(ALEXNET_ERRORS) == CORRUPTIONS
    assert np.mean(list(ALEXNET_ERRORS.values())) == pytest.approx(0.789, abs=5e-4)


def test_the_mean_is_over_corruptions_and_severities() -> None:
    correct = {("fog", 1): np.array([1, 1, 0, 0], bool), ("snow", 3): np.array([1, 0, 0, 0], bool)}
    found = mean_accuracy(correct)
    assert (found.value, found.n) == (3 / 8, 4)


def test_an_interval_resamples_images_not_cells() -> None:
    same = np.arange(50) % 2 == 0
    alone = mean_accuracy({("fog", 1): same})
    often = mean_accuracy({("fog", s): same for s in SEVERITIES})
    assert (often.low, often.high) == (alone.low, alone.high), "the same images again tell nothing new"


def test_images_that_fare_alike_are_not_certain() -> None:
    right = {key: np.ones(3, bool) for key in cells()}
    wrong = {key: ~values for key, values in right.items()}
    accuracy, best, worst = mean_accuracy(right), mean_corruption_error(right), mean_corruption_error(wrong)
    alone = measure(np.ones(3, bool))
    assert (accuracy.low, accuracy.high) == pytest.approx((alone.low, 1))
    assert (best.low, best.high) == pytest.approx((0, worst.value * (1 - alone.low)))
    assert (worst.low, worst.high) == pytest.approx((worst.value * alone.low, worst.value))


def test_a_missing_cell_is_named() -> None:
    correct = cells()
    del correct["snow", 4]
    with pytest.raises(ValueError, match="snow at severity 4 is missing"):
        mean_corruption_error(correct)


def test_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the same images under each, not \[3, 4\] images"):
        mean_accuracy({("fog", 1): np.ones(3, bool), ("fog", 2): np.ones(4, bool)})
