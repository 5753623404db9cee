"""Nearest neighbours against their definition, written with plain loops in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from longcut.evaluation import knn
from longcut.evaluation.knn import knn_votes


def _plainly(features, targets, queries, num_classes, k, temperature):
    votes = np.zeros((len(queries), num_classes))
    for q, query in enumerate(queries):
        cosines = [float(query @ x) / (math.sqrt(query @ query) * math.sqrt(x @ x)) for x in features]
        for i in sorted(range(len(features)), key=lambda i: -cosines[i])[:k]:
            votes[q, targets[i]] += math.exp(cosines[i] / temperature)
    return votes / votes.sum(axis=1, keepdims=True)


@pytest.fixture
def drawn():
    draw = np.random.default_rng(0)
    return draw.normal(size=(50, 6)) * draw.uniform(0.1, 9, (50, 1)), draw.integers(0, 4, 50), draw.normal(size=(9, 6))


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.1), (7, 0.1), (7, 1.0), (50, 0.5)])
def test_votes_are_those_of_the_definition(drawn, k, temperature):
    features, targets, queries = drawn
    expected = _plainly(features, targets, queries, 4, k, temperature)
    given = (torch.from_numpy(array) for array in drawn)
    votes = knn_votes(*given, num_classes=4, neighbours=k, temperature=temperature)
    np.testing.assert_allclose(votes.numpy(), expected, rtol=1e-10)


def test_cutting_the_queries_changes_nothing(drawn, monkeypatch):
    given = [torch.from_numpy(array) for array in drawn]
    whole = knn_votes(*given, num_classes=4, neighbours=5)
    monkeypatch.setattr(knn, "_AT_ONCE", 100)  # two queries at a time
    torch.testing.assert_close(knn_votes(*given, num_classes=4, neighbours=5), whole)


def test_more_neighbours_than_samples_are_all_of_them(drawn):
    given = [torch.from_numpy(array) for array in drawn]
    all_of_them = knn_votes(*given, num_classes=4, neighbours=50)
    torch.testing.assert_close(knn_votes(*given, num_classes=4, neighbours=200), all_of_them)


def test_one_neighbour_finds_each_sample_itself(drawn):
    features, targets, _ = (torch.from_numpy(array) for array in drawn)
    votes = knn_votes(features, targets, 3 * features, num_classes=4, neighbours=1)
    assert (votes.argmax(1) == targets).all()


def test_a_small_temperature_does_not_overflow(drawn):
    features, targets, queries = (torch.from_numpy(array) for array in drawn)
    votes = knn_votes(features.float(), targets, queries.float(), num_classes=4, temperature=1e-3)
    assert votes.isfinite().all()
    nearest = knn_votes(features, targets, queries, num_classes=4, neighbours=1)
    assert (votes.argmax(1) == nearest.argmax(1)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neighbours": 0}, "neighbours must be at least 1, not 0"),
        ({"temperature": 0.0}, "temperature of nearest neighbours must be positive, not 0.0"),
        ({"temperature": math.nan}, "temperature of nearest neighbours must be positive, not nan"),
    ],
)
def test_what_cannot_be_is_named(drawn, changes, message):
    given = [torch.from_numpy(array) for array in drawn]
    with pytest.raises(ValueError, match=message):
        knn_votes(*given, num_classes=4, **changes)
    with pytest.raises(ValueError, match="at least one labelled sample"):
        knn_votes(given[0][:0], given[1][:0], given[2], num_classes=4)
