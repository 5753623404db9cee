"""Measures against loops, brute force and the normal approximation."""

from __future__ import annotations

import json
import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, norm
from torch import Tensor, nn

from longcut.data.loader import Normalisation
from longcut.evaluation.adversarial import survives_backgrounds
from longcut.evaluation.background_challenge import PAIRS, VARIANTS, foreground_of, paired, variants_in
from longcut.evaluation.metrics import (
    Measure,
    background_gap,
    decision_consistency,
    feature_consistency,
    measure,
)
from longcut.evaluation.predictions import Predictions
from longcut.evaluation.results import Subject, append_rows, row, weights_hash


def shares(count: int, of: int) -> np.ndarray:
    return np.arange(of) < count


def test_a_mean_is_exact() -> None:
    found = measure(np.array([0.25, -1.0, 3.5]))
    assert (found.sum, found.n, found.value) == (2.75, 3, 2.75 / 3)
    counted = measure(shares(2884, 4050))
    assert (counted.sum, counted.n, counted.value) == (2884.0, 4050, 2884 / 4050)


def test_its_interval_is_that_of_the_normal_approximation() -> None:
    found = measure(shares(350, 500))
    half = 1.96 * math.sqrt(0.7 * 0.3 / 500)
    assert found.low == pytest.approx(0.7 - half, abs=0.006)
    assert found.high == pytest.approx(0.7 + half, abs=0.006)


@pytest.mark.parametrize(("count", "of"), [(0, 5), (5, 5), (1, 1), (3, 8), (2884, 4050)])
def test_a_share_s_interval_is_wilson_s_and_as_wide_at_its_ends(count: int, of: int) -> None:
    found = measure(shares(count, of))
    expected = binomtest(count, of).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_so_is_that_of_many_different_values() -> None:
    values = np.random.default_rng(1).normal(2, 3, 400)
    found = measure(values)
    half = 1.96 * values.std() / math.sqrt(400)
    assert found.low == pytest.approx(values.mean() - half, abs=0.06)
    assert found.high == pytest.approx(values.mean() + half, abs=0.06)


def test_intervals_cover_what_they_should() -> None:
    generator = np.random.default_rng(2)
    draws = [measure(generator.random(500) < 0.7) for _ in range(300)]
    covered = np.mean([found.low <= 0.7 <= found.high for found in draws])
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 300)


def test_a_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(3).random(50)
    assert measure(values, seed=1) == measure(values, seed=1)
    assert measure(values, seed=1) != measure(values, seed=2)


@pytest.mark.parametrize(("value", "n"), [(0.0, 20), (1.0, 3), (1.0, 1)])
def test_equal_numbers_at_a_bound_have_the_interval_of_a_share(value: float, n: int) -> None:
    found, of_share = measure(np.full(n, value), bounds=(0, 1)), measure(np.full(n, value == 1))
    assert (found.value, found.n) == (value, n)
    assert (found.low, found.high) == pytest.approx((of_share.low, of_share.high), abs=1e-9)


def test_equal_numbers_leave_some_to_be_seen_anywhere_between_the_bounds() -> None:
    unseen = norm.ppf(0.975) ** 2 / (5 + norm.ppf(0.975) ** 2)
    found = measure(np.full(5, 0.75), bounds=(-1, 1))
    assert (found.low, found.high) == pytest.approx((0.75 - unseen * 1.75, 0.75 + unseen * 0.25), abs=1e-9)
    assert measure(np.full(5, 0.75)) == Measure(3.75, 5, -math.inf, math.inf), "of which no bounds are known"


def test_numbers_are_equal_but_for_rounding() -> None:
    jitter = np.array([1, 1 + 1e-7, 1 - 1e-7])
    found = measure(jitter, bounds=(-1, 1))
    assert found.low < 0
    assert measure(1 - 1e4 * (jitter - 1), bounds=(-1, 1)).low > 0.9


def test_no_sample_no_mean() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        measure(np.array([]))


def test_the_gap_is_a_difference_of_accuracies() -> None:
    generator = np.random.default_rng(4)
    same, rand = generator.random(300) < 0.8, generator.random(300) < 0.6
    found = background_gap(same, rand)
    assert found.value == pytest.approx(same.mean() - rand.mean(), abs=1e-12)
    assert found.n == 300
    difference = same.astype(float) - rand
    half = 1.96 * difference.std() / math.sqrt(300)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_the_gap_s_interval_knows_the_pairs() -> None:
    same = shares(70, 100)
    apart = background_gap(same, ~same)
    assert apart.value == pytest.approx(0.4)
    assert apart.high - apart.low > 0.3


@pytest.mark.parametrize(("turned", "certain"), [(4, False), (5, False), (6, True)])
def test_a_gap_of_a_handful_of_images_is_not_certain(turned: int, certain: bool) -> None:
    """McNemar's exact test of all of a few pairs turned one way has p = 2 / 2 ** turned."""
    more, fewer = shares(90, 100), shares(90 - turned, 100)
    lost, gained = background_gap(more, fewer), background_gap(fewer, more)
    assert (lost.low > 0, gained.high < 0) == (certain, certain)
    assert lost.low >= 0
    assert lost.high > lost.value > gained.value > gained.low


def test_a_gap_of_equal_differences_is_not_certain() -> None:
    """Tango's score test, solved for its ends by hand where no pair differs, and where every pair does."""
    none, all_right = shares(0, 20), shares(20, 20)
    z = norm.ppf(0.975)
    end = z**2 / (20 + z**2)
    unmoved, moved = background_gap(all_right, all_right), background_gap(all_right, none)
    assert (unmoved.value, unmoved.low, unmoved.high) == pytest.approx((0, -end, end), abs=1e-9)
    assert (moved.value, moved.low, moved.high) == pytest.approx((1, 1 - 2 * end, 1), abs=1e-9)
    assert unmoved.n == moved.n == 20


def test_consistencies_are_their_loops() -> None:
    generator = np.random.default_rng(5)
    first, second = generator.integers(0, 3, 40), generator.integers(0, 3, 40)
    agreed = decision_consistency(first, second)
    assert agreed.sum == sum(a == b for a, b in zip(first.tolist(), second.tolist(), strict=True))
    assert agreed.n == 40

    a, b = generator.normal(0.3, 1, (40, 6)), generator.normal(0.3, 1, (40, 6)) * 9
    cosines = [
        sum(x * y for x, y in zip(p, q, strict=True))
        / math.sqrt(sum(x * x for x in p))
        / math.sqrt(sum(y * y for y in q))
        for p, q in zip(a.tolist(), b.tolist(), strict=True)
    ]
    found = feature_consistency(a, b)
    assert found.value == pytest.approx(sum(cosines) / 40, abs=1e-12)
    same, thousand = feature_consistency(a, a * 5), feature_consistency(np.ones((1000, 2)), np.ones((1000, 2)))
    assert same.value == same.high == pytest.approx(1)
    assert same.low < 0.9 < thousand.low < 1
    assert feature_consistency(a, -a).value == pytest.approx(-1)
    assert feature_consistency(a * 0, a).value == 0
    large = np.full((2, 600), 1000, np.float16)
    assert feature_consistency(large, large).value == pytest.approx(1)


def predictions(*paths: str) -> Predictions:
    zeros = np.zeros(len(paths), np.int64)
    return Predictions(
        np.zeros((len(paths), 2), np.float32), np.zeros((len(paths), 2), np.float16), zeros, zeros, paths, "", ()
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("val/00_dog/n02085_12.JPEG", ("00_dog", "n02085_12")),
        ("val/00_dog/fg_n02085_12_bg_n01440_7.JPEG", ("00_dog", "n02085_12")),
        ("val/02_wheeled vehicle/fg_a b.c_bg_d.png", ("02_wheeled vehicle", "a b.c")),
        ("val/x/background.png", ("x", "background")),
        ("val/x/fg_1.png", ("x", "fg_1")),
        ("val/x/fg_fg_1_bg_2.png", ("x", "fg_1")),
        ("val/x/1_bg_2.png", ("x", "1_bg_2")),
        ("val/x/fg_1_bg_2_bg_3.png", ("x", "1")),
        ("val/x/fg_bg_3.png", ("x", "fg_bg_3")),
    ],
)
def test_names_of_foregrounds(path: str, expected: tuple[str, str]) -> None:
    assert foreground_of(path) == expected


def test_pairs_share_class_and_foreground() -> None:
    first = predictions("val/a/1.png", "val/a/2.png", "val/b/1.png", "val/b/9.png")
    second = predictions("val/b/fg_1_bg_5.png", "val/a/fg_2_bg_1.png", "val/a/fg_7_bg_2.png", "val/a/fg_1_bg_9.png")
    left, right = paired(first, second)
    assert list(zip(left.tolist(), right.tolist(), strict=True)) == [(0, 3), (1, 1), (2, 0)]
    none, nothing = paired(first, predictions("val/c/1.png"))
    assert len(none) == len(nothing) == 0


def test_variants_are_found_in_the_paper_s_order(tmp_path: Path) -> None:
    for name in ("mixed_rand", "original", "only_fg", "unknown"):
        (tmp_path / name / "val").mkdir(parents=True)
    (tmp_path / "mixed_same").mkdir()
    assert variants_in(tmp_path) == ("original", "only_fg", "mixed_rand")
    assert variants_in(tmp_path / "original") == ()
    assert {name for pair in PAIRS for name in pair} < set(VARIANTS)


class Linear(nn.Module):
    """A linear classifier of the pixels that counts what it sees."""

    def __init__(self, side: int, classes: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(11)
        self.weights = torch.randn(3 * side * side, classes, generator=generator)
        self.seen, self.largest = 0, 0

    def encode(self, images: Tensor) -> Tensor:
        self.seen, self.largest = self.seen + len(images), max(self.largest, len(images))
        return images.flatten(1)

    def classify(self, features: Tensor) -> Tensor:
        return features @ self.weights


def challenge(easy: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Foregrounds, masks, targets (most of them what the model says on the first background) and backgrounds."""
    generator = torch.Generator().manual_seed(12)
    foregrounds = torch.randint(0, 256, (70, 4, 4, 3), generator=generator, dtype=torch.uint8)
    backgrounds = torch.randint(110, 140, (9, 4, 4, 3), generator=generator, dtype=torch.uint8)
    masks = torch.where(torch.rand(70, 4, 4, generator=generator) < 0.5, 255, 0).to(torch.uint8)
    model = Linear(4, 3)
    shown = torch.where(masks[..., None] > 0, foregrounds, backgrounds[0])
    targets = model.classify(model.encode(Normalisation()(shown))).argmax(dim=1)
    targets[::9] = (targets[::9] + 1) % 3
    return foregrounds, masks, targets, backgrounds[:1] if easy else backgrounds


def by_brute_force(foregrounds: Tensor, masks: Tensor, targets: Tensor, backgrounds: Tensor) -> list[bool]:
    model, alive = Linear(4, 3), [True] * len(foregrounds)
    for f, b in product(range(len(foregrounds)), range(len(backgrounds))):
        shown = torch.where(masks[f][..., None] > 0, foregrounds[f], backgrounds[b])
        logits = model.classify(model.encode(Normalisation()(shown[None])))
        alive[f] &= bool(logits.argmax() == targets[f])
    return alive


@pytest.mark.parametrize("batch_size", [1, 7, 64, 10_000])
def test_survivors_are_those_of_brute_force(batch_size: int) -> None:
    parts = challenge()
    expected, model = by_brute_force(*parts), Linear(4, 3)
    assert 0 < sum(expected) < 60
    found = survives_backgrounds(model, *parts, normalisation=Normalisation(), batch_size=batch_size)
    assert found.tolist() == expected
    assert model.largest <= batch_size


def test_what_is_flipped_is_tried_no_further() -> None:
    foregrounds, masks, targets, backgrounds = challenge()
    model = Linear(4, 3)
    found = survives_backgrounds(
        model, foregrounds, masks, (targets + 1) % 3, backgrounds, normalisation=Normalisation(), batch_size=70
    )
    assert found.sum() < 5
    assert model.seen < 0.9 * len(foregrounds) * len(backgrounds)


def test_one_background_is_an_accuracy() -> None:
    parts = challenge(easy=True)
    found = survives_backgrounds(Linear(4, 3), *parts, normalisation=Normalisation())
    assert found.tolist() == [i % 9 != 0 for i in range(70)]


SUBJECT = Subject("runs/a", "erm", "base", 0, 100, "last", "from scratch", "sha256:w")


def entry(value: float, *, subject: Subject = SUBJECT, of_class: str | None = None, **change: Any) -> dict[str, Any]:
    names = {"metric": "accuracy", "dataset": "original", "data_hash": "sha256:d", **change}
    measured = Measure(value * 10, 10, value - 0.1, value + 0.1)
    return row(
        subject,
        names["metric"],
        names["dataset"],
        measured,
        data="in9",
        data_hash=names["data_hash"],
        of_class=of_class,
    )


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_row_tells_what_was_measured() -> None:
    found = entry(0.5, of_class="dög")
    assert (found["value"], found["sum"], found["n"], found["low"], found["high"]) == (0.5, 5.0, 10, 0.4, 0.6)
    assert (found["class"], found["data"], found["method"], found["seed"]) == ("dög", "in9", "erm", 0)
    assert found["starting_weights"] == "from scratch"
    assert "version" in found
    assert "commit" in found


def test_the_same_measurement_is_replaced_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    others = [
        entry(0.2, of_class="dög"),
        entry(0.3, dataset="mixed_rand"),
        entry(0.4, metric="feature_consistency"),
        entry(0.5, data_hash="sha256:e"),
        entry(0.6, subject=Subject(**{**vars(SUBJECT), "weights_hash": "sha256:v"})),
        entry(0.7, subject=Subject(**{**vars(SUBJECT), "selection": "best_val"})),
    ]
    append_rows(path, [entry(0.1), *others])
    assert [found["value"] for found in read(path)] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    append_rows(path, [entry(0.9), entry(0.8, dataset="only_fg")])
    assert [found["value"] for found in read(path)] == [0.9, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    assert read(path)[1:7] == others
    assert [file.name for file in tmp_path.iterdir()] == ["results.jsonl"]


def test_the_hash_of_weights_is_of_every_number_and_name() -> None:
    first, second = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    assert weights_hash(first) == weights_hash(second)
    second.running_mean[0] += 1e-6
    assert weights_hash(first) != weights_hash(second)
    assert weights_hash(nn.Sequential(first)) != weights_hash(first)


def test_predictions_come_back_as_they_were(tmp_path: Path) -> None:
    generator = np.random.default_rng(6)
    logits = generator.normal(size=(4, 3)).astype(np.float32)
    features, targets = generator.normal(size=(4, 2)).astype(np.float16), np.array([0, 1, 2, 2])
    names = ("a/1.png", "a/ü 2.png", "b/3.png", "c/4.png")
    whole = Predictions(logits, features, targets, np.array([3, 1, 0, 2]), names, "root", ("x", "ÿ", "z"), targets % 2)
    whole.save(tmp_path / "predictions" / "original.npz")
    found = Predictions.load(tmp_path / "predictions" / "original.npz")
    for name, value in vars(whole).items():
        assert np.array_equal(getattr(found, name), value)
        assert type(getattr(found, name)) is type(value)
    assert found.predicted.tolist() == [max(range(3), key=scores.__getitem__) for scores in logits.tolist()]
    assert found.correct.tolist() == (found.predicted == targets).tolist()
    assert len(found) == 4
    assert [file.name for file in (tmp_path / "predictions").iterdir()] == ["original.npz"]
