"""Batches are decided by their keys: not by workers, order, processes or what ran before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longcut.data.augmentation import Augmentation
from longcut.data.batches import EvaluationData, Parts, TrainingData
from longcut.data.image_set import ImageSet
from longcut.data.loader import BatchLoader, Normalisation
from longcut.data.order import Order, evaluation_keys
from longcut.data.store import Recipe, Store

SIDE, SAMPLES = 12, 10
WHOLE = Augmentation(SIDE, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter=(0.0, 0.0, 0.0, 0.0))
FULL = Augmentation(8)
COMPOSITES = Parts(composites=True)


def made_store(*, lends: list[bool] | None = None, bias: bool = False) -> Store:
    """Foreground of sample i: 100 + i inside the mask; its background: 10 * i, everywhere."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[3:8, 2:9] = 255
    records = []
    for i in range(SAMPLES):
        image = np.full((SIDE, SIDE, 3), 10 * i, np.uint8)
        image[mask > 0] = 100 + i
        image[0, 0] = 255
        records += [image.ravel(), mask.ravel(), np.full(3 * SIDE * SIDE, 10 * i, np.uint8)]
    targets = np.arange(SAMPLES) % 3
    return Store(
        images=ImageSet(
            Path(), tuple(f"{i}.png" for i in range(SAMPLES)), targets, ("a", "b", "c"), targets % 2 if bias else None
        ),
        recipe=Recipe(SIDE, composites=True),
        lends=np.array(lends or [True] * SAMPLES),
        peaks=np.full(SAMPLES, 255, np.uint8),
        digest="",
        shapes=np.full((SAMPLES, 2), SIDE),
        offsets=np.arange(SAMPLES) * 7 * SIDE * SIDE,
        records=np.concatenate(records),
    )


def on() -> np.ndarray:
    store = made_store()
    mask = store[0].mask
    assert mask is not None
    return mask > 0


sizes = st.tuples(st.integers(1, 40), st.integers(1, 50), st.integers(0, 5))


@settings(max_examples=60)
@given(sizes)
def test_every_epoch_is_a_permutation(size: tuple[int, int, int]) -> None:
    order = Order(*size)
    epochs: dict[int, list[int]] = {}
    for step, (epoch, indices) in enumerate(order.keys(0, 3 * order.steps_per_epoch)):
        assert epoch == step // order.steps_per_epoch
        assert len(indices) == order.images_per_step
        epochs.setdefault(epoch, []).extend(indices.tolist())
    for seen in epochs.values():
        assert len(set(seen)) == len(seen) == order.steps_per_epoch * order.images_per_step
        assert set(seen) <= set(range(order.num_samples))
        assert len(seen) + order.batch_size > order.num_samples


@settings(max_examples=40)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 5), st.integers(0, 9))
def test_slices_put_together_are_the_batch_of_one_process(
    accumulate: int, world_size: int, each: int, seed: int, start: int
) -> None:
    batch_size = accumulate * world_size * each
    alone = list(Order(30, batch_size, seed).keys(start, start + 4))
    ranks = [
        list(Order(30, batch_size, seed, accumulate, r, world_size).keys(start, start + 4)) for r in range(world_size)
    ]
    parts = [(epoch, indices) for slices in zip(*ranks, strict=True) for epoch, indices in slices]
    together = np.concatenate([indices for _, indices in parts]).reshape(4, batch_size)
    assert (together == np.stack([indices for _, indices in alone])).all()
    per_step = accumulate * world_size
    assert [epoch for epoch, _ in parts] == [epoch for epoch, _ in alone for _ in range(per_step)]


@settings(max_examples=40)
@given(sizes, st.integers(0, 30))
def test_any_step_can_be_resumed_at(size: tuple[int, int, int], start: int) -> None:
    order = Order(*size)
    unbroken = list(order.keys(0, start + 5))[start:]
    for (epoch, indices), (other_epoch, other) in zip(order.keys(start, start + 5), unbroken, strict=True):
        assert epoch == other_epoch
        assert (indices == other).all()


def test_seeds_and_epochs_shuffle_anew() -> None:
    first, second = (indices for _, indices in Order(50, 50, 0).keys(0, 2))
    (_, other), *_ = Order(50, 50, 1).keys(0, 1)
    assert (first != second).any()
    assert (first != other).any()
    assert (first != np.arange(50)).any()


def test_a_set_smaller_than_a_batch_is_a_batch() -> None:
    order = Order(5, 64, 0)
    assert (order.images_per_step, order.steps_per_epoch) == (5, 1)
    assert [sorted(indices.tolist()) for _, indices in order.keys(0, 2)] == [list(range(5))] * 2


@pytest.mark.parametrize(("samples", "batch", "accumulate", "world"), [(100, 10, 3, 1), (100, 10, 2, 2), (7, 8, 2, 1)])
def test_slices_of_unequal_size_are_refused(samples: int, batch: int, accumulate: int, world: int) -> None:
    with pytest.raises(ValueError, match=f"a batch of {min(batch, samples)} images cannot be cut .*batch_size"):
        Order(samples, batch, 0, accumulate, 0, world)


@settings(max_examples=30)
@given(st.integers(0, 5), st.permutations(range(SAMPLES)), st.integers(1, SAMPLES))
def test_a_sample_is_the_same_in_any_batch(epoch: int, order: list[int], count: int) -> None:
    data = TrainingData(made_store(), FULL, seed=3, parts=COMPOSITES)
    whole, part = data[epoch, np.arange(SAMPLES)], data[epoch, np.array(order[:count])]
    for name, tensor in part.items():
        assert torch.equal(tensor, whole[name][order[:count]])


def test_workers_change_nothing_and_no_global_draw_is_made() -> None:
    data = TrainingData(made_store(bias=True), FULL, seed=3, parts=COMPOSITES)
    keys = list(Order(SAMPLES, 4, 3).keys(0, 5))
    before = torch.get_rng_state()
    alone, helped = (list(BatchLoader(data, keys, normalisation=Normalisation(), workers=n)) for n in (0, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert len(alone) == len(helped) == 5
    for first, second, (_, indices) in zip(alone, helped, keys, strict=True):
        assert first.indices.tolist() == indices.tolist()
        for name in ("images", "targets", "indices", "bias", "composites", "background_targets"):
            assert torch.equal(getattr(first, name), getattr(second, name))


def test_epochs_and_seeds_and_streams_differ() -> None:
    store, everyone = made_store(), np.arange(SAMPLES)
    first = TrainingData(store, FULL, seed=3, parts=COMPOSITES)
    batch = first[0, everyone]
    assert not torch.equal(batch["images"], first[1, everyone]["images"])
    assert not torch.equal(batch["images"], TrainingData(store, FULL, seed=4)[0, everyone]["images"])
    plain = TrainingData(store, FULL, seed=3)[0, everyone]
    assert torch.equal(batch["images"], plain["images"])
    assert set(plain) == {"images", "targets", "indices"}


@pytest.mark.parametrize("balance", ["images", "classes"])
def test_composites_show_a_background_of_another_class(balance: str) -> None:
    data = TrainingData(made_store(), WHOLE, seed=0, parts=COMPOSITES, balance=balance)
    lenders = set()
    for epoch in range(20):
        batch = data[epoch, np.arange(SAMPLES)]
        assert (batch["background_targets"] != batch["targets"]).all()
        for i, composite in enumerate(batch["composites"].numpy()):
            lender = int(composite[0, 0, 0]) // 10
            lenders.add(lender)
            assert (composite[~on()] == 10 * lender).all()
            assert (composite[on()] == 100 + i).all()
            assert batch["background_targets"][i] == lender % 3
            assert (batch["images"][i].numpy() == made_store()[i].image).all()
    assert lenders == set(range(SAMPLES))


def test_only_lenders_lend() -> None:
    store = made_store(lends=[i in (1, 2, 6) for i in range(SAMPLES)])
    for images in ("original", "mixed_rand"):
        data = TrainingData(store, WHOLE, seed=0, parts=Parts(composites=images == "original"), images=images)
        name = "composites" if images == "original" else "images"
        shown = {int(x) // 10 for epoch in range(10) for x in data[epoch, np.arange(SAMPLES)][name][:, 0, 0, 0]}
        assert shown == {1, 2, 6}


def test_mixed_rand_puts_every_foreground_on_any_background() -> None:
    data = TrainingData(made_store(), WHOLE, seed=0, images="mixed_rand")
    own = 0
    for epoch in range(100):
        batch = data[epoch, np.arange(SAMPLES)]
        assert set(batch) == {"images", "targets", "indices"}
        for i, image in enumerate(batch["images"].numpy()):
            lender = int(image[0, 0, 0]) // 10
            own += lender % 3 == i % 3
            assert (image[~on()] == 10 * lender).all()
            assert (image[on()] == 100 + i).all()
    expected = sum((4, 3, 3)[i % 3] / SAMPLES for i in range(SAMPLES)) * 100
    assert abs(own - expected) < 4 * np.sqrt(1000 * 0.34 * 0.66)


def test_batches_are_normalised_channel_by_channel() -> None:
    normalisation = Normalisation((0.1, 0.5, 0.9), (0.2, 0.3, 0.4))
    data = TrainingData(made_store(bias=True), WHOLE, seed=0, parts=COMPOSITES)
    key = (0, np.array([4, 1, 7]))
    (batch,) = BatchLoader(data, [key], normalisation=normalisation)
    raw = data[key]
    assert batch.targets.tolist() == [1, 1, 1]
    assert batch.indices.tolist() == [4, 1, 7]
    assert batch.bias is not None
    assert batch.bias.tolist() == [1, 1, 1]
    for name in ("images", "composites"):
        found = getattr(batch, name)
        assert found.shape == (3, 3, SIDE, SIDE)
        assert found.dtype == torch.float32
        for n, c, y, x in ((0, 0, 0, 0), (1, 1, 4, 5), (2, 2, 11, 3), (0, 2, 7, 8)):
            expected = (raw[name][n, y, x, c].item() / 255 - normalisation.mean[c]) / normalisation.std[c]
            assert found[n, c, y, x].item() == pytest.approx(expected, abs=1e-5)


def test_evaluation_shows_every_image_once_and_unchanged() -> None:
    store = made_store(bias=True)
    keys = evaluation_keys(SAMPLES, 4)
    assert [key.tolist() for key in keys] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    identity = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    batches = list(BatchLoader(EvaluationData(store, SIDE), keys, normalisation=identity))
    assert torch.cat([b.indices for b in batches]).tolist() == list(range(SAMPLES))
    assert torch.cat([b.targets for b in batches]).tolist() == store.images.targets.tolist()
    images = (torch.cat([b.images for b in batches]) * 255).round().permute(0, 2, 3, 1).numpy()
    assert all((image == store[i].image).all() for i, image in enumerate(images))
    assert EvaluationData(store, 5)[np.array([0])]["images"].shape == (1, 5, 5, 3)


def test_composites_need_two_classes_among_the_lenders() -> None:
    with pytest.raises(ValueError, match="at least two classes"):
        TrainingData(made_store(lends=[i % 3 == 0 for i in range(SAMPLES)]), FULL, seed=0, parts=COMPOSITES)
    store = made_store()
    one_class = replace(store, images=replace(store.images, targets=np.zeros(SAMPLES, np.int64)))
    with pytest.raises(ValueError, match="at least two classes"):
        TrainingData(one_class, FULL, seed=0, parts=COMPOSITES, composites_from="amplitude")
