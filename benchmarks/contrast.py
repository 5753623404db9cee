"""Contrastive terms: with a queue for each class, against numpy arrays read slot by slot; with a bank that the batch
shares, against lightly's loss.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from benchmarks.timing import Row, alternate, one_thread
from longcut.losses import bank_mass, contrast, contrast_with, cosine
from longcut.queues import ClassQueue, FeatureQueue

BATCH, DIM, TEMPERATURE = 64, 2048, 0.2
CASES = ((32, 9, 6.0, 15), (256, 1000, 50.0, 5))
"""Negatives, classes, the bar and how many pairs are timed."""
SHARED_BATCH, SHARED_DIM = 256, 128
SHARED_CASES = ((65536, 1.15, 9), (4096, 1.0, 25))
"""Capacity of the bank, the bar and how many pairs are timed."""


def rows() -> Iterator[Row]:
    """Dictionary update, loss and backward; both ways must give the same numbers before they are timed."""
    with one_thread():
        for negatives, classes, bar, repeats in CASES:
            yield _row(negatives, classes, bar, repeats)
        for capacity, bar, repeats in SHARED_CASES:
            yield _shared_row(capacity, bar, repeats)


def _row(negatives: int, classes: int, bar: float, repeats: int) -> Row:
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(negatives, DIM, generator=generator)
    queue = ClassQueue(classes, negatives, DIM)
    for key in range(classes):
        queue.push(start, torch.full((negatives,), key))
    arrays = dict.fromkeys(range(classes), start.numpy())
    batches = [_batch(classes, generator) for _ in range(repeats + 3)]

    for batch in batches[:2]:
        _check_equal(_with_queue(queue, *batch), _slot_by_slot(arrays, *batch))
    ours, other = alternate(
        lambda repeat: _with_queue(queue, *batches[repeat + 2]),
        lambda repeat: _slot_by_slot(arrays, *batches[repeat + 2]),
        repeats=repeats,
    )
    return Row(f"contrastive term, N={negatives}, {classes} classes, against numpy loops", ours, other, bar)


def _batch(classes: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Anchors, positives, and the classes of the anchors and of the positives' backgrounds."""
    anchors, positives = torch.rand(2, BATCH, DIM, generator=generator)
    targets, backgrounds = torch.randint(classes, (2, BATCH), generator=generator)
    return anchors.requires_grad_(), positives.requires_grad_(), targets, backgrounds


def _with_queue(
    queue: ClassQueue, anchors: Tensor, positives: Tensor, targets: Tensor, backgrounds: Tensor
) -> tuple[Tensor, ...]:
    """Loss and its gradients for the anchors and the positives."""
    queue.push(positives, backgrounds)
    similarities, mask = queue.similarities(anchors, targets)
    loss = contrast(cosine(anchors, positives), similarities, mask, temperature=TEMPERATURE).mean()
    return loss.detach(), *torch.autograd.grad(loss, (anchors, positives))


def _slot_by_slot(
    arrays: dict[int, NDArray[np.float32]], anchors: Tensor, positives: Tensor, targets: Tensor, backgrounds: Tensor
) -> tuple[Tensor, ...]:
    """As the published code does it: arrays on the host, and for each slot a batch of negatives filled class by class.

    There too the labels are the loader's tensor, and each filled array is copied into a new tensor.
    """
    latents, keys = positives.detach().cpu().numpy(), backgrounds.cpu().numpy()
    capacity = len(arrays[0])
    for key in np.unique(keys):
        arrays[key] = np.concatenate([arrays[key], latents[keys == key]])[-capacity:]
    positive = (functional.cosine_similarity(anchors, positives) / TEMPERATURE).exp()
    total = positive
    for slot in range(capacity):
        gathered = np.zeros((BATCH, DIM))
        for key in range(len(arrays)):
            gathered[np.where(targets == key)] = arrays[key][slot]
        negative = torch.tensor(gathered).float().to(anchors.device)
        total = total + (functional.cosine_similarity(anchors, negative) / TEMPERATURE).exp()
    loss = -(positive / total).log().mean()
    return loss.detach(), *torch.autograd.grad(loss, (anchors, positives))


def _check_equal(ours: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> None:
    torch.testing.assert_close(ours[0], other[0], rtol=1e-5, atol=1e-5)
    for gradient, expected in zip(ours[1:], other[1:], strict=True):
        scale = expected.abs().max()
        torch.testing.assert_close(gradient / scale, expected / scale, rtol=0, atol=1e-4)


def _shared_row(capacity: int, bar: float, repeats: int) -> Row:
    what = f"contrastive term with a shared bank of {capacity}, against lightly"
    try:
        from lightly.loss import NTXentLoss
    except ImportError:
        return Row(what, skipped="lightly is not installed")
    queue = FeatureQueue(capacity, SHARED_DIM)
    other = NTXentLoss(temperature=TEMPERATURE, memory_bank_size=(capacity, SHARED_DIM))
    other.memory_bank.bank.copy_(queue.embeddings.view_as(other.memory_bank.bank))
    generator = torch.Generator().manual_seed(0)
    queries, keys = torch.randn(2, SHARED_BATCH, SHARED_DIM, generator=generator)
    queries.requires_grad_()

    def ours(_: int) -> tuple[Tensor, ...]:
        mass = bank_mass(queries, queue.embeddings, temperature=TEMPERATURE)
        loss = contrast_with(cosine(queries, keys), mass, temperature=TEMPERATURE).mean()
        queue.push(keys)
        return loss.detach(), *torch.autograd.grad(loss, queries)

    def lightly(_: int) -> tuple[Tensor, ...]:
        loss = other(queries, keys)
        return loss.detach(), *torch.autograd.grad(loss, queries)

    for _ in range(3):
        _check_equal(ours(0), lightly(0))
    return Row(what, *alternate(ours, lightly, repeats=repeats), bar)
