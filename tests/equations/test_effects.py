"""Effects and their intervals against loops, brute force and known coverage."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from longcut.evaluation.audit.effects import (
    About,
    Scores,
    above_chance,
    alone_effect,
    alone_resamples,
    consistency_effect,
    effect_of,
    paired_differences,
    removed_effect,
    score_effect,
    swap_effect,
)
from longcut.evaluation.audit.intervals import index_blocks, paired_interval, row_counts, simultaneous_interval
from longcut.evaluation.audit.paired_change import unpaired_change
from longcut.evaluation.audit.result import Effect
from longcut.evaluation.intervals import RESAMPLES

ABOUT = About("bg_gap", "Background swap", "background", needs_masks=True, note="Masks are rough.")


def scores(n: int, num_classes: int = 4, seed: int = 0) -> Scores:
    draw = np.random.default_rng(seed)
    confidence, probability = draw.random((2, n)).astype(np.float32)
    return Scores(draw.integers(0, num_classes, n), confidence, probability)


def reference(n: int, num_classes: int = 4) -> np.ndarray:
    return np.random.default_rng(99).integers(0, num_classes, n)


def counted(more: int, less: int, n: int) -> np.ndarray:
    return np.repeat([1.0, -1.0, 0.0], [more, less, n - more - less])


@pytest.mark.parametrize("of", ["decision", "probability"])
@pytest.mark.parametrize(("make", "kind"), [(swap_effect, "swapped"), (removed_effect, "removed")])
def test_a_difference_is_its_loop(make: Callable[..., Effect], kind: str, of: str) -> None:
    first, second, classes = scores(60, seed=1), scores(60, seed=2), reference(60)
    usable = np.arange(60) % 3 > 0
    found = make(ABOUT, first, second, classes, unit="accuracy", usable=usable, of=of)
    before = after = 0.0
    count = 0
    for i in range(60):
        if i % 3 == 0:
            continue
        if of == "decision":
            before += int(first.predicted[i] == classes[i])
            after += int(second.predicted[i] == classes[i])
        else:
            before += float(first.probability[i])
            after += float(second.probability[i])
        count += 1
    assert (found.before, found.after) == pytest.approx((before / count, after / count), abs=1e-12)
    assert found.value == pytest.approx((before - after) / count, abs=1e-12)
    assert found.low < found.value < found.high
    assert (found.n, found.unit, found.kind) == (40, "accuracy", kind)
    assert (found.name, found.title, found.suite, found.needs_masks, found.note) == tuple(vars(ABOUT).values())


def test_differences_keep_their_places() -> None:
    first, second, classes = scores(12, seed=1), scores(12, seed=2), reference(12)
    usable = np.arange(12) < 7
    found = paired_differences(first, second, classes, usable)
    assert np.isnan(found[7:]).all()
    assert found[:7].tolist() == [
        float(first.predicted[i] == classes[i]) - float(second.predicted[i] == classes[i]) for i in range(7)
    ]


def test_what_a_cue_alone_keeps_is_above_chance() -> None:
    changed, classes = scores(50, seed=3), reference(50)
    found = alone_effect(ABOUT, changed, classes, unit="accuracy")
    predicted, targets = changed.predicted.tolist(), classes.tolist()
    score = sum(p == t for p, t in zip(predicted, targets, strict=True)) / 50
    chance = sum(predicted.count(c) / 50 * targets.count(c) / 50 for c in range(4))
    assert (found.before, found.after) == pytest.approx((chance, score), abs=1e-12)
    assert found.value == pytest.approx(score - chance, abs=1e-12)
    assert found.kind == "alone"


def test_chance_is_that_of_each_resample() -> None:
    predicted, targets = scores(30, seed=4).predicted, reference(30)
    values = alone_resamples(predicted, targets, seed=7)
    rows = np.concatenate(list(index_blocks(30, seed=7)))
    assert len(values) == len(rows) == RESAMPLES
    for row, value in zip(rows[:40], values[:40], strict=True):
        assert value == pytest.approx(above_chance(predicted[row], targets[row]), abs=1e-12)


def test_guessing_keeps_nothing() -> None:
    draw = np.random.default_rng(5)
    classes = (draw.random(400) < 0.9).astype(np.int64)  # one class is most of them
    outside = 0
    for seed in range(40):
        guess = (np.random.default_rng(seed).random(400) < 0.9).astype(np.int64)
        found = alone_effect(ABOUT, Scores(guess, *np.zeros((2, 400), np.float32)), classes, unit="accuracy", seed=seed)
        outside += not found.low <= 0 <= found.high
    assert outside <= 6, "5 % of 40 are 2; more than 6 are one in two hundred"


def test_one_class_for_all_is_chance_with_room_on_both_sides() -> None:
    constant = Scores(np.zeros(20, np.int64), *np.zeros((2, 20), np.float32))
    found = alone_effect(ABOUT, constant, reference(20), unit="accuracy")
    assert found.value == 0
    assert found.low < -0.05 < 0.05 < found.high


def test_shares_are_their_loops() -> None:
    first, second, classes = scores(40, seed=1), scores(40, seed=2), reference(40)
    usable = np.arange(40) >= 10
    kept = consistency_effect(ABOUT, first, second, usable=usable)
    assert kept.value == pytest.approx(sum(first.predicted[i] == second.predicted[i] for i in range(10, 40)) / 30)
    assert (kept.kind, kept.unit, kept.n, kept.before, kept.after) == ("measured", "share", 30, None, None)
    right = score_effect(ABOUT, first, classes, unit="accuracy")
    assert right.value == pytest.approx(sum(first.predicted[i] == classes[i] for i in range(40)) / 40)
    assert 0 <= right.low < right.value < right.high <= 1
    same = consistency_effect(ABOUT, first, first)
    assert same.low < same.value == same.high == 1


def test_no_image_no_effect() -> None:
    with pytest.raises(ValueError, match="bg_gap has no image that it could be measured on"):
        swap_effect(ABOUT, scores(3), scores(3), reference(3), unit="accuracy", usable=np.zeros(3, bool))


def test_the_bootstrap_is_paired() -> None:
    first, classes = scores(300, seed=1), reference(300)
    turned = Scores(np.where(np.arange(300) < 6, -1, first.predicted), first.confidence, first.probability)
    found = swap_effect(ABOUT, first, turned, classes, unit="accuracy")
    assert found.high - found.low < 0.03, "unpaired it would be 0.14"
    assert found == swap_effect(ABOUT, first, turned, classes, unit="accuracy")


@pytest.mark.parametrize(
    ("more", "less", "n"), [(1, 0, 10), (9, 3, 50), (0, 0, 50), (50, 0, 50), (0, 30, 40), (2, 0, 2)]
)
@pytest.mark.parametrize("num_tests", [1, 5])
def test_the_simultaneous_interval_is_the_score_test_s(more: int, less: int, n: int, num_tests: int) -> None:
    """Against Tango's definition: the constrained likelihood by a search over a fine grid."""
    found = simultaneous_interval(counted(more, less, n), num_tests)
    z = {1: 1.959964, 5: 2.575829}[num_tests]
    for end, inward in ((found.low, 1), (found.high, -1)):
        if abs(end) in (0, 1):
            continue  # a bound of the parameter, or of the exact test
        assert abs(score_statistic(end + inward * 2e-3, more, less, n)) < z
        assert abs(score_statistic(end - inward * 2e-3, more, less, n)) > z
    assert found.value == pytest.approx((more - less) / n)
    assert -1 <= found.low <= found.value <= found.high <= 1


def score_statistic(d: float, more: int, less: int, n: int) -> float:
    shares = np.linspace(max(0.0, -d), (1 - d) / 2, 200_001)[1:-1]  # of the negative side; the positive one has d more
    same = n - more - less
    logs = more * np.log(shares + d) if more else np.zeros_like(shares)
    logs = logs + (less * np.log(shares) if less else 0) + (same * np.log1p(-2 * shares - d) if same else 0)
    share = shares[logs.argmax()]
    variance = n * (2 * share + d - d * d)
    return float((more - less - n * d) / math.sqrt(variance))


def test_no_difference_is_no_certainty() -> None:
    z = 2.575829
    found = simultaneous_interval(np.zeros(2), 5)
    assert (found.low, found.high) == pytest.approx((-(z**2) / (2 + z**2), z**2 / (2 + z**2)), abs=1e-6)
    alone = paired_interval(np.zeros(2))
    assert alone == simultaneous_interval(np.zeros(2), 1)


@pytest.mark.parametrize("num_tests", [1, 2, 5])
def test_it_leaves_out_zero_only_where_the_exact_test_does(num_tests: int) -> None:
    for pairs in range(1, 40):
        chances = [math.comb(pairs, k) / 2**pairs for k in range(pairs + 1)]
        alarms = [simultaneous_interval(counted(k, pairs - k, 40), num_tests).low > 0 for k in range(pairs + 1)]
        false = sum(chance for chance, alarm in zip(chances, alarms, strict=True) if alarm)
        assert false <= 0.025 / num_tests
        assert alarms[-1] == (2.0**-pairs <= 0.025 / num_tests)


@pytest.mark.parametrize("n", [50, 200, 1000])
def test_false_alarms_over_five_cues_are_rare(n: int) -> None:
    draws = np.random.default_rng(n).multinomial(n, [0.15, 0.15, 0.7], size=(400, 5))
    rates = [any(simultaneous_interval(counted(*cue[:2], n), 5).low > 0 for cue in audit.tolist()) for audit in draws]
    assert np.mean(rates) <= 0.05


@pytest.mark.parametrize("n", [20, 100, 500])
@pytest.mark.parametrize(("single", "double"), [(0.02, 0.0), (0.02, 0.01), (0.0, 0.05), (0.2, 0.1)])
def test_false_alarms_over_five_changes_of_effects_are_rare(n: int, single: float, double: float) -> None:
    shares = [double, single, 1 - 2 * single - 2 * double, single, double]
    draws = np.random.default_rng(n).multinomial(n, shares, size=(400, 5))
    changes = np.arange(-2.0, 3.0)
    found = [[simultaneous_interval(np.repeat(changes, swap), 5, bound=2) for swap in pair] for pair in draws]
    assert np.mean([any(swap.low > 0 or swap.high < 0 for swap in pair) for pair in found]) <= 0.06
    sure = simultaneous_interval(np.repeat(changes, [0, 2, 76, 18, 4]), 5, bound=2)
    assert sure.low > 0


@pytest.mark.parametrize("shares", [(0.1, 0.05), (0.3, 0.1), (0.02, 0.0)])
def test_intervals_hold_what_they_should(shares: tuple[float, float]) -> None:
    draws = np.random.default_rng(6).multinomial(300, [*shares, 1 - sum(shares)], size=400).tolist()
    true = shares[0] - shares[1]
    alone = [simultaneous_interval(counted(more, less, 300), 1) for more, less, _ in draws]
    assert np.mean([found.low <= true <= found.high for found in alone]) > 0.92
    boot = [paired_interval(counted(more, less, 300), seed=i) for i, (more, less, _) in enumerate(draws)]
    assert np.mean([found.low <= true <= found.high for found in boot]) > 0.9


@pytest.mark.parametrize("n", [20, 50, 100])
def test_false_alarms_between_audits_of_other_images_are_rare(n: int) -> None:
    draws = np.random.default_rng(n).multinomial(n, [0.02, 0.02, 0.96], size=(200, 2, 5))
    made = {tuple(swap): paired_interval(counted(*swap[:2], n)) for swap in draws.reshape(-1, 3).tolist()}
    effects = {swap: effect_of(ABOUT, "swapped", "accuracy", found) for swap, found in made.items()}
    found = [
        [unpaired_change(effects[tuple(a)], effects[tuple(b)], 5) for a, b in zip(*pair, strict=True)]
        for pair in draws.tolist()
    ]
    assert np.mean([any(swap.low > 0 or swap.high < 0 for swap in pair) for pair in found]) <= 0.05


def test_other_differences_have_an_interval_too() -> None:
    draw = np.random.default_rng(8)
    values = draw.choice([-2.0, -1.0, 0.0, 1.0, 2.0], size=400)
    found = simultaneous_interval(values, 5, bound=2)
    z = 2.575829
    assert found.high - found.value == pytest.approx(z * values.std() / math.sqrt(400 - z**2), abs=1e-6)
    few = simultaneous_interval(values[:5], 5, bound=2)
    assert (few.low, few.high) == (-2, 2)
    equal = simultaneous_interval(np.full(100, 0.5), 1)
    assert equal.high - equal.value == pytest.approx(1.959964**2 / (100 + 1.959964**2), abs=1e-6)


@pytest.mark.parametrize("values", [np.empty(0), np.array([0.0, np.nan])], ids=["none", "nan"])
def test_what_is_no_difference_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match="paired differences"):
        simultaneous_interval(values, 5)


def test_rows_are_counted_apart() -> None:
    labels, weights = np.array([[0, 2, 2], [1, 1, 0]]), np.array([[0.5, 1.0, 2.0], [1.0, 1.0, 4.0]])
    assert row_counts(labels, 3).tolist() == [[1, 0, 2], [1, 2, 0]]
    assert row_counts(labels, 3, weights).tolist() == [[0.5, 0, 3], [4, 2, 0]]


def test_blocks_are_all_resamples_whatever_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(index_blocks(11, seed=3)))
    monkeypatch.setattr("longcut.evaluation.audit.intervals._BLOCK", 100)
    small = list(index_blocks(11, seed=3))
    assert max(len(rows) for rows in small) == 9
    assert np.array_equal(np.concatenate(small), whole)
