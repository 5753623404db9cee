"""The averaged embeddings equal a dictionary that is updated one by one."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from longcut.queues import SampleAverage

SAMPLES, DIM = 6, 3
Pushes = list[tuple[Tensor, Tensor]]


@st.composite
def pushes(draw: st.DrawFn) -> tuple[float, Pushes]:
    """A momentum and batches, also empty ones and such that hold a sample twice."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    batches = draw(st.lists(st.lists(st.integers(0, SAMPLES - 1), max_size=9), max_size=5))
    indices = [torch.tensor(batch, dtype=torch.long) for batch in batches]
    momentum = draw(st.sampled_from([0.0, 0.5, 0.9]))
    return momentum, [(torch.randn(len(i), DIM, generator=generator) * 4, i) for i in indices]


def unit(row: list[float]) -> list[float]:
    length = math.sqrt(sum(x * x for x in row))
    return [x / length for x in row]


@settings(max_examples=150)
@given(pushes())
def test_it_equals_a_dictionary(case: tuple[float, Pushes]) -> None:
    momentum, batches = case
    averages = SampleAverage(SAMPLES, DIM, momentum)
    rows = dict(enumerate(averages.embeddings.double().tolist()))
    for embeddings, indices in batches:
        averages.push(embeddings, indices)
        last = dict(zip(indices.tolist(), embeddings.double().tolist(), strict=True))
        for index, row in last.items():
            mixed = [momentum * old + (1 - momentum) * new for old, new in zip(rows[index], unit(row), strict=True)]
            rows[index] = unit(mixed)
    for index, row in rows.items():
        assert averages.embeddings[index].tolist() == pytest.approx(row, abs=1e-5)


def test_similarities_are_cosines_to_the_candidates() -> None:
    averages = SampleAverage(SAMPLES, DIM)
    queries, candidates = torch.randn(4, DIM, requires_grad=True), torch.tensor([5, 0, 0, 3, 2])
    found = averages.similarities(queries, candidates)
    for row, query in zip(found.tolist(), queries.tolist(), strict=True):
        others = averages.embeddings[candidates].tolist()
        assert row == pytest.approx([sum(x * y for x, y in zip(unit(query), o, strict=True)) for o in others], abs=1e-6)
    (expected,) = torch.autograd.grad(found.sum(), queries, retain_graph=True)
    averages.push(torch.randn(4, DIM), torch.tensor([0, 5, 2, 1]))
    assert torch.equal(torch.autograd.grad(found.sum(), queries)[0], expected)


def test_what_is_read_stays_as_it_was() -> None:
    averages = SampleAverage(SAMPLES, DIM)
    read = averages.read(torch.tensor([3, 1]))
    before = read.clone()
    averages.push(torch.randn(2, DIM), torch.tensor([1, 3]))
    assert torch.equal(read, before)
    assert not torch.equal(averages.read(torch.tensor([3, 1])), before)


def test_a_checkpoint_carries_on() -> None:
    averages, other = SampleAverage(SAMPLES, DIM), SampleAverage(SAMPLES, DIM)
    assert set(averages.state_dict()) == {"embeddings"}
    torch.testing.assert_close(averages.embeddings.norm(dim=1), torch.ones(SAMPLES))
    other.load_state_dict({name: tensor.clone() for name, tensor in averages.state_dict().items()})
    embeddings, indices = torch.randn(3, DIM), torch.tensor([4, 1, 4])
    averages.push(embeddings, indices)
    other.push(embeddings, indices)
    assert torch.equal(averages.embeddings, other.embeddings)


def test_nothing_in_it_has_a_gradient() -> None:
    averages = SampleAverage(SAMPLES, DIM)
    pushed = torch.randn(2, DIM, requires_grad=True)
    averages.push(pushed * 2, torch.tensor([0, 1]))
    assert not list(averages.parameters())
    assert not averages.embeddings.requires_grad
    assert not averages.read(torch.tensor([0])).requires_grad


def test_it_stays_float32_under_autocast() -> None:
    averages, queries = SampleAverage(SAMPLES, DIM), torch.randn(2, DIM).bfloat16()
    candidates = torch.arange(SAMPLES)
    with torch.autocast("cpu", torch.bfloat16):
        averages.push(torch.randn(2, DIM).bfloat16(), torch.tensor([0, 1]))
        found = averages.similarities(queries, candidates)
    assert averages.embeddings.dtype == found.dtype == torch.float32
    torch.testing.assert_close(found, averages.similarities(queries.float(), candidates))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ((0, 1), "sizes of at least 1"),
        ((1, 0), "sizes of at least 1"),
        ((1, 1, 1.0), "below 1, not 1.0"),
        ((1, 1, -0.1), "not -0.1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: tuple[float, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SampleAverage(*settings)
