"""The bias-negative scores equal dictionaries that are updated one by one, and draws come from the set they leave."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from longcut.queues.bias_negatives import BiasNegatives

SAMPLES, CLASSES = 7, 3
Update = tuple[Tensor, Tensor, Tensor, Tensor, bool]


def target_of(index: int) -> int:
    return index % CLASSES


@st.composite
def updates(draw: st.DrawFn) -> tuple[float, float, list[Update]]:
    """Two rates and batches, also empty ones and such that hold a sample twice; from one on with references."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    batches = draw(st.lists(st.lists(st.integers(0, SAMPLES - 1), max_size=9), max_size=8))
    start = draw(st.integers(0, 8))
    made = []
    for step, batch in enumerate(batches):
        indices = torch.tensor(batch, dtype=torch.long)
        losses = torch.rand(len(batch), generator=generator) * 4
        candidates = torch.rand(len(batch), generator=generator) < 0.7
        made.append((losses, indices, indices % CLASSES, candidates, step >= start))
    rates = st.sampled_from([0.1, 0.3, 1.0])
    return draw(rates), draw(rates), made


def by_dictionaries(loss_rate: float, score_rate: float, batches: list[Update]) -> dict[str, dict[int, Any]]:
    """Equations 1 and 2 for one sample after the other, in float64."""
    loss: dict[int, float] = {}
    reference: dict[int, float] = {}
    score: dict[int, float] = {}
    candidate: dict[int, bool] = {}
    for losses, indices, _, candidates, referenced in batches:
        last = {i: row for row, i in enumerate(indices.tolist())}
        for i, row in last.items():
            new = float(losses[row].double())
            loss[i] = loss_rate * new + (1 - loss_rate) * loss[i] if i in loss else new
            candidate[i] = bool(candidates[row])
            if referenced:
                reference.setdefault(i, loss[i])
                score[i] = score_rate * (loss[i] - reference[i]) + (1 - score_rate) * score.get(i, 0.0)
    return {"losses": loss, "references": reference, "scores": score, "candidates": candidate}


def updated(loss_rate: float, score_rate: float, batches: list[Update]) -> BiasNegatives:
    negatives = BiasNegatives(SAMPLES, CLASSES, loss_rate, score_rate)
    for batch in batches:
        negatives.update(*batch)
    return negatives


def listing(values: dict[int, Any]) -> list[float]:
    return [float(values.get(i, 0)) for i in range(SAMPLES)]


@settings(max_examples=150)
@given(updates())
def test_it_equals_dictionaries(case: tuple[float, float, list[Update]]) -> None:
    negatives, expected = updated(*case), by_dictionaries(*case)
    for name, values in expected.items():
        assert getattr(negatives, name).tolist() == pytest.approx(listing(values), abs=1e-5), name
    assert negatives.has_reference.tolist() == [i in expected["references"] for i in range(SAMPLES)]
    seen = [target_of(i) if i in expected["losses"] else -1 for i in range(SAMPLES)]
    assert negatives.targets.tolist() == seen


@settings(max_examples=80)
@given(updates(), st.integers(0, 10**6), st.sampled_from(["negatives", "candidates", "all"]))
def test_only_members_of_the_class_are_drawn(case: tuple[float, float, list[Update]], seed: int, among: Any) -> None:
    negatives, expected = updated(*case), by_dictionaries(*case)
    members = {
        "negatives": [i for i, c in expected["candidates"].items() if c and float(negatives.scores[i]) > 0],
        "candidates": [i for i, c in expected["candidates"].items() if c],
        "all": [*expected["losses"]],
    }[among]
    assert negatives.members(among).nonzero()[:, 0].tolist() == sorted(members)
    targets = torch.arange(60) % CLASSES
    uniforms = torch.rand(60, generator=torch.Generator().manual_seed(seed))
    indices, found = negatives.sample(targets, uniforms, among)
    assert indices.min() >= 0
    assert indices.max() < SAMPLES
    for target, index, there in zip(targets.tolist(), indices.tolist(), found.tolist(), strict=True):
        eligible = [i for i in members if target_of(i) == target]
        assert there == bool(eligible)
        assert index in eligible or not there


def rising(candidates: list[int], samples: int = 40) -> BiasNegatives:
    """Two classes, even and odd; the loss of every third sample falls, that of the others rises."""
    negatives = BiasNegatives(samples, 2)
    indices = torch.arange(samples)
    mask = torch.zeros(samples, dtype=torch.bool)
    mask[candidates] = True
    for step in range(3):
        losses = torch.where(indices % 3 == 0, 2.0 - 0.5 * step, 1.0 + step)
        negatives.update(losses, indices, indices % 2, mask, step > 0)
    return negatives


def test_draws_are_uniform_over_the_members() -> None:
    negatives = rising([*range(0, 40, 2), 1, 5])
    draws = 14_000
    uniforms = torch.rand(draws, generator=torch.Generator().manual_seed(0))
    indices, found = negatives.sample(torch.zeros(draws, dtype=torch.long), uniforms)
    assert found.all()
    counts = Counter(indices.tolist())
    eligible = [i for i in range(0, 40, 2) if i % 3]
    assert sorted(counts) == eligible
    expected = draws / len(eligible)
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_square < 30, f"{chi_square} with {len(eligible) - 1} degrees of freedom"


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-24])
def test_the_ends_of_the_draws_are_the_first_and_last_member(uniform: float) -> None:
    negatives = rising([1, 5, 7, 8, 10])
    for target, members in enumerate(([8, 10], [1, 5, 7])):
        indices, _ = negatives.sample(torch.tensor([target]), torch.tensor([uniform]))
        assert indices.item() == members[-1 if uniform else 0]


def test_a_class_without_a_member_is_said() -> None:
    negatives = rising([1, 3, 5])  # of class 1; 3 falls
    indices, found = negatives.sample(torch.tensor([0, 1, 0, 1]), torch.rand(4))
    assert found.tolist() == [False, True, False, True]
    assert set(indices[found].tolist()) <= {1, 5}
    _, none = rising([]).sample(torch.tensor([0, 1]), torch.rand(2))
    assert not none.any()


def test_many_classes_are_not_cut_short() -> None:
    negatives = BiasNegatives(4, 40_000)
    indices, targets = torch.arange(4), torch.tensor([0, 39_999, 33_000, 7])
    for step in range(3):
        negatives.update(torch.full((4,), 1.0 + step), indices, targets, torch.ones(4, dtype=torch.bool), step > 0)
    found = negatives.sample(targets, torch.rand(4))
    assert found[0].tolist() == [0, 1, 2, 3]
    assert found[1].all()


def test_scores_as_weights_are_clipped() -> None:
    negatives = BiasNegatives(4, 1)
    negatives.scores.copy_(torch.tensor([-0.5, 0.2, 3.0, 0.0]))
    every = torch.tensor([2, 0, 1, 3, 2])
    assert negatives.scores_of(every).tolist() == pytest.approx([3.0, 0.0, 0.2, 0.0, 3.0])
    assert negatives.scores_of(every, limit=1.0).tolist() == pytest.approx([1.0, 0.0, 0.2, 0.0, 1.0])


def test_a_checkpoint_carries_on() -> None:
    negatives, other = rising([0, 1, 2, 4]), BiasNegatives(40, 2)
    names = {"losses", "references", "has_reference", "scores", "targets", "candidates"}
    assert set(negatives.state_dict()) == names
    other.load_state_dict({name: tensor.clone() for name, tensor in negatives.state_dict().items()})
    later = (torch.rand(3), torch.tensor([4, 1, 4]), torch.tensor([0, 1, 0]), torch.tensor([True, False, True]), True)
    negatives.update(*later)
    other.update(*later)
    for name, tensor in negatives.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_nothing_in_it_has_a_gradient() -> None:
    negatives = BiasNegatives(4, 2)
    losses = torch.rand(2, requires_grad=True)
    for _ in range(3):
        negatives.update(losses * 2, torch.tensor([0, 1]), torch.tensor([0, 1]), torch.ones(2, dtype=torch.bool), True)
    assert not list(negatives.parameters())
    assert not any(buffer.requires_grad for buffer in negatives.buffers())


def test_low_precision_losses_are_kept_in_float32() -> None:
    negatives = BiasNegatives(4, 2)
    batch = (torch.tensor([0, 1]), torch.tensor([0, 1]), torch.ones(2, dtype=torch.bool), True)
    negatives.update(torch.rand(2).bfloat16(), *batch)
    assert negatives.losses.dtype == negatives.scores.dtype == torch.float32


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((0, 1), "sizes of at least 1"),
        ((1, 0), "sizes of at least 1"),
        ((1, 1, 0.0), "loss_rate must be above 0 and up to 1, not 0.0"),
        ((1, 1, 0.3, 1.5), "score_rate must be above 0 and up to 1, not 1.5"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BiasNegatives(*given)
