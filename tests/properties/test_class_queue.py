"""The queue of embeddings equals a dictionary of bounded lists, whatever is pushed."""

from __future__ import annotations

import math
from collections import defaultdict, deque

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from longcut.queues import ClassQueue

CLASSES, DIM = 4, 3
Pushes = list[tuple[Tensor, Tensor]]


@st.composite
def pushes(draw: st.DrawFn) -> tuple[int, Pushes]:
    """A capacity and batches, also empty ones and such with more of a class than fit."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    batches = draw(st.lists(st.lists(st.integers(0, CLASSES - 1), max_size=12), max_size=6))
    keys = [torch.tensor(batch, dtype=torch.long) for batch in batches]
    return draw(st.integers(1, 5)), [(torch.randn(len(k), DIM, generator=generator) * 4, k) for k in keys]


def filled(capacity: int, batches: Pushes) -> ClassQueue:
    queue = ClassQueue(CLASSES, capacity, DIM)
    for embeddings, keys in batches:
        queue.push(embeddings, keys)
    return queue


def by_dictionary(capacity: int, batches: Pushes) -> dict[int, deque[list[float]]]:
    lists: dict[int, deque[list[float]]] = defaultdict(lambda: deque(maxlen=capacity))
    for embeddings, keys in batches:
        for row, key in zip(embeddings.double().tolist(), keys.tolist(), strict=True):
            length = math.sqrt(sum(x * x for x in row))
            lists[key].append([x / length for x in row])
    return lists


ALL_KEYS = torch.arange(CLASSES)


@settings(max_examples=150)
@given(pushes())
def test_it_equals_a_dictionary_of_bounded_lists(case: tuple[int, Pushes]) -> None:
    capacity, batches = case
    lists = by_dictionary(capacity, batches)
    queue = filled(capacity, batches)
    negatives, mask = queue.read(ALL_KEYS)
    assert queue.counts.tolist() == [len(lists[key]) for key in range(CLASSES)]
    assert negatives.shape == (CLASSES, capacity, DIM)
    for key in range(CLASSES):
        found, expected = sorted(negatives[key][mask[key]].tolist()), sorted(lists[key])
        assert len(found) == len(expected)
        for row, other in zip(found, expected, strict=True):
            assert row == pytest.approx(other, abs=1e-6)


@settings(max_examples=60)
@given(pushes(), st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=9))
def test_similarities_are_cosines_to_what_is_read(case: tuple[int, Pushes], asked: list[int]) -> None:
    queue, keys = filled(*case), torch.tensor(asked)
    anchors = torch.randn(len(asked), DIM, generator=torch.Generator().manual_seed(2)) * 5
    found, mask = queue.similarities(anchors, keys)
    negatives, read_mask = queue.read(keys)
    assert (mask == read_mask).all()
    assert found.shape == mask.shape == (len(asked), case[0])
    for row, anchor in enumerate(anchors.double()):
        for slot in range(case[0]):
            expected = float(anchor @ negatives[row, slot].double()) / math.sqrt(float(anchor @ anchor))
            assert found[row, slot].item() == pytest.approx(expected, abs=1e-6)


@settings(max_examples=40)
@given(pushes(), st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=9))
def test_both_ways_to_multiply_agree(case: tuple[int, Pushes], asked: list[int]) -> None:
    queue, keys = filled(*case), torch.tensor(asked)
    generator = torch.Generator().manual_seed(3)
    anchors = torch.randn(len(asked), DIM, generator=generator)
    weights = torch.randn(len(asked), case[0], generator=generator)
    gradients, products = [], []
    for product in (queue._product_by_key, queue._product_by_gather):
        leaf = anchors.clone().requires_grad_()
        products.append(product(leaf, keys))
        (products[-1] * weights).sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*products)
    torch.testing.assert_close(*gradients)


@settings(max_examples=40)
@given(pushes(), pushes())
def test_a_checkpoint_carries_on(case: tuple[int, Pushes], later: tuple[int, Pushes]) -> None:
    queue = filled(*case)
    other = ClassQueue(CLASSES, case[0], DIM)
    other.load_state_dict({name: tensor.clone() for name, tensor in queue.state_dict().items()})
    for embeddings, keys in later[1]:
        queue.push(embeddings, keys)
        other.push(embeddings, keys)
    assert set(queue.state_dict()) == {"embeddings", "pointers", "counts"}
    for name, tensor in queue.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_nothing_in_it_has_a_gradient_and_anchors_have() -> None:
    queue = ClassQueue(2, 3, DIM)
    pushed = torch.randn(4, DIM, requires_grad=True)
    queue.push(pushed * 2, torch.tensor([0, 1, 1, 1]))
    assert not list(queue.parameters())
    assert not any(buffer.requires_grad for buffer in queue.buffers())
    assert not queue.read(torch.tensor([0, 1]))[0].requires_grad
    anchors = torch.randn(2, DIM, requires_grad=True)
    queue.similarities(anchors, torch.tensor([1, 0]))[0].sum().backward()
    assert anchors.grad is not None
    assert pushed.grad is None


def test_it_stays_float32_under_autocast() -> None:
    queue = ClassQueue(2, 3, DIM)
    with torch.autocast("cpu", torch.bfloat16):
        queue.push(torch.randn(2, DIM).bfloat16(), torch.tensor([0, 1]))
        found, _ = queue.similarities(torch.randn(2, DIM).bfloat16(), torch.tensor([0, 1]))
    assert queue.embeddings.dtype == found.dtype == torch.float32


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_sizes_below_one_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="sizes of at least 1, not"):
        ClassQueue(*sizes)


def test_an_empty_batch_has_no_similarities() -> None:
    queue = ClassQueue(3, 2, 4)
    similarities, mask = queue.similarities(torch.empty(0, 4), torch.empty(0, dtype=torch.long))
    assert similarities.shape == mask.shape == (0, 2)
