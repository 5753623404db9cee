"""Last-layer retraining: balanced subsets, the penalised fit against plain loops, what is chosen and by what."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from longcut.evaluation.last_layer import (
    INVERSE_STRENGTHS,
    Grouped,
    balanced_subset,
    fit_balanced,
    fit_l1,
    retrain_last_layer,
    worst_group_accuracy,
)
from longcut.evaluation.linear_probe import Linear, fit_lbfgs, hold_out


def planted(count, *, aligned, seed=0, dim=12):
    """A core feature with noise of 1, a spurious one with hardly any, and others that say nothing."""
    draw = np.random.default_rng(seed)
    targets = draw.integers(0, 2, count)
    bias = np.where(draw.random(count) < aligned, targets, 1 - targets)
    features = draw.normal(size=(count, dim))
    features[:, 0] = 2 * (2 * targets - 1) + draw.normal(size=count)
    features[:, 1] = 2 * (2 * bias - 1) + 0.1 * draw.normal(size=count)
    return Grouped(features, targets, 2 * targets + bias)


def clusters(count, *, classes=3, dim=4, seed=0):
    draw = np.random.default_rng(seed)
    targets = np.arange(count) % classes
    features = draw.normal(size=(classes, dim))[targets] + draw.normal(size=(count, dim))
    return features, targets


def test_balanced_subsets_have_as_many_of_each_group_as_the_smallest():
    groups = np.array([7, 3, 3, 7, 3, 9, 3, 9, 9, 7, 3])
    chosen = balanced_subset(groups, 1)
    assert np.unique(groups[chosen], return_counts=True)[1].tolist() == [3, 3, 3]
    assert len(set(chosen.tolist())) == 9
    assert chosen.tolist() == balanced_subset(groups, 1).tolist()
    drawn = np.concatenate([balanced_subset(groups, (0, number)) for number in range(50)])
    assert set(drawn.tolist()) == set(range(11)), "each sample has its turn"
    assert (np.bincount(drawn)[groups != 3] == 50).all()


def minimum(features, signs, c):
    """Weights and bias by plain loops: a differentiable problem in their positive and negative parts."""
    size = features.shape[1] + 1

    def loss(parts):
        total, slopes = sum(parts), np.ones(2 * size)
        for x, sign in zip(features, signs, strict=True):
            row = np.append(x, 1.0)
            margin = sign * sum((parts[i] - parts[size + i]) * row[i] for i in range(size))
            total += c * math.log1p(math.exp(-margin))
            pull = -c * sign * row / (1 + math.exp(margin))
            slopes += np.concatenate([pull, -pull])
        return total, slopes

    options = {"maxiter": 5000, "maxfun": 50_000, "ftol": 1e-15, "gtol": 1e-10}
    found = minimize(
        loss, np.zeros(2 * size), jac=True, method="L-BFGS-B", bounds=[(0, None)] * (2 * size), options=options
    )
    return found.x[:size] - found.x[size:]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("c", [1.0, 0.1])
def test_the_fit_is_the_minimum_of_the_penalised_losses(classes, c):
    features, targets = clusters(30, classes=classes)
    weight, bias = fit_l1(features, targets, num_classes=classes, inverse_strength=c)
    rows = [minimum(features, np.where(targets == label, 1, -1), c) for label in range(classes)]
    expected = np.array(rows) / 2 if classes == 2 else np.array(rows)
    np.testing.assert_allclose(np.column_stack([weight, bias]), expected, atol=2e-4)
    assert (weight[expected[:, :-1] == 0] == 0).all()


def test_weights_of_several_subsets_are_averaged_and_take_raw_features():
    samples = planted(200, aligned=0.8)
    scale, shift = np.geomspace(1e-3, 1e3, 12), np.linspace(-5, 5, 12)
    samples = Grouped(samples.features * scale + shift, samples.targets, samples.groups)
    found = fit_balanced(samples, num_classes=2, inverse_strength=0.3, seeds=[(0, 1), (0, 2)])
    standardised = (samples.features - samples.features.mean(0)) / samples.features.std(0)
    logits = np.zeros((200, 2))
    for seed in (1, 2):
        chosen = balanced_subset(samples.groups, (0, seed))
        weight, bias = fit_l1(standardised[chosen], samples.targets[chosen], num_classes=2, inverse_strength=0.3)
        logits += (standardised @ weight.T + bias) / 2
    np.testing.assert_allclose(found(torch.from_numpy(samples.features)).numpy(), logits, atol=1e-4)


def test_retraining_finds_the_core_feature_where_the_biased_head_uses_the_spurious_one():
    train, validation = planted(2000, aligned=0.99), planted(400, aligned=0.8, seed=1)
    test = planted(4000, aligned=0.5, seed=2)
    biased = fit_lbfgs(torch.from_numpy(train.features), torch.from_numpy(train.targets), num_classes=2, l2=0.01)
    assert worst_group_accuracy(biased, test) < 0.5
    found = retrain_last_layer(validation, num_classes=2)
    assert worst_group_accuracy(found.linear, test) > 0.9
    weight = (found.linear.weight[1] - found.linear.weight[0]).abs()
    assert weight[0] > 20 * weight[1]
    assert found.group_size == np.bincount(validation.groups).min()


def test_three_classes_are_told_apart_where_the_bias_says_another():
    draw = np.random.default_rng(0)
    targets, bias = draw.integers(0, 3, 900), draw.integers(0, 3, 900)
    bias = np.where(draw.random(900) < 0.7, targets, bias)
    features = np.concatenate([np.eye(3)[targets] * 2, np.eye(3)[bias] * 9], 1) + draw.normal(size=(900, 6)) * 0.4
    samples = Grouped(features.astype(np.float32), targets, 3 * targets + bias)
    found = retrain_last_layer(samples, num_classes=3, repeats=3)
    assert found.linear.weight.dtype == torch.float32
    assert worst_group_accuracy(found.linear, samples) > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_the_penalty_is_the_best_for_the_worst_group_of_the_held_out_half(seed):
    samples = planted(120, aligned=0.7, seed=10 + seed, dim=40)
    held = hold_out(samples.groups, share=0.5, seed=seed)
    assert all(abs(held[samples.groups == group].mean() - 0.5) < 0.1 for group in range(4))
    fitted, judges = samples.select(~held), samples.select(held)
    scores = []
    for c in INVERSE_STRENGTHS:
        linear = fit_balanced(fitted, num_classes=2, inverse_strength=c, seeds=[(seed, 0)])
        said = linear(torch.from_numpy(judges.features)).argmax(1).numpy()
        shares = [(said == judges.targets)[judges.groups == group].mean() for group in range(4)]
        scores.append(min(shares))
    assert len(set(scores)) > 1
    found = retrain_last_layer(samples, num_classes=2, seed=seed)
    best = INVERSE_STRENGTHS[int(np.argmax(scores))]
    assert (found.inverse_strength, found.worst_group) == (best, pytest.approx(max(scores)))
    seeds = [(seed, number) for number in range(1, 11)]
    final = fit_balanced(samples, num_classes=2, inverse_strength=best, seeds=seeds)
    torch.testing.assert_close(found.linear.weight, final.weight, rtol=0, atol=0)
    again = retrain_last_layer(samples, num_classes=2, seed=seed)
    assert torch.equal(again.linear.weight, found.linear.weight)


def test_other_samples_may_choose():
    """The fit is then on all samples: those that choose have no part in it."""
    samples, judges = planted(200, aligned=0.8), planted(100, aligned=0.5, seed=1)
    flipped = Grouped(judges.features, 1 - judges.targets, judges.groups)
    grid = (1.0, 0.1, 1e-4)
    right = retrain_last_layer(samples, num_classes=2, inverse_strengths=grid, choose_on=judges)
    wrong = retrain_last_layer(samples, num_classes=2, inverse_strengths=grid, choose_on=flipped)
    assert right.worst_group > 0.9
    assert wrong.worst_group < 0.1
    only = retrain_last_layer(samples, num_classes=2, inverse_strengths=(right.inverse_strength,), choose_on=flipped)
    assert torch.equal(only.linear.weight, right.linear.weight)


def test_a_stronger_penalty_leaves_fewer_features():
    features, targets = clusters(200, classes=2, dim=30)
    counts = [
        int((fit_l1(features, targets, num_classes=2, inverse_strength=c)[0][1] != 0).sum()) for c in INVERSE_STRENGTHS
    ]
    assert all(more >= less for more, less in pairwise(counts))
    assert counts[0] > counts[-1]


def test_groups_of_one_leave_nothing_to_choose_by():
    found = retrain_last_layer(Grouped(np.eye(4) * 9, np.array([0, 0, 1, 1]), np.arange(4)), num_classes=2)
    assert (found.inverse_strength, found.worst_group, found.group_size) == (INVERSE_STRENGTHS[0], None, 1)


def test_a_feature_that_never_changes_is_harmless():
    samples = planted(100, aligned=0.8)
    dead = np.column_stack([samples.features, np.zeros(100), np.full(100, 1e4)]).astype(np.float32)
    found = retrain_last_layer(Grouped(dead, samples.targets, samples.groups), num_classes=2)
    assert found.linear.weight.isfinite().all()
    assert worst_group_accuracy(found.linear, Grouped(dead, samples.targets, samples.groups)) > 0.8


def test_the_worst_group_is_the_lowest_of_those_that_are_there():
    linear = Linear(torch.tensor([[0.0], [1.0]]), torch.zeros(2))
    features = np.array([[-1.0], [-1.0], [1.0], [1.0], [1.0]], np.float32)
    samples = Grouped(features, np.array([0, 1, 1, 1, 0]), np.array([0, 5, 5, 5, 0]))
    assert worst_group_accuracy(linear, samples) == 0.5


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"inverse_strengths": ()}, "not 10 fits at none"),
        ({"inverse_strengths": (0.1, 0.0)}, r"not 10 fits at 0\.1, 0"),
        ({"repeats": 0}, "not 0 fits at 1, "),
    ],
)
def test_what_cannot_be_fitted_is_refused(options, told):
    with pytest.raises(ValueError, match=told):
        retrain_last_layer(planted(40, aligned=0.5), num_classes=2, **options)
