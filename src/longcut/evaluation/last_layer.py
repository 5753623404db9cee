"""Last-layer retraining (DFR): a sparse linear classifier on frozen features, fitted where the groups are balanced.

Kirichenko, Izmailov and Wilson, "Last layer re-training is sufficient for robustness to spurious correlations" (ICLR
2023). A group is the samples of one class with one value of the bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from longcut.evaluation.linear_probe import Linear, hold_out

INVERSE_STRENGTHS = (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01)
"""The authors' C to choose from: the smaller, the stronger the penalty."""


@dataclass(frozen=True)
class Grouped:
    """Features of samples whose groups are known."""

    features: Float[NDArray[Any], "s d"]
    targets: Int[NDArray[Any], " s"]
    """0 to the number of classes less 1; each class has a sample."""
    groups: Int[NDArray[Any], " s"]
    """A number for each group; the numbers need not be consecutive."""

    def __len__(self) -> int:
        return len(self.targets)

    def select(self, chosen: Int[NDArray[Any], " k"] | Bool[NDArray[Any], " s"]) -> Grouped:
        """Some of the samples, by position or by a boolean mask."""
        return Grouped(self.features[chosen], self.targets[chosen], self.groups[chosen])


@dataclass(frozen=True)
class Retrained:
    """A retrained last layer.

    Attributes:
        linear: for features that are not standardised.
        inverse_strength: the C that was chosen.
        worst_group: accuracy of the worst group among those that it was chosen on; None where there were none.
        group_size: samples of each group in a balanced subset.
    """

    linear: Linear
    inverse_strength: float
    worst_group: float | None
    group_size: int


def retrain_last_layer(
    samples: Grouped,
    *,
    num_classes: int,
    inverse_strengths: Sequence[float] = INVERSE_STRENGTHS,
    repeats: int = 10,
    seed: int = 0,
    choose_on: Grouped | None = None,
) -> Retrained:
    """Fit a classifier on group-balanced subsets, its penalty chosen by the accuracy of the worst group.

    For the choice it is fitted on a balanced subset of one half of each group and measured on the other; of equals the
    first counts. With the chosen penalty it is fitted on `repeats` balanced subsets of all samples, whose weights are
    averaged. Features are standardised by those samples that subsets are drawn from.

    Args:
        samples: to fit on. A group of one sample is in no held-out half.
        num_classes: how many classes there are.
        inverse_strengths: C to choose from.
        repeats: how many fits are averaged.
        seed: of the half, of the subsets and of the solver.
        choose_on: other samples to choose by, after a fit on all of `samples`; half of each group where None.

    Returns:
        The classifier, in the features' type. Where there is nothing to choose by, it has the first penalty.

    Raises:
        ValueError: there is no C, one of them is not positive, or nothing is to be fitted.

    Source:
        Kirichenko et al. (ICLR 2023), with the values of C that the authors' code has for Waterbirds.
    """
    if not inverse_strengths or min(inverse_strengths) <= 0 or repeats < 1:
        raise ValueError(
            f"last-layer retraining needs a fit at least and positive inverse strengths, not {repeats} fits at "
            f"{', '.join(f'{c:g}' for c in inverse_strengths) or 'none'}"
        )
    fitted = samples
    if choose_on is None:
        held = hold_out(samples.groups, share=0.5, seed=seed)
        fitted, choose_on = samples.select(~held), samples.select(held)
    chosen, worst = inverse_strengths[0], None
    if len(choose_on):
        tried = [
            fit_balanced(fitted, num_classes=num_classes, inverse_strength=c, seeds=[(seed, 0)])
            for c in inverse_strengths
        ]
        scores = [worst_group_accuracy(linear, choose_on) for linear in tried]
        chosen, worst = inverse_strengths[int(np.argmax(scores))], max(scores)
    seeds = [(seed, 1 + number) for number in range(repeats)]
    linear = fit_balanced(samples, num_classes=num_classes, inverse_strength=chosen, seeds=seeds)
    return Retrained(linear, chosen, worst, int(np.unique(samples.groups, return_counts=True)[1].min()))


def balanced_subset(groups: Int[NDArray[Any], " s"], seed: int | Sequence[int] = 0) -> Int[NDArray[Any], " k"]:
    """Positions of as many samples of each group as the smallest one has, drawn at random; group after group."""
    draw = np.random.default_rng(seed)
    labels, counts = np.unique(groups, return_counts=True)
    return np.concatenate([draw.permutation(np.flatnonzero(groups == label))[: counts.min()] for label in labels])


def fit_balanced(
    samples: Grouped, *, num_classes: int, inverse_strength: float, seeds: Sequence[Sequence[int]]
) -> Linear:
    """The mean of classifiers that are each fitted on a balanced subset, for features that are not standardised.

    Args:
        samples: to draw the subsets from; all of them standardise the features, so that weights can be averaged.
        num_classes: how many classes there are.
        inverse_strength: C.
        seeds: of each subset and its fit.
    """
    mean, std = _moments(samples.features)
    weights, biases = [], []
    for seed in seeds:
        chosen = samples.select(balanced_subset(samples.groups, seed))
        weight, bias = fit_l1(
            (chosen.features - mean) / std,
            chosen.targets,
            num_classes=num_classes,
            inverse_strength=inverse_strength,
            seed=seed[-1],
        )
        weights.append(weight)
        biases.append(bias)
    weight = np.mean(weights, axis=0) / std
    bias = np.mean(biases, axis=0) - weight @ mean
    kind = samples.features.dtype
    return Linear(torch.from_numpy(weight.astype(kind)), torch.from_numpy(bias.astype(kind)))


def fit_l1(
    features: Float[NDArray[Any], "s d"],
    targets: Int[NDArray[Any], " s"],
    *,
    num_classes: int,
    inverse_strength: float,
    seed: int = 0,
) -> tuple[Float[NDArray[Any], "n d"], Float[NDArray[Any], " n"]]:
    """Logistic regression with an L1 penalty, of each class against all others.

    Minimises the sum of the logistic losses times C, plus the sum of the absolute values of weights and of the bias,
    which liblinear penalises too. Two classes are one such problem, whose logit is the difference of theirs.

    Args:
        features: standardised.
        targets: 0 to `num_classes - 1`; each class has a sample.
        num_classes: at least two.
        inverse_strength: C.
        seed: of the order in which the solver goes through the features.

    Returns:
        Weights and biases.
    """
    from sklearn.linear_model import LogisticRegression

    # From 1.8 on scikit-learn asks for an L1 penalty by its ratio, and warns where it is named.
    kind = {"penalty": "l1"} if LogisticRegression().l1_ratio is None else {"l1_ratio": 1.0}
    rows = []
    for label in range(1 if num_classes == 2 else 0, num_classes):
        solver = LogisticRegression(
            C=inverse_strength, solver="liblinear", tol=1e-6, max_iter=1000, random_state=seed, **kind
        )
        solver.fit(features, targets == label)
        rows.append(np.append(solver.coef_[0], solver.intercept_[0]))
    found = np.array(rows)
    if num_classes == 2:
        found = np.concatenate([-found, found]) / 2
    return found[:, :-1], found[:, -1]


def worst_group_accuracy(linear: Linear, samples: Grouped) -> float:
    """The lowest accuracy of a group, of those that have a sample."""
    correct = linear(torch.from_numpy(samples.features)).argmax(1).numpy() == samples.targets
    _, places = np.unique(samples.groups, return_inverse=True)
    return float((np.bincount(places, correct) / np.bincount(places)).min())


def _moments(features: Float[NDArray[Any], "s d"]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`[d]` mean and standard deviation; 1 for a feature that never changes."""
    mean, std = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    return mean, np.where(std > 1e-6 * np.abs(mean), std, 1.0)
