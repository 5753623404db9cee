"""How much less images say together than apart, against its double loop and against what really varies."""

from __future__ import annotations

import numpy as np
import pytest

from longcut.evaluation.audit.design_effect import design_effect
from longcut.evaluation.audit.donors import draw_donors


def by_loop(differences: list[float], lenders: list[list[int]]) -> float:
    """Products of deviations over all pairs that share an image, over those of each difference with itself."""
    usable = [i for i, d in enumerate(differences) if d == d]
    mean = sum(differences[i] for i in usable) / len(usable)
    shared = alone = 0.0
    for i in usable:
        alone += (differences[i] - mean) ** 2
        for j in usable:
            if {i, *lenders[i]} & {j, *lenders[j]}:
                shared += (differences[i] - mean) * (differences[j] - mean)
    return max(1.0, shared / alone)


def drawn(targets: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """`[s, 2]` a donor of each image's class and one of another."""
    every = np.ones(len(targets), bool)
    lent = [draw_donors(targets, every, draw.random(len(targets)), same=same) for same in (True, False)]
    return np.column_stack(lent)


def swapped(cue: np.ndarray, targets: np.ndarray, lenders: np.ndarray) -> np.ndarray:
    """The differences of a model that goes by a cue of two values, and nothing else."""
    same, other = ((cue[row] == targets).astype(np.float64) for row in lenders.T)
    return same - other


@pytest.mark.parametrize("classes", [2, 7, 20])
@pytest.mark.parametrize("seed", range(4))
def test_it_is_its_loop(classes: int, seed: int) -> None:
    """Down to classes of two, where each image lends to the other and pairs have two images in common."""
    draw = np.random.default_rng(seed)
    targets = np.arange(40) % classes
    lenders = drawn(targets, draw)
    lent = draw.normal(0, 1, 40)
    differences = lent + lent[lenders].sum(axis=1) + draw.normal(0, 0.1, 40)
    differences[draw.random(40) < 0.2] = np.nan
    found = design_effect(differences, lenders)
    assert found == pytest.approx(by_loop(differences.tolist(), lenders.tolist()), rel=1e-12)
    assert found > 1


def test_differences_of_the_same_three_images_count_once() -> None:
    lenders = np.array([[1, 2], [0, 2], [1, 0], [4, 5], [3, 5], [3, 4]])
    differences = np.array([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    assert design_effect(differences, lenders) == pytest.approx(3.0, abs=1e-12)
    assert by_loop(differences.tolist(), lenders.tolist()) == pytest.approx(3.0, abs=1e-12)


def test_it_is_never_below_one() -> None:
    lenders = np.array([[1, 2], [0, 3], [3, 0], [2, 1]])
    differences = np.array([1.0, -1.0, -1.0, 1.0])
    assert by_loop(differences.tolist(), lenders.tolist()) == 1.0
    assert design_effect(differences, lenders) == 1.0
    assert design_effect(np.zeros(4), lenders) == 1.0
    assert design_effect(np.array([1.0, np.nan, np.nan, np.nan]), lenders) == 1.0


def test_images_that_say_something_by_themselves_lend_nothing() -> None:
    """Where what an image has decides, not what it gets, differences are independent."""
    draw = np.random.default_rng(0)
    targets = np.arange(4000) % 2
    differences = draw.choice([-1.0, 0.0, 1.0], 4000)
    assert design_effect(differences, drawn(targets, draw)) < 1.2


def test_it_is_how_much_the_mean_varies_more() -> None:
    """Of a model that goes by the background alone, on sets where that is drawn apart from the class."""
    draw = np.random.default_rng(0)
    targets = np.arange(200) % 2
    means, alone, found = [], [], []
    for _ in range(1500):
        lenders = drawn(targets, draw)
        differences = swapped(draw.integers(0, 2, 200), targets, lenders)
        means.append(differences.mean())
        alone.append(differences.var() / 200)
        found.append(design_effect(differences, lenders))
    assert np.mean(found) == pytest.approx(np.var(means) / np.mean(alone), rel=0.12)
    assert np.mean(found) > 2.5
