"""Which image gets which bias: the rules against plain loops, exact numbers, and what is held out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.builders.bias_assignment import (
    block_bias,
    check_share,
    hold_out,
    independent_bias,
    ranks_within,
    shuffled_bias,
    spread_order,
)


def some_targets(count: int, num_classes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, num_classes, count)


def draws_for(count: int, width: int, seed: int = 0) -> np.ndarray:
    return keyed_uniforms(seed, 0, np.arange(count), Stream.BIAS, width)


def by_loop(targets: np.ndarray, aligned: float, num_classes: int) -> np.ndarray:
    """Blocks as Nam et al. describe them: image by image, the first block whose end lies behind its place."""
    bias = np.full_like(targets, -1)
    for c in range(num_classes):
        members = [i for i in range(len(targets)) if targets[i] == c]
        ends, share = [], 0.0
        for b in range(num_classes):
            share += aligned if b == c else (1 - aligned) / (num_classes - 1)
            ends.append(round(len(members) * share))
        for place, i in enumerate(members):
            bias[i] = next(b for b in range(num_classes) if ends[b] > place)
    return bias


# Blocks.


@pytest.mark.parametrize(("count", "num_classes"), [(10, 10), (997, 10), (400, 3), (60, 2)])
@pytest.mark.parametrize("aligned", [0.995, 0.9, 0.5, 0.1])
def test_blocks_are_those_of_a_plain_loop(count: int, num_classes: int, aligned: float) -> None:
    targets = some_targets(count, num_classes)
    assert (block_bias(targets, aligned, num_classes) == by_loop(targets, aligned, num_classes)).all()


@pytest.mark.parametrize("ratio", [0.005, 0.01, 0.02, 0.05])
def test_as_many_conflict_as_asked_for(ratio: float) -> None:
    """Rounded at the two ends of the class's own block."""
    targets = some_targets(6000, 10)
    bias = block_bias(targets, 1 - ratio, 10)
    for c in range(10):
        conflicting = bias[(targets == c) & (bias != c)]
        assert abs(len(conflicting) - ratio * (targets == c).sum()) <= 1
        counts = np.delete(np.bincount(conflicting, minlength=10), c)
        assert counts.max() - counts.min() <= 1
    whole = np.repeat(np.arange(10), 1800)
    assert (block_bias(whole, 1 - ratio, 10) != whole).sum() == round(ratio * 18000)


def test_blocks_of_equal_shares_are_independent_of_the_class() -> None:
    targets = np.repeat(np.arange(10), 100)
    cells = np.bincount(10 * targets + block_bias(targets, 0.1, 10))
    assert (cells == 10).all()


# Draws.


def test_each_image_conflicts_by_its_own_draw() -> None:
    targets, draws = some_targets(20_000, 10), draws_for(20_000, 2)
    bias = independent_bias(targets, 0.3, 10, draws)
    conflicting = bias != targets
    assert (conflicting == (draws[:, 0] < 0.3)).all()
    shifts = np.bincount((bias - targets)[conflicting] % 10, minlength=10)
    expected = conflicting.sum() / 9
    assert shifts[0] == 0
    assert ((shifts[1:] - expected) ** 2 / expected).sum() < 25  # 8 degrees of freedom: exceeded once in 600
    some = np.array([7, 3, 12_000])
    assert (independent_bias(targets[some], 0.3, 10, draws[some]) == bias[some]).all()


@pytest.mark.parametrize("rho", [0.999, 0.99, 0.5, 0.1, 1.0])
def test_a_shuffle_leaves_the_rounded_share_and_cuts_the_rest_evenly(rho: float) -> None:
    targets = some_targets(3000, 10)
    bias = shuffled_bias(targets, rho, 10, draws_for(3000, 1)[:, 0], draws_for(10, 9, seed=1))
    for c in range(10):
        found = np.bincount(bias[targets == c], minlength=10)
        count = (targets == c).sum()
        kept = math.floor(count * rho)
        assert found[c] == kept
        size = math.ceil((count - kept) / 9)
        others = sorted(np.delete(found, c), reverse=True)
        full = (count - kept) // size if size else 0
        assert others[:full] == [size] * full
        assert sum(others) == count - kept


def test_a_shuffle_does_not_follow_the_order_of_the_set() -> None:
    targets = np.repeat(np.arange(10), 200)
    orders = draws_for(10, 9, seed=1)
    first = shuffled_bias(targets, 0.5, 10, draws_for(2000, 1)[:, 0], orders)
    again = shuffled_bias(targets, 0.5, 10, draws_for(2000, 1, seed=2)[:, 0], orders)
    assert (first != again).mean() > 0.3
    halves = (first == targets).reshape(10, 2, 100).mean(axis=(0, 2))
    assert np.abs(halves - 0.5).max() < 0.1
    few = shuffled_bias(targets[:200], 0.98, 10, draws_for(200, 1)[:, 0], orders)
    other = shuffled_bias(targets[:200], 0.98, 10, draws_for(200, 1)[:, 0], draws_for(10, 9, seed=3))
    assert set(few) != set(other)  # which colours come, of four images for nine


# Orders, and what is held out.


@settings(max_examples=60)
@given(groups=st.lists(st.integers(0, 5), min_size=1, max_size=120), seed=st.integers(0, 99))
def test_every_beginning_holds_each_group_in_its_share(groups: list[int], seed: int) -> None:
    labels = np.array(groups)
    order = spread_order(labels, draws_for(len(labels), 1, seed)[:, 0])
    assert sorted(order) == list(range(len(labels)))
    shares = np.bincount(labels) / len(labels)
    for end in range(len(labels) + 1):
        found = np.bincount(labels[order[:end]], minlength=len(shares))
        assert np.abs(found - end * shares).max() < 1 + len(shares)
    ranks = ranks_within(labels)
    assert all(ranks[i] == groups[:i].count(groups[i]) for i in range(len(groups)))


def test_the_order_is_random_within_a_group() -> None:
    labels = np.zeros(400, np.int64)
    order = spread_order(labels, draws_for(400, 1)[:, 0])
    assert abs(np.corrcoef(order, np.arange(400))[0, 1]) < 0.2
    assert (order != spread_order(labels, draws_for(400, 1, seed=1)[:, 0])).any()


@pytest.mark.parametrize("count", [0, 1, 100, 500, 1999])
def test_what_is_held_out_is_as_biased(count: int) -> None:
    targets = some_targets(2000, 10)
    bias = block_bias(targets, 0.9, 10)
    chosen = hold_out(targets, bias, count, draws_for(2000, 1)[:, 0])
    conflicting = (bias != targets).sum()
    assert chosen.sum() == count
    assert (chosen & (bias != targets)).sum() == round(count * conflicting / 2000)
    aligned = bias == targets
    for c in range(10):
        share = (chosen & aligned)[targets == c].sum() - (aligned & (targets == c)).sum() * count / 2000
        assert abs(share) <= 2


@pytest.mark.parametrize("count", [-1, 50, 51])
def test_something_must_be_left_to_train_on(count: int) -> None:
    targets = some_targets(50, 10)
    with pytest.raises(ValueError, match=rf"^valid is {count}: of 50 training images 0 to 49 can be held out$"):
        hold_out(targets, targets, count, draws_for(50, 1)[:, 0])


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_a_ratio_is_a_share(value: float) -> None:
    with pytest.raises(ValueError, match=rf"^ratio is {value}: it must lie above 0 and below 1$"):
        check_share("ratio", value)
    if value == 1:
        check_share("rho", value, one=True)
    else:
        with pytest.raises(ValueError, match=r"^rho .* above 0 and be at most 1$"):
            check_share("rho", value, one=True)
