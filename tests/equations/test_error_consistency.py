from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from longcut.evaluation.error_consistency import error_consistency


def test_by_hand() -> None:
    first, second = np.array([1, 1, 1, 0], bool), np.array([1, 1, 0, 0], bool)
    # observed 3/4; expected 3/4 * 1/2 + 1/4 * 1/2 = 1/2
    found = error_consistency(first, second)
    assert found is not None
    assert (found.value, found.n) == (0.5, 4)


@pytest.mark.parametrize("agreement", [0.0, 0.4, 0.9])
def test_it_is_cohen_s_kappa(agreement: float) -> None:
    draw = np.random.default_rng(3)
    first = draw.random(400) < 0.7
    second = np.where(draw.random(400) < agreement, first, draw.random(400) < 0.5)
    found = error_consistency(first, second)
    assert found is not None
    assert found.value == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
    assert found.low < found.value < found.high


def test_its_interval_is_the_bootstrap_s() -> None:
    draw = np.random.default_rng(4)
    first = draw.random(300) < 0.6
    second = np.where(draw.random(300) < 0.5, first, draw.random(300) < 0.6)
    found = error_consistency(first, second)
    assert found is not None
    resamples = [draw.integers(300, size=300) for _ in range(1000)]
    kappas = [cohen_kappa_score(first[rows], second[rows]) for rows in resamples]
    assert (found.low, found.high) == pytest.approx(np.percentile(kappas, [2.5, 97.5]), abs=0.03)


def test_limits() -> None:
    some = np.array([1, 0, 1, 1, 0], bool)
    same, opposite = error_consistency(some, some), error_consistency(some[:4], ~some[:4])
    assert same is not None
    assert same.value == 1
    assert opposite is not None
    assert opposite.value < 0
    half = np.arange(10_000) < 5000
    never_alike = error_consistency(half, ~half)
    assert never_alike is not None
    assert never_alike.low == never_alike.value == -1, "although few resamples are as extreme"


@pytest.mark.parametrize("right", [True, False])
def test_models_that_are_always_right_or_always_wrong_have_none(right: bool) -> None:
    assert error_consistency(np.full(5, right), np.full(5, right)) is None


def test_one_that_is_always_right_is_consistent_by_chance() -> None:
    found = error_consistency(np.ones(6, bool), np.array([1, 0, 1, 0, 1, 1], bool))
    assert found is not None
    assert found.value == 0


def test_models_that_never_differ_are_not_surely_the_same() -> None:
    four, many = (error_consistency(some, some) for some in (np.arange(4) < 2, np.arange(400) < 200))
    assert four is not None
    assert many is not None
    assert four.low < 0.5 < 0.97 < many.low < four.high == many.high == 1


@pytest.mark.parametrize("right", [True, False])
def test_models_that_differ_by_chance_alone_may_be_consistent(right: bool) -> None:
    found = error_consistency(np.full(20, right), np.arange(20) < 10)
    assert found is not None
    assert -0.4 < found.low < -0.05
    assert 0.05 < found.high < 0.4


@pytest.mark.parametrize(("p", "kappa", "n"), [(0.9, 0.9, 20), (0.5, 0.95, 4), (0.95, 0.5, 20)])
def test_intervals_of_few_errors_cover_what_they_should(p: float, kappa: float, n: int) -> None:
    """Resampling alone covers it in 23, 6 and 32 % of the draws, where kappa is mostly 1 or 0."""
    chance = p**2 + (1 - p) ** 2
    differ = (1 - chance) * (1 - kappa) / 2
    draw, covered = np.random.default_rng(5), []
    for cells in draw.multinomial(n, [1 - p - differ, differ, differ, p - differ], 150):
        first, second = (np.repeat(says, cells).astype(bool) for says in ([0, 0, 1, 1], [0, 1, 0, 1]))
        found = error_consistency(first, second)
        if found is not None:
            covered.append(found.low <= kappa <= found.high)
    assert np.mean(covered) > 0.87


def test_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="the same images from both: 2 and 3"):
        error_consistency(np.ones(2, bool), np.ones(3, bool))
    with pytest.raises(ValueError, match="0 and 0"):
        error_consistency(np.ones(0, bool), np.ones(0, bool))
