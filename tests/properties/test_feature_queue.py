"""The shared queue equals a bounded list, whatever is pushed."""

from __future__ import annotations

import math
from collections import deque

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from longcut.losses import bank_mass, contrast_with, log_mass
from longcut.queues import FeatureQueue

DIM = 3


@st.composite
def pushes(draw: st.DrawFn) -> tuple[int, list[Tensor]]:
    """A capacity and batches, also empty ones and such of more than fit."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    sizes = draw(st.lists(st.integers(0, 12), max_size=6))
    return draw(st.integers(1, 7)), [torch.randn(b, DIM, generator=generator) * 4 for b in sizes]


def unit(row: list[float]) -> list[float]:
    length = math.sqrt(sum(x * x for x in row))
    return [x / length for x in row]


@settings(max_examples=150)
@given(pushes())
def test_it_equals_a_bounded_list(case: tuple[int, list[Tensor]]) -> None:
    capacity, batches = case
    queue = FeatureQueue(capacity, DIM)
    rows = deque(queue.embeddings.tolist(), maxlen=capacity)
    for embeddings in batches:
        queue.push(embeddings)
        rows.extend(unit(row) for row in embeddings.double().tolist())
    oldest = int(queue.pointer)
    assert oldest == sum(map(len, batches)) % capacity
    for found, expected in zip(queue.embeddings.roll(-oldest, dims=0).tolist(), rows, strict=True):
        assert found == pytest.approx(expected, abs=1e-6)


@settings(max_examples=40)
@given(pushes(), st.integers(0, 9))
def test_similarities_are_cosines_to_what_is_there(case: tuple[int, list[Tensor]], b: int) -> None:
    capacity, batches = case
    queue = FeatureQueue(capacity, DIM)
    for embeddings in batches:
        queue.push(embeddings)
    queries = torch.randn(b, DIM, generator=torch.Generator().manual_seed(2)) * 5
    found = queue.similarities(queries)
    assert found.shape == (b, capacity)
    for row, query in zip(found.tolist(), queries.double().tolist(), strict=True):
        expected = [
            sum(x * y for x, y in zip(unit(query), other, strict=True)) for other in queue.embeddings.double().tolist()
        ]
        assert row == pytest.approx(expected, abs=1e-6)


@settings(max_examples=40)
@given(pushes(), pushes())
def test_a_checkpoint_carries_on(case: tuple[int, list[Tensor]], later: tuple[int, list[Tensor]]) -> None:
    queue, other = FeatureQueue(case[0], DIM), FeatureQueue(case[0], DIM)
    for embeddings in case[1]:
        queue.push(embeddings)
    other.load_state_dict({name: tensor.clone() for name, tensor in queue.state_dict().items()})
    for embeddings in later[1]:
        queue.push(embeddings)
        other.push(embeddings)
    assert set(queue.state_dict()) == {"embeddings", "pointer"}
    for name, tensor in queue.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_it_starts_full_of_different_unit_vectors() -> None:
    embeddings = FeatureQueue(50, DIM).embeddings
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(50))
    assert len(embeddings.unique(dim=0)) == 50


@pytest.mark.parametrize("size", [2, 5, 12])
def test_a_push_after_the_loss_leaves_its_gradient_alone(size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    queries, weights = torch.randn(4, DIM, generator=generator).requires_grad_(), torch.arange(1.0, 5.0)
    queue = FeatureQueue(5, DIM)

    def losses() -> list[Tensor]:
        masses = (
            log_mass(queue.similarities(queries), temperature=0.2),
            bank_mass(queries, queue.embeddings, temperature=0.2),
        )
        return [(contrast_with(torch.zeros(4), mass, temperature=0.2) * weights).sum() for mass in masses]

    expected = [torch.autograd.grad(loss, queries)[0] for loss in losses()]
    waiting = losses()
    queue.push(torch.randn(size, DIM, generator=generator))
    for loss, gradient in zip(waiting, expected, strict=True):
        assert torch.equal(torch.autograd.grad(loss, queries)[0], gradient)
    torch.testing.assert_close(*expected)


def test_nothing_in_it_has_a_gradient_and_queries_have() -> None:
    queue = FeatureQueue(3, DIM)
    pushed = torch.randn(4, DIM, requires_grad=True)
    queue.push(pushed * 2)
    assert not list(queue.parameters())
    assert not any(buffer.requires_grad for buffer in queue.buffers())
    queries = torch.randn(2, DIM, requires_grad=True)
    queue.similarities(queries).sum().backward()
    assert queries.grad is not None
    assert pushed.grad is None


def test_it_stays_float32_under_autocast() -> None:
    queue, queries = FeatureQueue(3, DIM), torch.randn(2, DIM).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        queue.push(torch.randn(2, DIM).bfloat16())
        found = queue.similarities(queries)
    assert queue.embeddings.dtype == found.dtype == torch.float32
    torch.testing.assert_close(found, queue.similarities(queries.float()))


@pytest.mark.parametrize("sizes", [(0, 1), (1, 0)])
def test_sizes_below_one_are_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="sizes of at least 1, not"):
        FeatureQueue(*sizes)
