"""Permutations that keep what labels have to do with scores, beside what can be counted out."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from longcut.evaluation.cues.conditional import (
    _mix,
    _pairs,
    conditional_permutations,
    log_probabilities,
    matched_strata,
)


def test_strata_hold_what_is_said_alike() -> None:
    draw = np.random.default_rng(0)
    scores, folds = draw.normal(size=(50, 3)), np.arange(50) % 2
    strata = matched_strata(scores, folds, draw, block=4)
    expected: dict[tuple[int, int, int], list[int]] = {}
    for fold in range(2):
        for said in range(3):
            mine = [i for i in range(50) if folds[i] == fold and scores[i].argmax() == said]
            mine.sort(key=lambda i: sorted(scores[i])[-1] - sorted(scores[i])[-2])
            for place, i in enumerate(mine):
                expected.setdefault((fold, said, place // 4), []).append(i)
    assert {tuple(np.flatnonzero(strata == s)) for s in set(strata)} == {tuple(sorted(m)) for m in expected.values()}


def test_what_is_said_alike_is_matched_at_random() -> None:
    """By its place it would be by its class, where images are sorted."""
    scores = np.tile(np.array([[2.0, 1.0]]), (200, 1)) + 1e-7 * np.arange(200)[:, None] * [[1, 0]]
    strata = matched_strata(scores, np.zeros(200, np.int64), np.random.default_rng(0))
    spreads = [np.ptp(np.flatnonzero(strata == s)) for s in range(20)]
    assert min(spreads) > 40


def test_labels_change_places_as_likely_as_the_odds_have_it() -> None:
    draw = np.random.default_rng(0)
    odds = draw.normal(0, 1.5, (4, 3))
    labels = np.tile(np.array([0, 1, 2, 2], np.int16), (20000, 1))
    stratum = np.zeros(4, np.int64)
    _mix(labels, [_pairs(stratum, draw) for _ in range(40)], odds.astype(np.float32), draw)
    orders = sorted(set(permutations((0, 1, 2, 2))))
    weights = np.array([np.exp(sum(odds[i, label] for i, label in enumerate(order))) for order in orders])
    shares = np.array([(labels == order).all(axis=1).mean() for order in orders])
    np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.015)


def test_labels_stay_in_their_stratum() -> None:
    draw = np.random.default_rng(0)
    scores, folds, labels = draw.normal(size=(90, 3)), np.arange(90) % 3, draw.integers(0, 3, 90)
    strata = matched_strata(scores, folds, np.random.default_rng(5))
    permuted = conditional_permutations(labels, scores, folds, 130, np.random.default_rng(5))
    assert len(np.unique(permuted, axis=0)) == 130
    for stratum in np.unique(strata):
        mine = np.sort(permuted[:, strata == stratum], axis=1)
        assert (mine == np.sort(labels[strata == stratum])).all()


def test_probabilities_are_those_of_normal_classes() -> None:
    """Whose spread the scores do not know."""
    draw = np.random.default_rng(0)
    count, spread, share = 30000, 0.7, np.array([0.1, 0.2, 0.3, 0.4])
    labels, means = draw.choice(4, count, p=share), draw.normal(size=(4, 2))
    values = means[labels] + spread * draw.normal(size=(count, 2))
    density = share * np.exp(-((values[:, None] - means) ** 2).sum(axis=2) / (2 * spread**2))
    scores = values @ means.T - (means**2).sum(axis=1) / 2
    found = np.exp(log_probabilities(scores, labels, np.arange(count) % 5))
    np.testing.assert_allclose(found, density / density.sum(axis=1, keepdims=True), atol=0.02)
