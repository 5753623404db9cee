"""Accuracy by groups: the samples of one class with one value of the bias.

Sagawa et al., "Distributionally robust neural networks for group shifts" (ICLR 2020): the worst group. Nam et al.,
"Learning from failure" (NeurIPS 2020): means over the groups, and over those on and off the diagonal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.intervals import normal_quantile, wilson
from longcut.evaluation.metrics import Measure, measure

Counts = NDArray[np.int64]
"""`[n, m]` a number for each class and each value of the bias."""
Places = NDArray[np.bool_]
"""`[n, m]` which of them."""


@dataclass(frozen=True)
class GroupMeasures:
    """Measures over the groups of a set of samples.

    Attributes:
        measures: by name; what no sample is there for, or what the labels do not define, is not among them.
        of_group: accuracy of each group that has samples, by class and value of the bias.
        empty: the groups that have none; no mean counts them.
        unknown: how many samples are in no group, because their bias is not known.
    """

    measures: Mapping[str, Measure]
    of_group: Mapping[tuple[int, int], Measure]
    empty: tuple[tuple[int, int], ...]
    unknown: int


def group_measures(
    correct: NDArray[np.bool_],
    targets: NDArray[np.int64],
    bias: NDArray[np.int64],
    num_classes: int,
    num_bias: int,
    *,
    paired: bool | None = None,
) -> GroupMeasures:
    """Measure by groups.

    `class_balanced` is the mean of the classes' accuracies, over all samples. All others leave out those whose bias is
    not known. `unbiased` is the mean of the groups' accuracies, `worst_group` the lowest of them. Where a value of the
    bias goes with each class, a sample is aligned if its value has the place of its class, and conflicts otherwise:
    `bias_aligned` and `bias_conflicting` are means of the groups' accuracies, `bias_gap` is the one less the other, and
    `bias_aligned_samples` and `bias_conflicting_samples` are means over the samples themselves.

    Args:
        correct: `[s]` whether each sample is recognised.
        targets: `[s]` classes.
        bias: `[s]` values of the bias, -1 where it is not known.
        num_classes: how many classes there are.
        num_bias: how many values the bias has.
        paired: whether a value goes with each class; where None, if there are as many of the one as of the other.

    Raises:
        ValueError: no bias is known, or a class or a value is beyond the number that was given.
    """
    sums, counts = group_accuracies(correct, targets, bias, num_classes, num_bias)
    if not counts.any():
        raise ValueError("measures by groups need the bias of at least one sample")
    of_class = group_accuracies(correct, targets, np.zeros_like(targets), num_classes, 1)
    found = {
        "class_balanced": mean_of_groups(*of_class),
        "unbiased": mean_of_groups(sums, counts),
        "worst_group": worst_of_groups(sums, counts),
    }
    if num_bias == num_classes if paired is None else paired:
        aligned = np.eye(num_classes, num_bias, dtype=bool)
        known = (targets >= 0) & (bias >= 0)
        found |= {
            "bias_aligned": mean_of_groups(sums, counts, aligned),
            "bias_conflicting": mean_of_groups(sums, counts, ~aligned),
            "bias_gap": mean_of_groups(sums, counts, aligned, less=~aligned),
            "bias_aligned_samples": _mean_of_samples(correct[known & (targets == bias)]),
            "bias_conflicting_samples": _mean_of_samples(correct[known & (targets != bias)]),
        }
    return GroupMeasures(
        measures={name: value for name, value in found.items() if value is not None},
        of_group=_each_group(sums, counts),
        empty=tuple((int(y), int(b)) for y, b in np.argwhere(counts == 0)),
        unknown=int((bias < 0).sum()),
    )


def group_accuracies(
    correct: NDArray[np.bool_], targets: NDArray[np.int64], bias: NDArray[np.int64], num_classes: int, num_bias: int
) -> tuple[Counts, Counts]:
    """How many samples of each group are recognised, and how many there are.

    Args:
        correct: `[s]` whether each sample is recognised.
        targets: `[s]` classes; a sample with -1 is in no group.
        bias: `[s]` values of the bias, likewise.
        num_classes: `n`.
        num_bias: `m`.

    Returns:
        `[n, m]` samples recognised, and `[n, m]` samples.

    Raises:
        ValueError: a class or a value is beyond the number that was given.
    """
    for what, labels, number in (("class", targets, num_classes), ("value of the bias", bias, num_bias)):
        if len(labels) and labels.max() >= number:
            raise ValueError(f"a sample has the {what} {labels.max()}, and there are {number}: counted from 0")
    known = (targets >= 0) & (bias >= 0)
    places, size = targets[known] * num_bias + bias[known], num_classes * num_bias
    counts = np.bincount(places, minlength=size).reshape(num_classes, num_bias)
    return np.bincount(places[correct[known]], minlength=size).reshape(num_classes, num_bias), counts


def mean_of_groups(
    sums: Counts, counts: Counts, members: Places | None = None, *, less: Places | None = None
) -> Measure | None:
    """Mean of the groups' accuracies, each group counting the same; groups without a sample are left out.

    The interval is that of a linear function of proportions: Wald's with `2 / k` recognised and `2 / k` missed samples
    added to each of `k` groups, so that it keeps its width where every sample of a group is recognised.

    Args:
        sums: `[n, m]` samples recognised.
        counts: `[n, m]` samples.
        members: `[n, m]` which groups; all where None.
        less: `[n, m]` groups whose mean is subtracted.

    Returns:
        The mean, as a sum over its samples; None where there are none on one side.

    Source:
        Price and Bonett, "An improved confidence interval for a linear function of binomial proportions"
        (Computational Statistics & Data Analysis, 2004).
    """
    sides = [(1.0, members if members is not None else np.ones_like(counts, bool))]
    sides += [(-1.0, less)] if less is not None else []
    there = [(sign, chosen & (counts > 0)) for sign, chosen in sides]
    if not all(chosen.any() for _, chosen in there):
        return None
    weights = np.concatenate([np.full(chosen.sum(), sign / chosen.sum()) for sign, chosen in there])
    k = np.concatenate([sums[chosen] for _, chosen in there])
    n = np.concatenate([counts[chosen] for _, chosen in there])
    value = float(weights @ (k / n))
    added = 2 / len(n)
    shares, total = (k + added) / (n + 2 * added), n + 2 * added
    half = normal_quantile(1) * float(np.sqrt(weights**2 @ (shares * (1 - shares) / total)))
    middle, least = float(weights @ shares), -1.0 if less is not None else 0.0
    low, high = max(middle - half, least), min(middle + half, 1.0)
    return Measure(value * int(n.sum()), int(n.sum()), min(low, value), max(high, value))


def worst_of_groups(sums: Counts, counts: Counts) -> Measure:
    """The lowest accuracy of all groups that have a sample, as a sum and a count of that group.

    The interval is from the lowest lower to the lowest upper end of the groups' Wilson intervals, each at a level that
    makes all of them hold together (Bonferroni): which group is truly the worst is not known.

    Args:
        sums: `[n, m]` samples recognised.
        counts: `[n, m]` samples; of at least one group.
    """
    there = counts > 0
    k, n = sums[there], counts[there]
    worst = int((k / n).argmin())
    low, high = wilson(k, n, intervals=len(n))
    return Measure(float(k[worst]), int(n[worst]), float(low.min()), float(high.min()))


def _each_group(sums: Counts, counts: Counts) -> dict[tuple[int, int], Measure]:
    there = np.argwhere(counts > 0)
    k, n = sums[counts > 0], counts[counts > 0]
    entries = zip(there.tolist(), k.tolist(), n.tolist(), *(end.tolist() for end in wilson(k, n)), strict=True)
    return {(y, b): Measure(float(right), count, low, high) for (y, b), right, count, low, high in entries}


def _mean_of_samples(correct: NDArray[np.bool_]) -> Measure | None:
    return measure(correct) if len(correct) else None
