"""The averaged losses and their class maxima equal a dictionary that is updated one by one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from longcut.queues.sample_loss import SampleLoss

SAMPLES, CLASSES = 7, 4
LABELS = [0, 1, 0, 3, 1, 0, 3]  # none is of class 2
Pushes = list[tuple[Tensor, Tensor]]


@st.composite
def pushes(draw: st.DrawFn) -> tuple[float, Pushes]:
    """A momentum and batches, also empty ones and such that hold a sample twice; losses rise and fall."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    batches = draw(st.lists(st.lists(st.integers(0, SAMPLES - 1), max_size=9), max_size=6))
    indices = [torch.tensor(batch, dtype=torch.long) for batch in batches]
    scales = draw(st.lists(st.sampled_from([0.0, 0.01, 5.0]), min_size=len(batches), max_size=len(batches)))
    momentum = draw(st.sampled_from([0.0, 0.7, 0.9]))
    losses = [torch.rand(len(i), generator=generator) * scale for i, scale in zip(indices, scales, strict=True)]
    return momentum, list(zip(losses, indices, strict=True))


def labels(indices: Tensor) -> Tensor:
    return torch.tensor(LABELS)[indices]


def push(averages: SampleLoss, losses: list[float], indices: list[int]) -> Tensor:
    positions = torch.tensor(indices)
    return averages.push(torch.tensor(losses), positions, labels(positions))


@settings(max_examples=150)
@given(pushes())
def test_it_equals_a_dictionary(case: tuple[float, Pushes]) -> None:
    momentum, batches = case
    averages = SampleLoss(SAMPLES, CLASSES, momentum)
    rows: dict[int, float] = {}
    for losses, indices in batches:
        found = averages.push(losses, indices, labels(indices))
        before = dict(rows)
        for index, loss in zip(indices.tolist(), losses.double().tolist(), strict=True):
            rows[index] = momentum * before[index] + (1 - momentum) * loss if index in before else loss
        assert found.tolist() == pytest.approx([rows[index] for index in indices.tolist()], abs=1e-6)

    table = [rows.get(index, 0.0) for index in range(SAMPLES)]
    assert averages.losses.tolist() == pytest.approx(table, abs=1e-6)
    assert averages.seen.tolist() == [index in rows for index in range(SAMPLES)]
    assert averages.targets.tolist() == [LABELS[index] if index in rows else -1 for index in range(SAMPLES)]
    maxima = [max((table[i] for i in range(SAMPLES) if LABELS[i] == label), default=0.0) for label in range(CLASSES)]
    assert averages.class_maxima().tolist() == pytest.approx(maxima, abs=1e-6)
    everything = torch.arange(SAMPLES)
    shares = averages.normalised(everything, labels(everything))
    expected = [x / maxima[label] if maxima[label] > 1e-6 else 0.0 for x, label in zip(table, LABELS, strict=True)]
    assert shares.tolist() == pytest.approx(expected, abs=1e-3)


def test_a_maximum_comes_down_with_the_losses() -> None:
    averages = SampleLoss(SAMPLES, CLASSES, momentum=0.5)
    push(averages, [8.0, 1.0, 3.0], [0, 2, 3])
    assert averages.class_maxima().tolist() == [8.0, 0.0, 0.0, 3.0]
    push(averages, [0.0], [0])
    assert averages.class_maxima().tolist() == [4.0, 0.0, 0.0, 3.0]
    for _ in range(4):
        push(averages, [0.0], [0])
    assert averages.class_maxima().tolist() == [1.0, 0.0, 0.0, 3.0], "sample 2 is now the hardest of its class"


def test_the_hardest_of_a_class_has_a_share_of_one() -> None:
    averages = SampleLoss(SAMPLES, CLASSES)
    push(averages, [0.3, 0.1, 0.0, 7e-4], [0, 2, 1, 3])
    positions = torch.tensor([0, 2, 1, 4, 3])
    assert averages.normalised(positions, labels(positions)).tolist() == pytest.approx([1, 1 / 3, 0, 0, 1])


def test_a_checkpoint_carries_on() -> None:
    averages, other = SampleLoss(SAMPLES, CLASSES), SampleLoss(SAMPLES, CLASSES)
    assert set(averages.state_dict()) == {"losses", "seen", "targets"}
    push(averages, [1.0, 2.0], [3, 5])
    other.load_state_dict({name: tensor.clone() for name, tensor in averages.state_dict().items()})
    for each in (averages, other):
        push(each, [4.0, 0.5], [3, 1])
    assert torch.equal(averages.losses, other.losses)
    assert torch.equal(averages.class_maxima(), other.class_maxima())


def test_nothing_in_it_has_a_gradient_and_all_of_it_is_float32() -> None:
    averages = SampleLoss(SAMPLES, CLASSES)
    assert not list(averages.parameters())
    losses, positions = torch.ones(2, dtype=torch.bfloat16, requires_grad=True), torch.tensor([0, 1])
    with torch.autocast("cpu", torch.bfloat16):
        found = averages.push(losses * 2, positions, labels(positions))
        shares = averages.normalised(positions, labels(positions))
    for tensor in (found, averages.losses, shares, averages.class_maxima()):
        assert tensor.dtype == torch.float32
        assert not tensor.requires_grad


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ((0, 1), "sizes of at least 1, not 0 x 1"),
        ((1, 0), "sizes of at least 1, not 1 x 0"),
        ((1, 1, 1.0), "below 1, not 1.0"),
        ((1, 1, -0.1), "not -0.1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: tuple[float, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SampleLoss(*settings)
