"""Measures by groups against plain loops, and their intervals against what they promise."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from folders import full_disk

from longcut.evaluation.groups import (
    group_accuracies,
    group_measures,
    mean_of_groups,
    worst_of_groups,
)
from longcut.evaluation.intervals import wilson
from longcut.evaluation.predictions import Predictions
from longcut.evaluation.selection import scores

Labels = tuple[np.ndarray, np.ndarray, np.ndarray]


def drawn(seed: int, *, n: int = 4, m: int = 4, count: int = 300, unknown: float = 0.1) -> Labels:
    """Whether each sample is recognised, its class and its bias; group (0, 1) has no sample."""
    draw = np.random.default_rng(seed)
    targets, bias = draw.integers(n, size=count), draw.integers(m, size=count)
    bias[(targets == 0) & (bias == 1)] = 0
    bias[draw.random(count) < unknown] = -1
    return draw.random(count) < 0.3 + 0.6 * (targets == bias), targets, bias


def said(labels: Labels, n: int, m: int, *, names: tuple[str, ...] | None = None, draw_wrong: int = 1) -> Predictions:
    """Predictions that are right where `labels` say so."""
    correct, targets, bias = labels
    logits = np.eye(n, dtype=np.float32)[np.where(correct, targets, (targets + draw_wrong) % n)]
    paths = tuple(map(str, range(len(targets))))
    classes = tuple(f"c{y}" for y in range(n))
    names = tuple(f"b{b}" for b in range(m)) if names is None else names
    features = np.zeros((len(targets), 1), np.float16)
    return Predictions(logits, features, targets, np.arange(len(targets)), paths, "root", classes, bias, names)


def by_loops(labels: Labels) -> dict[tuple[int, int], list[bool]]:
    groups: dict[tuple[int, int], list[bool]] = {}
    for right, y, b in zip(*map(np.ndarray.tolist, labels), strict=True):
        if b >= 0:
            groups.setdefault((y, b), []).append(right)
    return groups


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


# Values.


@pytest.mark.parametrize(("n", "m"), [(4, 4), (3, 5), (5, 2)])
def test_measures_are_those_of_plain_loops(n: int, m: int) -> None:
    labels = drawn(0, n=n, m=m)
    groups, classes = by_loops(labels), {}
    for right, y in zip(labels[0].tolist(), labels[1].tolist(), strict=True):
        classes.setdefault(y, []).append(right)
    expected = {
        "class_balanced": mean([mean(found) for found in classes.values()]),
        "unbiased": mean([mean(found) for found in groups.values()]),
        "worst_group": min(mean(found) for found in groups.values()),
    }
    if n == m:
        on = [found for (y, b), found in groups.items() if y == b]
        off = [found for (y, b), found in groups.items() if y != b]
        expected |= {
            "bias_aligned": mean([mean(found) for found in on]),
            "bias_conflicting": mean([mean(found) for found in off]),
            "bias_gap": mean([mean(found) for found in on]) - mean([mean(found) for found in off]),
            "bias_aligned_samples": mean([right for found in on for right in found]),
            "bias_conflicting_samples": mean([right for found in off for right in found]),
        }
    found = group_measures(*labels, n, m)
    assert {name: measured.value for name, measured in found.measures.items()} == pytest.approx(expected, abs=1e-12)
    assert {group: measured.value for group, measured in found.of_group.items()} == pytest.approx(
        {group: mean(members) for group, members in groups.items()}, abs=1e-12
    )
    assert {group: measured.n for group, measured in found.of_group.items()} == {g: len(v) for g, v in groups.items()}
    assert found.unknown == int((labels[2] < 0).sum()) > 0
    assert set(found.empty) == {(y, b) for y in range(n) for b in range(m)} - set(groups)
    assert (0, 1) in found.empty


def test_counts_say_what_a_number_is_of() -> None:
    labels = drawn(1)
    found, known = group_measures(*labels, 4, 4).measures, labels[2] >= 0
    conflicting = known & (labels[1] != labels[2])
    assert found["class_balanced"].n == 300, "the bias has no part in it"
    assert found["unbiased"].n == found["bias_gap"].n == known.sum()
    assert found["bias_conflicting"].n == found["bias_conflicting_samples"].n == conflicting.sum()
    assert found["bias_conflicting_samples"].sum == labels[0][conflicting].sum()
    groups = by_loops(labels)
    worst = min(groups, key=lambda group: mean(groups[group]))
    assert (found["worst_group"].sum, found["worst_group"].n) == (sum(groups[worst]), len(groups[worst]))


def test_a_bias_without_classes_aligns_nothing_unless_it_is_said_to() -> None:
    labels = drawn(2, n=3, m=5)
    assert "bias_aligned" not in group_measures(*labels, 3, 5).measures
    paired = group_measures(*labels, 3, 5, paired=True).measures
    off = [mean(found) for (y, b), found in by_loops(labels).items() if y != b]
    assert paired["bias_conflicting"].value == pytest.approx(mean(off))
    assert "bias_gap" not in group_measures(*drawn(2), 4, 4, paired=False).measures


def test_a_set_of_conflicting_samples_has_no_aligned_ones() -> None:
    correct, targets, _ = drawn(3, unknown=0)
    found = group_measures(correct, targets, (targets + 1) % 4, 4, 4)
    assert {"bias_aligned", "bias_gap", "bias_aligned_samples"}.isdisjoint(found.measures)
    assert found.measures["bias_conflicting"].value == found.measures["unbiased"].value
    assert len(found.empty) == 12


def test_a_guess_is_at_chance_and_leans_on_nothing() -> None:
    draw = np.random.default_rng(4)
    targets, bias, guess = draw.integers(5, size=(3, 50_000))
    found = group_measures(guess == targets, targets, bias, 5, 5).measures
    for name in ("class_balanced", "unbiased", "bias_conflicting"):
        assert found[name].value == pytest.approx(0.2, abs=0.01)
        assert found[name].low <= 0.2 <= found[name].high
    assert found["bias_gap"].low <= 0 <= found["bias_gap"].high


def test_labels_that_fit_nothing_are_refused() -> None:
    correct, targets, bias = drawn(5)
    with pytest.raises(ValueError, match="a sample has the value of the bias 3, and there are 3"):
        group_accuracies(correct, targets, bias, 4, 3)
    with pytest.raises(ValueError, match="a sample has the class 3, and there are 2"):
        group_accuracies(correct, targets, bias, 2, 4)
    with pytest.raises(ValueError, match="need the bias of at least one sample"):
        group_measures(correct, targets, np.full_like(bias, -1), 4, 4)


# Intervals.


def counts_of(sizes: list[int], shares: list[float], draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    counts = np.array([sizes])
    return draw.binomial(counts, [shares]), counts


def test_the_interval_of_a_mean_is_price_and_bonett_s() -> None:
    right, of = [9, 3, 20], [10, 4, 80]
    found = mean_of_groups(np.array([right]), np.array([of]))
    assert found is not None
    middle = variance = 0.0
    for k, n in zip(right, of, strict=True):
        p = (k + 2 / 3) / (n + 4 / 3)
        middle += p / 3
        variance += p * (1 - p) / (n + 4 / 3) / 9
    half = 1.959963984540054 * math.sqrt(variance)
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half), abs=1e-12)


def test_wilson_s_ends_solve_his_equation() -> None:
    right, of = np.array([0, 3, 17, 40]), np.array([8, 4, 90, 40])
    for intervals in (1, 6):
        for ends in wilson(right, of, intervals=intervals):
            for k, n, end in zip(right.tolist(), of.tolist(), ends.tolist(), strict=True):
                if 0 < end < 1:
                    z = abs(k / n - end) / math.sqrt(end * (1 - end) / n)
                    assert math.erfc(z / math.sqrt(2)) == pytest.approx(0.05 / intervals)
                else:
                    assert end == k / n


def test_the_worst_group_s_interval_allows_for_every_group() -> None:
    right, of, z = [30, 4, 45], [60, 6, 100], NormalDist().inv_cdf(1 - 0.025 / 3)
    ends = []
    for k, n in zip(right, of, strict=True):
        middle, half = k + z * z / 2, z * math.sqrt(k * (n - k) / n + z * z / 4)
        ends.append(((middle - half) / (n + z * z), (middle + half) / (n + z * z)))
    found = worst_of_groups(np.array([right]), np.array([of]))
    assert (found.sum, found.n) == (45, 100)
    assert found.low == pytest.approx(min(low for low, _ in ends), abs=1e-12)
    assert found.low == pytest.approx(ends[1][0], abs=1e-12), "the group of six may be the worst"
    assert found.high == pytest.approx(min(high for _, high in ends), abs=1e-12)


WATERBIRDS = [0.99, 0.8, 0.45, 0.92]


@pytest.mark.parametrize(
    ("sizes", "shares"),
    [
        ([2255, 2255, 642, 642], WATERBIRDS),
        ([20, 20, 6, 6], WATERBIRDS),
        ([5, 5, 5, 5], [0.95] * 4),
        ([40] * 25, [0.02 + 0.039 * i for i in range(25)]),
    ],
    ids=["large", "small", "few", "many"],
)
def test_intervals_cover_what_they_should(sizes: list[int], shares: list[float]) -> None:
    draw, trials = np.random.default_rng(6), 1500
    half = np.arange(len(sizes)) % 2 == 0
    truth = (np.mean(shares), np.mean(np.array(shares)[half]) - np.mean(np.array(shares)[~half]), min(shares))
    covered = np.zeros(3)
    for _ in range(trials):
        sums, counts = counts_of(sizes, shares, draw)
        gap = mean_of_groups(sums, counts, half[None], less=~half[None])
        found = mean_of_groups(sums, counts), gap, worst_of_groups(sums, counts)
        covered += [m is not None and m.low <= value <= m.high for m, value in zip(found, truth, strict=True)]
    spread = 4 * math.sqrt(0.95 * 0.05 / trials)
    whole, difference, _ = covered / trials
    assert min(covered / trials) > (0.95 - spread if min(sizes) > 5 else 0.9)
    if min(sizes) >= 40:  # of few samples, and of the worst of several groups, they are wider than they need be
        assert max(whole, difference) < 0.95 + spread


def test_a_group_that_is_always_recognised_is_still_uncertain() -> None:
    full = np.array([[5, 5], [5, 5]])
    for found in (mean_of_groups(full, full), worst_of_groups(full, full)):
        assert found is not None
        assert (found.value, found.high) == (1.0, 1.0)
        assert found.low < 0.9


def test_a_value_lies_in_its_interval() -> None:
    for seed in range(30):
        found = group_measures(*drawn(seed, count=40), 4, 4)
        for measured in (*found.measures.values(), *found.of_group.values()):
            assert measured.low <= measured.value <= measured.high
            assert -1 <= measured.low <= measured.high <= 1


# What selection rules read.


@pytest.mark.parametrize(("n", "m"), [(4, 4), (3, 5)])
def test_scores_are_the_values_of_the_measures(n: int, m: int) -> None:
    labels = drawn(7, n=n, m=m)
    found, measures = scores(said(labels, n, m), m), group_measures(*labels, n, m).measures
    assert found.pop("accuracy") == labels[0].mean()
    kept = {name: value.value for name, value in measures.items() if name not in ("bias_gap", "bias_aligned_samples")}
    assert found == pytest.approx(kept, abs=1e-12)


def test_scores_without_bias_labels_are_two() -> None:
    labels = drawn(8)
    assert set(scores(said(labels, 4, 4), 0)) == {"accuracy", "class_balanced"}
    unlabelled = (labels[0], labels[1], np.full_like(labels[2], -1))
    assert set(scores(said(unlabelled, 4, 4), 4)) == {"accuracy", "class_balanced"}


def test_scores_leave_out_what_has_no_sample() -> None:
    correct, targets, _ = drawn(9, unknown=0)
    conflicting = scores(said((correct, targets, (targets + 1) % 4), 4, 4), 4)
    assert "bias_aligned" not in conflicting
    assert conflicting["bias_conflicting_samples"] == correct.mean() == conflicting["accuracy"]
    assert {"bias_conflicting", "bias_conflicting_samples"}.isdisjoint(
        scores(said((correct, targets, targets), 4, 4), 4)
    )


def test_biases_called_like_the_classes_are_paired_whatever_follows_them() -> None:
    labels = drawn(10, n=3, m=5)
    names = ("c0", "c1", "c2", "x", "y")
    assert "bias_conflicting" not in scores(said(labels, 3, 5), 5)
    found = scores(said(labels, 3, 5, names=names), 5)
    assert found["bias_conflicting"] == group_measures(*labels, 3, 5, paired=True).measures["bias_conflicting"].value


def test_predictions_keep_the_names_of_the_bias_and_old_ones_have_none(tmp_path: Path) -> None:
    whole = said(drawn(11), 4, 4)
    whole.save(tmp_path / "new.npz")
    assert Predictions.load(tmp_path / "new.npz").bias_names == ("b0", "b1", "b2", "b3")
    with np.load(tmp_path / "new.npz") as arrays:
        np.savez(tmp_path / "old.npz", **{name: arrays[name] for name in arrays.files if name != "bias_names"})
    assert Predictions.load(tmp_path / "old.npz").bias_names == ()


def test_a_disk_that_is_full_leaves_the_former_predictions_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "test.best_val.npz"
    said(drawn(11), 4, 4).save(path)
    former = path.read_bytes()
    with full_disk(len(former) // 2), pytest.raises(OSError, match="too large"):
        said(drawn(12), 4, 4).save(path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == former
