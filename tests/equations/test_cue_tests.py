"""Discovery's classifier, permutations and namings, beside plain loops in float64."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf_shrinkage

from longcut.evaluation.cues.classifier import (
    CrossFit,
    Whitening,
    balanced_accuracy,
    draw_folds,
    margins,
    shrinkage,
)
from longcut.evaluation.cues.naming import Strength, name_cues
from longcut.evaluation.cues.permutation import (
    balanced_bootstrap,
    holm,
    p_value,
    permuted_within,
    sign_test,
)
from longcut.evaluation.cues.significance import CueTests


def made(count: int, width: int, classes: int, *, apart: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Numbers that depend on each other and on the class, of classes of unequal size."""
    draw = np.random.default_rng(seed)
    targets = np.sort(np.minimum((draw.random(count) ** 2 * classes).astype(np.int64), classes - 1))
    mixed = draw.normal(size=(count, width)) @ draw.normal(size=(width, width))
    return mixed + apart * np.eye(classes, width)[targets], targets


# The classifier.


def test_shrinkage_is_that_of_ledoit_and_wolf() -> None:
    values, _ = made(60, 7, 3)
    standard = (values - values.mean(0)) / values.std(0)
    assert shrinkage(standard) == pytest.approx(ledoit_wolf_shrinkage(standard, assume_centered=True))
    assert shrinkage(np.zeros((5, 2))) == 1.0


def test_scores_are_those_of_plain_loops() -> None:
    values, targets = made(80, 5, 3)
    folds = draw_folds(targets, 4, np.random.default_rng(1))
    found = CrossFit.fit(values, folds, 3).scores(targets)
    for i in range(80):
        train = [j for j in range(80) if folds[j] != folds[i]]
        inside = values[train]
        mean = sum(inside) / len(train)
        spread = np.sqrt(sum((row - mean) ** 2 for row in inside) / len(train))
        standard = [(row - mean) / spread for row in inside]
        share = max(ledoit_wolf_shrinkage(np.array(standard), assume_centered=True), 0.01)
        covariance = sum(np.outer(row, row) for row in standard) / len(train)
        inverse = np.linalg.inv((1 - share) * covariance + share * np.eye(5))
        for target in range(3):
            members = [row for row, j in zip(standard, train, strict=True) if targets[j] == target]
            centre = sum(members) / len(members)
            expected = (values[i] - mean) / spread @ inverse @ centre - centre @ inverse @ centre / 2  # equation 1
            assert found[i, target] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_permuted_accuracies_are_fitted_again_each_time() -> None:
    values, targets = made(90, 4, 3)
    folds = draw_folds(targets, 5, np.random.default_rng(2))
    permuted = permuted_within(targets, folds, 6, np.random.default_rng(3))
    fit = CrossFit.fit(values, folds, 3)
    labels = np.concatenate([targets[None], permuted])
    expected = []
    for row in labels:
        said = fit.scores(row).argmax(axis=1)
        shares = [[said[i] == c for i in range(90) if row[i] == c] for c in range(3)]
        expected.append(sum(sum(share) / len(share) for share in shares) / 3)
    np.testing.assert_allclose(fit.accuracies(labels), expected)
    assert fit.accuracies(targets[None])[0] == pytest.approx(balanced_accuracy(fit.scores(targets).argmax(1), targets))


def test_a_class_without_images_is_never_said() -> None:
    values, targets = made(40, 3, 2)
    folds = draw_folds(targets, 4, np.random.default_rng(0))
    fit = CrossFit.fit(values, folds, 5)
    assert fit.scores(targets).argmax(1).max() < 2
    wide, narrow = fit.accuracies(targets[None]), CrossFit.fit(values, folds, 2).accuracies(targets[None])
    np.testing.assert_allclose(wide, narrow)


def test_what_never_varies_counts_as_nothing() -> None:
    values, _ = made(40, 3, 2)
    constant = np.column_stack([values, np.full(40, 7.0)])
    inside = Whitening.fit(constant)
    other = constant.copy()
    other[:, 3] = -100
    np.testing.assert_allclose(inside(other), inside(constant))
    assert np.abs(inside(constant)).max() < 20


def test_every_fold_has_its_share_of_every_class() -> None:
    targets = np.array([1] * 11 + [0] * 24 + [1] * 2)
    folds = draw_folds(targets, 5, np.random.default_rng(0))
    for target in (0, 1):
        counts = np.bincount(folds[targets == target], minlength=5)
        assert counts.max() - counts.min() <= 1
    assert (folds != draw_folds(targets, 5, np.random.default_rng(1))).any()


def test_margins_are_own_class_against_the_best_other() -> None:
    scores = np.array([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0]], np.float32)
    np.testing.assert_allclose(margins(scores, np.array([2, 1])), [-1, 1])


# Permutations.


def test_labels_are_permuted_only_within_strata() -> None:
    draw = np.random.default_rng(0)
    labels, strata = draw.integers(0, 4, 60), draw.integers(0, 5, 60)
    permuted = permuted_within(labels, strata, 200, draw)
    for row in permuted:
        for stratum in range(5):
            assert sorted(row[strata == stratum]) == sorted(labels[strata == stratum])
    free = permuted_within(np.arange(8), np.zeros(8, np.int64), 4000, draw)
    counts = np.array([[(free[:, place] == label).sum() for label in range(8)] for place in range(8)])
    assert np.abs(counts - 500).max() < 110, "each label is as often at each place"


def test_p_values_count_the_labels_themselves() -> None:
    assert p_value(0.6, np.array([0.5, 0.6, 0.7, 0.4])) == pytest.approx(3 / 5)
    assert p_value(0.9, np.zeros(99)) == pytest.approx(0.01)


def test_holm_by_hand() -> None:
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.9})
    assert found == pytest.approx({"a": 0.04, "b": 0.09, "c": 0.09, "d": 0.9})
    assert list(found) == ["a", "b", "c", "d"]


def test_the_bootstrap_resamples_each_class() -> None:
    draw = np.random.default_rng(0)
    values, targets = draw.random(300) < 0.7, (np.arange(300) < 60).astype(np.int64)
    low, high = balanced_bootstrap(values, targets, draw)
    shares = [values[targets == c].mean() for c in (0, 1)]
    error = np.sqrt(sum(p * (1 - p) / n for p, n in zip(shares, (240, 60), strict=True))) / 2
    assert low == pytest.approx(np.mean(shares) - 1.96 * error, abs=0.012)
    assert high == pytest.approx(np.mean(shares) + 1.96 * error, abs=0.012)


def test_signs_are_turned_at_random() -> None:
    draw = np.random.default_rng(0)
    targets = np.repeat([0, 1], [20, 10])
    differences = np.r_[[1] * 6, [-1] * 2, [0] * 12, [1] * 3, [0] * 7]
    observed = 4 / 20 + 3 / 10
    signs = [[1 if word >> k & 1 else -1 for k in range(11)] for word in range(2**11)]
    exact = np.mean([sum(s[:8]) / 20 + sum(s[8:]) / 10 >= observed - 1e-9 for s in signs])
    assert sign_test(differences, targets, 20000, draw) == pytest.approx(exact, abs=0.01)
    assert sign_test(-differences, targets, 999, draw) > 0.9


def test_p_values_of_noise_are_even() -> None:
    """Of unequal classes, whose folds are drawn by class: at 10 % a tenth is below, give or take."""
    below = 0
    for seed in range(200):
        values, targets = made(60, 4, 2, apart=0, seed=seed)
        below += CueTests({"noise": values}, targets, 2, permutations=99, seed=seed).alone("noise").p <= 0.1
    assert 8 <= below <= 34


# Beyond others.


def test_a_cue_adds_only_what_the_other_does_not_tell() -> None:
    draw = np.random.default_rng(0)
    targets = draw.integers(0, 2, 400)
    sure, other = draw.random(400) < 0.85, draw.random(400) < 0.75
    first = np.where(sure, targets, 1 - targets)[:, None] + draw.normal(0, 0.05, (400, 2))
    second = np.where(other, targets, 1 - targets)[:, None] + draw.normal(0, 0.05, (400, 2))
    tests = CueTests(
        {"first": first, "copy": first + draw.normal(0, 0.1, (400, 2)), "second": second}, targets, 2, permutations=199
    )
    assert tests.alone("copy").p == tests.alone("second").p == pytest.approx(1 / 200)
    assert tests.beyond("copy", ["first"]).p > 0.05
    found = tests.beyond("second", ["first"])
    assert found.p == pytest.approx(1 / 200)
    assert found.effect > 0.1
    assert tests.alike("first", "copy")
    assert not tests.alike("first", "second")
    assert tests.exceeds("first", "second") < 0.05 < tests.exceeds("second", "first")


def test_a_noisy_copy_adds_nothing_with_many_classes() -> None:
    """Which other classes are likely is a part of what the first one tells."""
    copies, found = [], []
    for seed in range(10):
        draw = np.random.default_rng(seed)
        targets = np.repeat(np.arange(5), 120)
        first = draw.normal(size=(600, 5)) + 1.5 * np.eye(5)[targets]
        numbers = {
            "first": first,
            "copy": first + draw.normal(0, 0.7, first.shape),
            "second": draw.normal(size=(600, 5)) + 0.7 * np.eye(5)[targets],
        }
        tests = CueTests(numbers, targets, 5, permutations=99, seed=seed)
        copies.append(tests.beyond("copy", ["first"]))
        found.append(tests.beyond("second", ["first"]))
    assert sum(copy.p <= 0.05 for copy in copies) <= 2
    assert abs(np.mean([copy.effect for copy in copies])) < 0.01
    assert max(second.p for second in found) == pytest.approx(1 / 100)


def naming(alone: dict[str, float], adds: dict[tuple[str, str], float], alike: bool = False) -> tuple[str, ...]:
    """Cues named where `adds` says by how much the first of two adds to the second."""

    def beyond(cue: str, others: object) -> Strength:
        effect = min(adds.get((cue, other), 0.0) for other in others)  # type: ignore[attr-defined]
        return Strength(effect, 0.001 if effect else 0.5)

    strengths = {cue: Strength(effect, 0.001 if effect else 0.5) for cue, effect in alone.items()}
    found = name_cues(strengths, beyond, lambda one, other: alike)
    assert set(found.named).isdisjoint(found.explained_by)
    return found.named


def test_the_strongest_is_named_and_what_adds_to_it() -> None:
    alone = {"texture": 0.3, "background": 0.4, "size": 0.2, "border": 0.0}
    assert naming(alone, {}) == ("background",)
    assert naming(alone, {("size", "background"): 0.1}) == ("background", "size")
    assert naming(alone, {("size", "background"): 0.01}) == ("background",), "smaller than what is worth naming"
    both = {("size", "background"): 0.1, ("texture", "background"): 0.2}
    assert naming(alone, both) == ("background", "texture"), "the size adds nothing to the texture"
    assert naming({"size": 0.0}, {}) == ()


def test_of_cues_that_are_alike_one_explains_the_other() -> None:
    alone = {"colour": 0.5, "background": 0.5}
    assert naming(alone, {}, alike=True) == ("background",), "the one that holds less of the other"
    assert naming(alone, {("colour", "background"): 0.1}, alike=True) == ("colour",), "only it adds"
    both = {("colour", "background"): 0.1, ("background", "colour"): 0.1}
    assert naming({"colour": 0.5, "background": 0.4}, both, alike=True) == ("colour", "background")
    assert naming({"colour": 0.5, "background": 0.4}, {}) == ("colour",), "they are not alike"


def test_p_values_are_corrected_for_their_number() -> None:
    strengths = {cue: Strength(0.3, 0.02) for cue in ("size", "aspect", "border")}
    assert name_cues(strengths, lambda cue, others: Strength(0, 1), lambda one, other: False).named == ()
    assert name_cues({"size": Strength(0.3, 0.02)}, lambda c, o: Strength(0, 1), lambda a, b: False).named == ("size",)
