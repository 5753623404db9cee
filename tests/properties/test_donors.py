"""Every image that may lend does so as often as the others, and none to itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.evaluation.audit.donors import draw_donors
from longcut.recipes.audit.views import Lenders, draw_lenders

STEPS = 60
"""Uniforms in as many even steps fall evenly on up to six donors."""


def eligible(groups: list[int], lends: list[bool], image: int, *, same: bool) -> list[int]:
    """Who may lend to an image, by the words of the definition."""
    others = [donor for donor in range(len(groups)) if donor != image and lends[donor]]
    return [donor for donor in others if (groups[donor] == groups[image]) == same]


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(-1, 2), st.booleans()), min_size=1, max_size=7), st.booleans())
def test_the_uniforms_fall_evenly_on_all_who_may_lend(images: list[tuple[int, bool]], same: bool) -> None:
    groups, lends = ([image[part] for image in images] for part in (0, 1))
    steps = [np.full(len(images), (k + 0.5) / STEPS) for k in range(STEPS)]
    drawn = np.stack([draw_donors(np.array(groups), np.array(lends), step, same=same) for step in steps])
    for image in range(len(images)):
        donors, counts = np.unique(drawn[:, image], return_counts=True)
        expected = eligible(groups, lends, image, same=same)
        assert donors.tolist() == (expected or [-1])
        assert (counts == STEPS // max(1, len(expected))).all()


@pytest.mark.parametrize("uniform", [0.0, np.nextafter(1.0, 0.0)])
def test_the_ends_of_the_uniforms_are_drawn_too(uniform: float) -> None:
    groups, lends = np.array([0, 0, 0, 1, 1]), np.ones(5, bool)
    same = draw_donors(groups, lends, np.full(5, uniform), same=True)
    other = draw_donors(groups, lends, np.full(5, uniform), same=False)
    assert same.tolist() == ([1, 0, 0, 4, 3] if uniform == 0 else [2, 2, 1, 4, 3])
    assert other.tolist() == ([3, 3, 3, 0, 0] if uniform == 0 else [4, 4, 4, 2, 2])


@pytest.mark.parametrize("same", [True, False])
def test_donors_of_many_images_are_uniform(same: bool) -> None:
    """Pearson's statistic of how often each image lends, over 300 seeds, is within its 99.99 % range."""
    draw = np.random.default_rng(0)
    groups, lends = draw.integers(0, 3, 40), draw.random(40) < 0.8
    counts = np.zeros((40, 40))
    for seed in range(300):
        uniforms = keyed_uniforms(seed, 0, np.arange(40), Stream.LENDER, 2)
        donors = draw_donors(groups, lends, uniforms[:, 0 if same else 1], same=same)
        counts[np.arange(40), donors] += 1
    statistic = freedom = 0.0
    for image in range(40):
        expected = eligible(groups.tolist(), lends.tolist(), image, same=same)
        share = 300 / len(expected)
        assert counts[image, expected].sum() == 300, "and nobody else"
        statistic += float(((counts[image, expected] - share) ** 2).sum()) / share
        freedom += len(expected) - 1
    assert abs(statistic - freedom) < 3.9 * np.sqrt(2 * freedom)


def test_without_anybody_there_is_no_donor() -> None:
    nobody = np.zeros(3, bool)
    assert draw_donors(np.zeros(3, np.int64), nobody, np.full(3, 0.5), same=True).tolist() == [-1, -1, -1]
    assert draw_donors(np.arange(3), ~nobody, np.full(3, 0.5), same=True).tolist() == [-1, -1, -1]
    assert draw_donors(np.zeros(3, np.int64), ~nobody, np.full(3, 0.5), same=False).tolist() == [-1, -1, -1]
    assert draw_donors(np.zeros(0, np.int64), nobody[:0], np.zeros(0), same=True).tolist() == []


def test_an_image_without_donors_stands_in_for_them_and_is_not_complete() -> None:
    lenders = Lenders(np.array([1, 0, -1]), np.array([2, -1, 0]))
    assert lenders.pairs.tolist() == [[1, 2], [0, 1], [2, 0]]
    assert lenders.complete.tolist() == [True, False, False]


def test_those_with_a_background_lend_first_and_the_others_where_there_is_none() -> None:
    groups, lends = np.repeat([0, 1, 2], 20), np.arange(60) < 30
    lenders = draw_lenders(groups, lends, seed=0)
    assert lenders.complete.all()
    assert lends[lenders.same[:40]].all()
    assert (groups[lenders.same] == groups).all()
    assert (lenders.same != np.arange(60)).all()
    assert lends[lenders.other].all()
    assert (groups[lenders.other] != groups).all()
    bare = draw_lenders(groups, np.zeros(60, bool), seed=0)
    assert bare.complete.all()
    assert bare.pairs.tolist() == draw_lenders(groups, np.ones(60, bool), seed=0).pairs.tolist()
