"""Small images take a short way to the network, and arrive there as by the long one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data import loader, pictures
from longcut.data.augmentation import Augmentation, draw
from longcut.data.batches import BiasedSets, EvaluationData, Parts, TrainingData
from longcut.data.image_set import ImageSet
from longcut.data.loader import BatchLoader, Normalisation, fetcher
from longcut.data.order import Order
from longcut.data.resizing import centre_crop
from longcut.data.shifts import cut, draw_shifts
from longcut.data.store import Recipe, Store

SIDE, SAMPLES = 10, 14
EVERYONE = np.arange(SAMPLES)
WHOLE: dict[str, Any] = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "flip": 0.0, "jitter": (0.0, 0.0, 0.0, 0.0)}
KINDS: dict[str, dict[str, Any]] = {
    "whole": {},
    "any aspect": {"ratio": (3 / 4, 4 / 3)},
    "flipped": {"flip": 0.5},
    "moved": {"pad": 3},
    "moved and flipped": {"pad": 2, "flip": 0.4},
}
FULL = Augmentation(8, jitter_probability=0.8, grey=0.2, blur=0.5, solarize=0.2)


def plain(size: int = SIDE, **options: Any) -> Augmentation:
    return Augmentation(size, **(WHOLE | options))


def made_store(height: int = SIDE, width: int = SIDE, *, composites: bool = False) -> Store:
    generator = np.random.default_rng([height, width])
    size = (7 if composites else 3) * height * width
    targets = EVERYONE % 3
    return Store(
        images=ImageSet(Path(), tuple(f"{i}.png" for i in EVERYONE), targets, tuple("abc"), targets % 2),
        recipe=Recipe(max(height, width), composites=composites),
        lends=np.full(SAMPLES, composites),
        peaks=np.full(SAMPLES, 255 * composites, np.uint8),
        digest="",
        shapes=np.full((SAMPLES, 2), (height, width)),
        offsets=EVERYONE * size,
        records=generator.integers(0, 256, SAMPLES * size).astype(np.uint8),
    )


def scattered(store: Store) -> Store:
    """The same records in another order in memory, which are no block."""
    assert store.records is not None
    assert store.offsets is not None
    records = np.asarray(store.records).reshape(SAMPLES, -1)[::-1]
    return replace(store, records=records.ravel(), offsets=store.offsets[::-1].copy())


def pixels(store: Store) -> np.ndarray:
    return np.stack([store[i].image for i in EVERYONE])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("composites", [False, True])
def test_the_short_way_gives_what_the_long_one_does(
    kind: str, composites: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, augmentation = made_store(composites=composites), plain(**KINDS[kind])
    short, long = (TrainingData(s, augmentation, seed=5, parts=Parts(views=2)) for s in (store, scattered(store)))
    assert short._pictures.store.block is not None
    assert long._pictures.store.block is None
    expected = [(long[epoch, EVERYONE], long.partners(EVERYONE[::-1].copy(), epoch)) for epoch in range(4)]

    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("the long way was taken")

    monkeypatch.setattr(pictures.Pictures, "augment", refuse)
    for epoch, (batch, partners) in enumerate(expected):
        found = short[epoch, EVERYONE]
        assert set(found) == set(batch)
        assert all(torch.equal(found[name], batch[name]) for name in batch)
        assert torch.equal(short.partners(EVERYONE[::-1].copy(), epoch), partners)


def test_only_images_of_the_size_that_only_move_take_the_short_way() -> None:
    for augmentation, moves, identity in (
        (plain(), True, True),
        (plain(ratio=(0.5, 1.0)), True, True),
        (plain(jitter=(0.4, 0.4, 0.4, 0.1), jitter_probability=0.0), True, True),
        (plain(flip=0.1), True, False),
        (plain(pad=1), True, False),
        (plain(ratio=(1.1, 2.0)), False, False),
        (plain(scale=(0.9, 1.0)), False, False),
        (plain(jitter=(0.0, 0.0, 0.0, 0.1)), False, False),
        (plain(grey=0.1), False, False),
        (plain(blur=0.1), False, False),
        (plain(solarize=0.1), False, False),
        (plain(randaugment=1), False, False),
    ):
        assert (augmentation.only_moves, augmentation.is_identity) == (moves, identity)
    for store in (made_store(12, 12), made_store(SIDE, 12)):
        data, other = (TrainingData(s, plain(flip=0.5), seed=1) for s in (store, scattered(store)))
        assert torch.equal(data[0, EVERYONE]["images"], other[0, EVERYONE]["images"])


@settings(max_examples=60)
@given(st.integers(1, 300), st.floats(0.2, 1.0), st.floats(1.0, 5.0), st.integers(0, 1000))
def test_a_square_is_always_taken_whole(side: int, low: float, high: float, seed: int) -> None:
    shapes = np.full((20, 2), side)
    augmentation = plain(side, ratio=(low, high))
    crops = draw(augmentation, shapes, seed=seed, epoch=0, indices=np.arange(20), stream=Stream.IMAGE).crops
    assert (crops == [0, 0, side, side]).all()


def test_padding_and_cropping_is_what_numpy_does() -> None:
    store, pad = made_store(), 4
    data = TrainingData(store, plain(pad=pad), seed=3)
    seen = set()
    for epoch in range(40):
        found = data[epoch, EVERYONE]["images"].numpy()
        uniforms = keyed_uniforms(3, epoch, EVERYONE, Stream.SHIFT, 4)[:, 2:]  # after those of Stream.ORDER
        for i in EVERYONE:
            padded = np.pad(store[i].image, ((pad, pad), (pad, pad), (0, 0)))
            top, left = (int(u * (2 * pad + 1)) for u in uniforms[i])
            assert (found[i] == padded[top : top + SIDE, left : left + SIDE]).all()
            seen.add((top, left))
    assert len(seen) == 81


def test_shifts_are_uniform_and_of_each_stream_and_view_its_own() -> None:
    everyone = np.arange(4000)
    keys = [(Stream.IMAGE, 0), (Stream.COMPOSITE, 0), (Stream.VIEW, 0), (Stream.VIEW, 1), (Stream.FETCHED, 0)]
    drawn = [draw_shifts(2, seed=1, epoch=2, indices=everyone, stream=stream, view=view) for stream, view in keys]
    for i, shifts in enumerate(drawn):
        counts = np.bincount(5 * (shifts[:, 0] + 2) + shifts[:, 1] + 2, minlength=25)
        assert ((counts - 160) ** 2 / 160).sum() < 24 + 4 * np.sqrt(48)
        for other in drawn[:i]:
            assert abs((shifts == other).all(axis=1).mean() - 1 / 25) < 4 * np.sqrt(0.04 * 0.96 / 4000)


def test_padding_changes_no_other_draw() -> None:
    shapes = np.full((SAMPLES, 2), SIDE)
    options: dict[str, Any] = {"flip": 0.5, "jitter": (0.4, 0.4, 0.4, 0.1), "blur": 0.5, "randaugment": 1}
    still, moved = (
        draw(plain(**options, pad=pad), shapes, seed=1, epoch=2, indices=EVERYONE, stream=Stream.VIEW, view=1)
        for pad in (0, 3)
    )
    assert (still.crops != moved.crops).any()
    assert (still.crops == [0, 0, SIDE, SIDE]).all()
    for name in ("flips", "colours", "coloured", "sigmas", "solarized", "operations"):
        assert np.array_equal(getattr(still, name), getattr(moved, name))


def test_an_image_of_another_size_moves_as_far_and_is_black_beyond_its_frame() -> None:
    store = made_store(2 * SIDE, 2 * SIDE + 6)
    crops = TrainingData(store, plain(pad=2), seed=3)._pictures.draw(0, EVERYONE, Stream.IMAGE).crops
    shifts = draw_shifts(2, seed=3, epoch=0, indices=EVERYONE, stream=Stream.IMAGE)
    assert (crops == np.concatenate([2 * shifts + [0, 3], np.full((SAMPLES, 2), 2 * SIDE)], axis=1)).all()
    image = store[0].image
    assert (cut(image, -3, 5, 6, 30)[:3] == 0).all()
    assert (cut(image, -3, 5, 6, 30)[3:, :21] == image[:3, 5:]).all()
    assert (cut(image, -3, 5, 6, 30)[:, 21:] == 0).all()
    assert (cut(image, -9, 40, 6, 3) == 0).all()
    assert (cut(image[..., 0], 18, -2, 4, 4) == np.pad(image[18:, :2, 0], ((0, 2), (2, 0)))).all()


def test_composites_are_moved_too() -> None:
    store = made_store(composites=True)
    data = TrainingData(store, plain(pad=3), seed=3, parts=Parts(composites=True))
    shifts = draw_shifts(3, seed=3, epoch=1, indices=EVERYONE, stream=Stream.COMPOSITE)
    found = data[1, EVERYONE]["composites"].numpy()
    for i, (down, right) in enumerate(shifts.tolist()):
        outside = np.ones((SIDE, SIDE), bool)
        outside[max(-down, 0) : SIDE - max(down, 0), max(-right, 0) : SIDE - max(right, 0)] = False
        assert (found[i][outside] == 0).all()
        assert found[i][~outside].any()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"pad": -1}, "pad is a number of pixels of at least 0 and below 10, not -1"),
        ({"pad": 10}, "pad is a number of pixels of at least 0 and below 10, not 10"),
        ({"pad": 2, "scale": (0.5, 1.0)}, r"pad = 2 moves whole images: set scale and ratio to \(1, 1\), or pad to 0"),
        ({"pad": 2, "ratio": (0.75, 1.0)}, "pad = 2 moves whole images"),
    ],
)
def test_paddings_without_sense_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        plain(**options)


@pytest.mark.parametrize(("height", "width"), [(SIDE, SIDE), (SIDE, 13), (21, 21)])
def test_evaluation_shows_the_centre_either_way(height: int, width: int) -> None:
    store, some = made_store(height, width), np.array([5, 2, 2, 13])
    found, expected = EvaluationData(store, SIDE)[some], EvaluationData(scattered(store), SIDE)[some]
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert (found["images"].numpy() == np.stack([centre_crop(store[i].image, SIDE) for i in some])).all()


def test_batches_are_not_the_records_themselves() -> None:
    store = made_store()
    before = pixels(store).copy()
    for data in (TrainingData(store, plain(**options), seed=0) for options in KINDS.values()):
        data[0, EVERYONE]["images"].zero_()
        data.partners(EVERYONE, 0).zero_()
    EvaluationData(store, SIDE)[EVERYONE]["images"].zero_()
    assert (pixels(store) == before).all()


@pytest.mark.parametrize("augmentation", [FULL, plain(pad=3, flip=0.5)])
def test_partners_depend_on_seed_step_and_index_alone(augmentation: Augmentation) -> None:
    data = TrainingData(made_store(), augmentation, seed=3)
    asked = np.array([4, 9, 4, 0, 13])
    found, everyone = data.partners(asked, 7), data.partners(EVERYONE, 7)
    assert found.shape == (5, augmentation.size, augmentation.size, 3)
    assert found.dtype == torch.uint8
    assert torch.equal(found, everyone[asked])
    assert not torch.equal(everyone, data.partners(EVERYONE, 8))
    assert not torch.equal(everyone, TrainingData(made_store(), augmentation, seed=4).partners(EVERYONE, 7))
    assert not torch.equal(everyone, data[7, EVERYONE]["images"])


def test_partners_are_shown_as_the_images_are() -> None:
    store = made_store(composites=True)
    grey = TrainingData(store, plain(), seed=0, images="only_fg")
    assert torch.equal(grey.partners(EVERYONE, 3), grey[3, EVERYONE]["images"])
    mixed = TrainingData(store, plain(), seed=0, images="mixed_rand", parts=Parts(views=1))
    batch, partners = mixed[3, EVERYONE], mixed.partners(EVERYONE, 3)
    for other in (batch["images"], batch["views"][:, 0]):
        assert not torch.equal(partners, other)


def test_fetched_images_are_normalised_partners() -> None:
    data, normalisation = TrainingData(made_store(), FULL, seed=3), Normalisation((0.1, 0.5, 0.9), (0.2, 0.3, 0.4))
    found = fetcher(data, normalisation)(torch.tensor([3, 1, 3]), 5)
    assert torch.equal(found, normalisation(data.partners(np.array([3, 1, 3]), 5)))
    assert found.shape == (3, 3, 8, 8)


def test_batches_tell_the_biased_sets() -> None:
    sets = BiasedSets(EVERYONE % 4 == 0, EVERYONE % 5 == 0)
    data = TrainingData(made_store(), plain(), seed=0, sets=sets)
    keys = list(Order(SAMPLES, 4, 0).keys(0, 6))
    for batch in BatchLoader(data, keys, normalisation=Normalisation()):
        batch.require(("amplified", "candidates", "bias"), "it")
        assert batch.amplified.dtype == batch.candidates.dtype == torch.bool
        assert batch.amplified.tolist() == (batch.indices % 4 == 0).tolist()
        assert batch.candidates.tolist() == (batch.indices % 5 == 0).tolist()
    assert {"amplified", "candidates"}.isdisjoint(TrainingData(made_store(), plain(), seed=0)[0, EVERYONE])
    with pytest.raises(ValueError, match="sets of 14 and 13 samples do not fit 14 images"):
        TrainingData(made_store(), plain(), seed=0, sets=BiasedSets(sets.amplified, sets.candidates[1:]))


def test_without_workers_torch_s_loader_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    data = TrainingData(made_store(), plain(pad=2, flip=0.5), seed=3)
    keys = list(Order(SAMPLES, 4, 3).keys(0, 5))
    helped = list(BatchLoader(data, keys, normalisation=Normalisation(), workers=1))
    monkeypatch.setattr(loader, "DataLoader", None)
    before = torch.get_rng_state()
    batches = BatchLoader(data, iter(keys), normalisation=Normalisation())
    alone = list(batches)
    assert list(batches) == []
    assert torch.equal(before, torch.get_rng_state())
    assert len(alone) == len(helped) == 5
    for first, second, (_, indices) in zip(alone, helped, keys, strict=True):
        assert first.indices.tolist() == indices.tolist()
        assert first.images.stride() == second.images.stride()
        assert all(torch.equal(getattr(first, name), getattr(second, name)) for name in ("images", "targets", "bias"))


@pytest.mark.parametrize("side", [1, 3, 28, 32, 73, 74, 96, 224])
def test_many_images_are_normalised_as_each_of_them(side: int) -> None:
    normalisation = Normalisation()
    images = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (70 if side < 90 else 3, side, side, 3), np.uint8)
    )
    found = normalisation(images)
    scale, shift = (
        1 / (torch.tensor(normalisation.std) * 255),
        -torch.tensor(normalisation.mean) / torch.tensor(normalisation.std),
    )
    row = scale.repeat(side), shift.repeat(side)
    for image, result in zip(images, found, strict=True):
        expected = torch.addcmul(row[1], image.flatten(1).float(), row[0])
        assert torch.equal(result.permute(1, 2, 0).flatten(1), expected)
    assert found.is_contiguous(memory_format=torch.channels_last)
    grown = torch.stack([images, images], dim=1).flatten(0, 1)
    assert torch.equal(normalisation(grown)[::2], found)
