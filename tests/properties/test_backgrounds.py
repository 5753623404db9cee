"""Backgrounds come from other classes, each as often as every other."""

from __future__ import annotations

from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longcut.negatives import BackgroundPool, draw_backgrounds

POOL = torch.tensor([2, 0, 2, 1, 2, 2, 0, 2, 1, 0])
DRAWS = 20_000


def chi_square(counts: np.ndarray, shares: np.ndarray) -> float:
    """Standardised: 0 on average and 1 in its deviation where the shares are right."""
    expected = shares * counts.sum()
    freedom = len(counts) - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom))


@settings(max_examples=150)
@given(
    st.lists(st.integers(0, 5), min_size=2, max_size=20).filter(lambda pool: len(set(pool)) > 1),
    st.lists(st.integers(0, 7), max_size=12),
    st.sampled_from(["images", "classes"]),
    st.integers(0, 1000),
)
def test_no_image_gets_a_background_of_its_own_class(
    pool: list[int], targets: list[int], balance: str, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    targets_, pool_ = torch.tensor(targets, dtype=torch.long), torch.tensor(pool)
    drawn = draw_backgrounds(targets_, pool_, balance=balance, generator=generator)
    assert drawn.shape == targets_.shape
    assert ((drawn >= 0) & (drawn < len(pool))).all()
    assert (pool_[drawn] != targets_).all()


@pytest.mark.parametrize("balance", ["images", "classes"])
def test_the_ends_of_the_draws_are_in_range(balance: str) -> None:
    pool = BackgroundPool(POOL.numpy(), balance)
    ends = np.array([[0.0, 0.0], [0.0, 1 - 2**-32], [1 - 2**-32, 0.0], [1 - 2**-32, 1 - 2**-32]])
    for target in range(-1, 5):
        drawn = pool.draw(np.full(4, target), ends)
        assert (POOL.numpy()[drawn] != target).all()


@pytest.mark.parametrize("target", [0, 1, 2])
def test_uniform_over_images(target: int) -> None:
    generator = torch.Generator().manual_seed(5)
    drawn = draw_backgrounds(torch.full((DRAWS,), target), POOL, generator=generator)
    others = (target != POOL).numpy()
    counts = np.bincount(drawn, minlength=len(POOL))
    assert counts[~others].sum() == 0
    assert abs(chi_square(counts[others], np.full(others.sum(), 1 / others.sum()))) < 4


@pytest.mark.parametrize("target", [0, 1, 2])
def test_uniform_over_classes_and_then_over_their_images(target: int) -> None:
    generator = torch.Generator().manual_seed(6)
    drawn = draw_backgrounds(torch.full((DRAWS,), target), POOL, balance="classes", generator=generator)
    others = [i for i, c in enumerate(POOL.tolist()) if c != target]
    shares = np.array([0.5 / POOL.tolist().count(POOL[i].item()) for i in others])
    counts = np.bincount(drawn, minlength=len(POOL))
    assert abs(chi_square(counts[others], shares)) < 4


@pytest.mark.parametrize("balance", ["images", "classes"])
def test_a_class_that_the_pool_lacks_draws_from_all(balance: str) -> None:
    generator = torch.Generator().manual_seed(7)
    for unknown in (-1, 9):
        drawn = draw_backgrounds(torch.full((500,), unknown), POOL, balance=balance, generator=generator)
        assert set(drawn.tolist()) == set(range(len(POOL)))


def test_the_generator_decides() -> None:
    targets = torch.arange(50) % 3
    first, again, other = (
        draw_backgrounds(targets, POOL, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("balance", ["images", "classes"])
def test_one_class_lends_to_others_alone(balance: str) -> None:
    lenders = torch.tensor([1, 1, 1])
    drawn = draw_backgrounds(torch.tensor([0] * 60), lenders, balance=balance)
    assert set(drawn.tolist()) == {0, 1, 2}
    with pytest.raises(ValueError, match=r"at least two classes: all that could lend one are of class 1$"):
        draw_backgrounds(torch.tensor([0, 1]), lenders, balance=balance)


def test_an_empty_pool_lends_to_none() -> None:
    nothing = torch.zeros(0, dtype=torch.long)
    assert draw_backgrounds(nothing, nothing).shape == (0,)
    with pytest.raises(ValueError, match="at least two classes: there is none"):
        draw_backgrounds(torch.tensor([0]), nothing)


def test_draws_are_made_where_the_generator_is(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = Mock(torch.Generator, device=torch.device("meta"))
    made: list[torch.device] = []

    def rand(*size: int, generator: torch.Generator, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        made.append(device)
        return torch.zeros(size, dtype=dtype)

    monkeypatch.setattr(torch, "rand", rand)
    draw_backgrounds(torch.tensor([0, 1]), POOL, generator=generator)
    assert made == [generator.device]


def test_an_unknown_balance_is_refused() -> None:
    with pytest.raises(ValueError, match="'images' or 'classes', not 'colours'"):
        BackgroundPool(POOL.numpy(), "colours")
