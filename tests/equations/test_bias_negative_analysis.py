"""What is read of a run's state, against plain loops; intervals against what they promise."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
import torch

from longcut.evaluation.bias_negative_analysis import (
    contents,
    loss_fell,
    relative_difficulty,
    separation,
    share,
    sides,
    spread,
)
from longcut.methods.relative_difficulty import RelativeDifficulty

S = 200


def made(seed: int) -> dict[str, np.ndarray]:
    """Labels, a candidate flag and a score with ties; some samples were not scored, some have no known bias."""
    draw = np.random.default_rng(seed)
    targets, bias = draw.integers(3, size=S), draw.integers(-1, 3, size=S)
    scores = np.round(draw.normal(0.3 * (targets != bias), 1, S), 1).astype(np.float32)
    scores[draw.random(S) < 0.2] = 0
    return {"targets": targets, "bias": bias, "scores": scores, "candidates": draw.random(S) < 0.5}


def test_sides_leave_out_what_is_not_known() -> None:
    known = sides(np.array([0, 0, 1, 1, -1]), np.array([0, 1, -1, 1, 1]))
    assert known.aligned.tolist() == [True, False, False, True, False]
    assert known.conflicting.tolist() == [False, True, False, False, False]


@pytest.mark.parametrize("side", ["aligned", "conflicting"])
def test_contents_are_those_of_plain_loops(side: str) -> None:
    found = made(0)
    images = candidates = unscored = kept = removed = 0
    scores = []
    for y, b, s, c in zip(*(found[name].tolist() for name in ("targets", "bias", "scores", "candidates")), strict=True):
        if b < 0 or (y == b) != (side == "aligned"):
            continue
        images += 1
        if c:
            candidates += 1
            scores.append(s)
            unscored += s == 0
            kept += s > 0
            removed += s <= 0
    members = sides(found["targets"], found["bias"]).named()[side]
    measured = contents(found["scores"], found["candidates"], members)
    expected = images, candidates, unscored, kept, removed
    assert min(expected) > 0
    counted = measured.images, measured.candidates, measured.unscored, measured.kept, measured.removed
    assert counted == expected
    assert measured.share_kept is not None
    assert (measured.share_kept.sum, measured.share_kept.n) == (kept, images)
    assert measured.mean_score is not None
    assert measured.mean_score.value == pytest.approx(sum(scores) / len(scores), abs=1e-9)


def test_a_loss_that_fell_needs_a_reference() -> None:
    losses, references = np.array([1.0, 3.0, 2.0, 0.0, 0.5]), np.array([2.0, 2.0, 2.0, 0.0, 0.0])
    assert loss_fell(losses, references).tolist() == [True, False, False, False, False]


def test_spread_is_that_of_the_members() -> None:
    values = np.array([5.0, -1.0, 0.0, 1.0, 2.0, 3.0])
    found = spread(values, np.array([False, True, True, True, True, True]))
    assert (found.n, found.mean, found.low, found.high, found.positive) == (5, 1.0, 0.0, 2.0, 3)
    assert spread(values, np.zeros(6, bool)).mean is None


def test_a_share_has_wilson_s_interval() -> None:
    """Wilson's interval: where the share's distance from an end is 1.96 standard errors of that end."""
    of = np.arange(S) < 40
    found = share(np.arange(S) % 8 == 0, of)
    assert found is not None
    assert (found.sum, found.n) == (5, 40)
    z = NormalDist().inv_cdf(0.975)
    for end in (found.low, found.high):
        assert abs(found.value - end) == pytest.approx(z * (end * (1 - end) / 40) ** 0.5, abs=1e-12)
    assert share(of, np.zeros(S, bool)) is None


# Separation.


def test_the_area_is_that_of_all_pairs_and_ties_count_half() -> None:
    found = made(1)
    known = sides(found["targets"], found["bias"])
    values = found["scores"].tolist()
    wins = pairs = 0.0
    for i in np.flatnonzero(known.conflicting).tolist():
        for j in np.flatnonzero(known.aligned).tolist():
            wins += 1.0 if values[i] > values[j] else 0.5 if values[i] == values[j] else 0.0
            pairs += 1
    measured = separation(found["scores"], known.conflicting, known.aligned)
    assert measured is not None
    assert measured.value == pytest.approx(wins / pairs, abs=1e-12)
    assert (measured.conflicting, measured.aligned) == (known.conflicting.sum(), known.aligned.sum())
    assert separation(found["scores"], known.conflicting, np.zeros(S, bool)) is None


def test_the_area_s_interval_solves_its_equation() -> None:
    """Newcombe (2006), method 5: an end is 1.96 of its own standard errors away."""
    found = made(2)
    known = sides(found["targets"], found["bias"])
    measured = separation(found["scores"], known.conflicting, known.aligned)
    assert measured is not None
    m, n, z = measured.conflicting, measured.aligned, NormalDist().inv_cdf(0.975)
    for end in (measured.low, measured.high):
        q1, q2, both = (1 - end) / (2 - end), end / (1 + end), (m + n) / 2 - 1
        error = (end * (1 - end) * (1 + both * q1 + both * q2) / (m * n)) ** 0.5
        assert abs(measured.value - end) == pytest.approx(z * error, abs=1e-12)


@pytest.mark.parametrize(("conflicting", "aligned", "shift"), [(6, 30, 2.0), (40, 200, 1.0)])
def test_the_area_s_interval_covers_the_truth(conflicting: int, aligned: int, shift: float) -> None:
    draw, truth, hits = np.random.default_rng(3), NormalDist().cdf(shift / 2**0.5), 0
    first = np.arange(conflicting + aligned) < conflicting
    for _ in range(400):
        found = separation(draw.normal(shift * first), first, ~first)
        assert found is not None
        hits += found.low <= truth <= found.high
    assert 0.925 <= hits / 400 <= 0.99


def test_a_perfect_area_keeps_the_width_of_its_interval() -> None:
    values, first = np.array([2.0] * 5 + [1.0] * 30), np.arange(35) < 5
    for conflicting, ends in ((first, (0.5, 1.0)), (~first, (0.0, 0.5))):
        found = separation(values, conflicting, ~conflicting)
        assert found is not None
        assert ends[0] <= found.low < found.high <= ends[1]
        assert found.value in (0.0, 1.0)


# LfF's weights.


def test_weights_from_the_state_are_those_of_training() -> None:
    """Against the module that weighs while training, and against its formula; the last sample was never seen."""
    generator = torch.Generator().manual_seed(0)
    difficulty, targets = RelativeDifficulty(12, 3), torch.arange(12) % 3
    for _ in range(4):
        seen = torch.randperm(11, generator=generator)[:6]
        losses = torch.rand(2, 6, generator=generator) * torch.tensor([[2.0], [1.0]])
        difficulty(losses[0], losses[1], targets[seen], seen)
    state = {name: values.numpy() for name, values in difficulty.sample_state().items()}
    found = relative_difficulty(state["biased_loss"], state["debiased_loss"], targets.numpy())
    np.testing.assert_allclose(found, difficulty.weights(targets, torch.arange(12)).numpy(), rtol=1e-6, atol=1e-7)
    assert found[11] == 0
    labels, table = targets.tolist(), [state[name].tolist() for name in ("biased_loss", "debiased_loss")]
    for i in range(11):
        b, d = (row[i] / max(row[j] for j in range(12) if labels[j] == labels[i]) for row in table)
        assert found[i] == pytest.approx(b / (b + d + 1e-8), rel=1e-6)
