"""What a batch holds beside its images: further views, non-semantic negatives, composites of several kinds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.augmentation import Augmentation, draw, finish
from longcut.data.batches import Images, Parts, Patches, TrainingData
from longcut.data.crops import crop, scale_crops
from longcut.data.image_set import ImageSet
from longcut.data.loader import BatchLoader, Normalisation
from longcut.data.order import Order
from longcut.data.pictures import MEAN_GREY
from longcut.data.resizing import centre_crop
from longcut.data.store import Recipe, Store
from longcut.data.stylized import Stylized
from longcut.negatives import mix_amplitude
from longcut.negatives.patches import num_patch_uniforms, tile_patches

SIDE, SAMPLES = 16, 10
EVERYONE = np.arange(SAMPLES)
PLAIN = Augmentation(SIDE, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter=(0.0, 0.0, 0.0, 0.0))
FULL = Augmentation(8, jitter_probability=0.8, grey=0.2, blur=0.5, solarize=0.2, scale=(0.3, 1.0), randaugment=2)
EVERY_KIND = [
    Parts(views=2),
    Parts(views=1, non_semantic="patch", num_non_semantic=3),
    Parts(views=1, non_semantic="texture"),
    Parts(non_semantic="background", num_non_semantic=2),
    Parts(composites=True, views=1),
]


def store_of(arrays: list[list[np.ndarray]], *, composites: bool, lends: list[bool] | None = None) -> Store:
    """Records in memory; the class of sample i is i modulo 3."""
    parts = [np.concatenate([part.ravel() for part in record]) for record in arrays]
    sizes = np.array([len(part) for part in parts])
    return Store(
        images=ImageSet(
            Path(), tuple(f"{i}.png" for i in range(len(arrays))), EVERYONE[: len(arrays)] % 3, tuple("abc")
        ),
        recipe=Recipe(SIDE, composites=composites),
        lends=np.array(lends or [composites] * len(arrays)),
        peaks=np.full(len(arrays), 255 * composites, np.uint8),
        digest="",
        shapes=np.array([record[0].shape[:2] for record in arrays]),
        offsets=np.cumsum(sizes) - sizes,
        records=np.concatenate(parts),
    )


def mask() -> np.ndarray:
    found = np.zeros((SIDE, SIDE), np.uint8)
    found[4:10, 3:12] = 255
    return found


ON = mask() > 0


def flat_store(lends: list[bool] | None = None) -> Store:
    """Sample i: 100 + i where the mask is on, and 10 * i around it."""
    records = []
    for i in range(SAMPLES):
        image = np.full((SIDE, SIDE, 3), 10 * i, np.uint8)
        image[ON] = 100 + i
        records.append([image, mask(), np.full((SIDE, SIDE, 3), 10 * i, np.uint8)])
    return store_of(records, composites=True, lends=lends)


def noise_store(*, composites: bool = True, seed: int = 0, shapes: tuple[tuple[int, int], ...] = ((18, 24),)) -> Store:
    records = []
    for i in range(SAMPLES):
        height, width = shapes[i % len(shapes)]
        generator = np.random.default_rng([seed, i])
        image, background = generator.integers(0, 256, (2, height, width, 3)).astype(np.uint8)
        shown = np.where(generator.random((height, width)) < 0.4, 255, 0).astype(np.uint8)
        records.append([image, shown, background] if composites else [image])
    return store_of(records, composites=composites)


def made_data(
    parts: Parts, *, seed: int = 3, images: Images = "original", patches: Patches | None = None
) -> TrainingData:
    textures = noise_store(composites=False, seed=7, shapes=((20, 20), (12, 30)))
    return TrainingData(
        noise_store(), FULL, seed=seed, parts=parts, images=images, textures=textures, patches=patches or Patches()
    )


@pytest.mark.parametrize("parts", EVERY_KIND)
@pytest.mark.parametrize("images", ["original", "mixed_rand", "only_fg"])
def test_the_query_does_not_depend_on_what_goes_with_it(parts: Parts, images: Images) -> None:
    alone, together = made_data(Parts(), images=images)[2, EVERYONE], made_data(parts, images=images)[2, EVERYONE]
    assert set(alone) == {"images", "targets", "indices"}
    assert all(torch.equal(alone[name], together[name]) for name in alone)
    expected = {"views": parts.views, "non_semantic": parts.num_non_semantic * (parts.non_semantic is not None)}
    for name, count in expected.items():
        assert (name in together) == bool(count)
        if count:
            assert together[name].shape == (SAMPLES, count, 8, 8, 3)
            assert together[name].dtype == torch.uint8


@settings(max_examples=15)
@given(
    st.sampled_from(EVERY_KIND),
    st.sampled_from(["original", "mixed_rand", "only_fg"]),
    st.permutations(range(SAMPLES)),
    st.integers(1, SAMPLES),
)
def test_a_sample_is_the_same_in_any_batch(parts: Parts, images: Images, order: list[int], count: int) -> None:
    data = made_data(parts, images=images)
    whole, some = data[5, EVERYONE], data[5, np.array(order[:count])]
    assert set(whole) == set(some)
    for name, tensor in some.items():
        assert torch.equal(tensor, whole[name][order[:count]])


def test_workers_change_nothing() -> None:
    parts = Parts(views=2, non_semantic="patch", num_non_semantic=2, composites=True)
    keys = list(Order(SAMPLES, 4, 3).keys(0, 3))
    alone, helped = (
        list(BatchLoader(made_data(parts), keys, normalisation=Normalisation(), workers=n)) for n in (0, 1)
    )
    for first, second in zip(alone, helped, strict=True):
        for name in ("images", "views", "non_semantic", "composites"):
            assert torch.equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize("parts", EVERY_KIND)
def test_epochs_seeds_and_places_draw_anew(parts: Parts) -> None:
    first = made_data(parts)[0, EVERYONE]
    for other in (made_data(parts)[1, EVERYONE], made_data(parts, seed=4)[0, EVERYONE]):
        for name in {"views", "non_semantic", "composites"} & set(first):
            assert not torch.equal(first[name], other[name])
    for name in {"views", "non_semantic"} & set(first):
        if first[name].shape[1] > 1:
            assert not torch.equal(first[name][:, 0], first[name][:, 1])
    if "views" in first:
        assert not torch.equal(first["views"][:, 0], first["images"])


def test_views_are_drawn_as_the_images_are() -> None:
    store = noise_store()
    views = TrainingData(store, FULL, seed=3, parts=Parts(views=2))[4, EVERYONE]["views"].numpy()
    for view in range(2):
        draws = draw(FULL, store.shapes, seed=3, epoch=4, indices=EVERYONE, stream=Stream.VIEW, view=view)
        for i in EVERYONE:
            out = np.empty((8, 8, 3), np.uint8)
            draws.finish(i, crop(store[i].image, draws.crops[i]), out)
            assert (views[i, view] == out).all()


def test_every_view_draws_a_background_of_its_own() -> None:
    data = TrainingData(flat_store(), PLAIN, seed=0, images="mixed_rand", parts=Parts(views=2))
    same = 0
    for epoch in range(30):
        batch = data[epoch, EVERYONE]
        views = torch.cat([batch["images"][:, None], batch["views"]], dim=1).numpy()
        lenders = views[:, :, 0, 0, 0] // 10
        assert set(np.unique(lenders)) <= set(range(SAMPLES))
        same += int((lenders[:, 0] == lenders[:, 1]).sum() + (lenders[:, 1] == lenders[:, 2]).sum())
        for i in EVERYONE:
            for view in range(3):
                assert (views[i, view][ON] == 100 + i).all()
                assert (views[i, view][~ON] == 10 * lenders[i, view]).all()
    assert abs(same - 60) < 4 * np.sqrt(600 * 0.1 * 0.9)


def test_only_fg_is_the_foreground_on_mean_grey() -> None:
    batch = TrainingData(flat_store(), PLAIN, seed=0, images="only_fg", parts=Parts(views=1))[0, EVERYONE]
    for shown in (batch["images"].numpy(), batch["views"][:, 0].numpy()):
        assert (shown[:, ~ON] == MEAN_GREY).all()
        assert (shown[:, ON] == 100 + EVERYONE[:, None, None]).all()
    assert round(255 * (0.299 * 0.485 + 0.587 * 0.456 + 0.114 * 0.406)) == MEAN_GREY


@pytest.mark.parametrize("source", ["query", "image"])
@pytest.mark.parametrize(("overlap", "per_sample"), [(True, True), (False, True), (True, False)])
def test_patches_of_the_query_or_of_the_image(source: str, overlap: bool, per_sample: bool) -> None:
    patches = Patches(size_range=(60, 120), source=source, overlap=overlap, per_sample=per_sample)
    data = made_data(Parts(non_semantic="patch", num_non_semantic=2), patches=patches)
    batch = data[1, EVERYONE]
    whole = np.stack([centre_crop(noise_store()[i].image, 8) for i in EVERYONE])
    shown = batch["images"] if source == "query" else torch.from_numpy(whole)
    count = num_patch_uniforms(8, 8, 2)
    uniforms = keyed_uniforms(3, 1, EVERYONE, Stream.NON_SEMANTIC, 2 * count).reshape(SAMPLES, 2, count)
    if not per_sample:
        uniforms[:, :, 0] = uniforms[0, :, 0]
    for number in range(2):
        expected = tile_patches(
            shown.permute(0, 3, 1, 2),
            torch.from_numpy(uniforms[:, number].copy()),
            (2, 4),
            overlap=overlap,
        )
        assert torch.equal(batch["non_semantic"][:, number], expected.permute(0, 2, 3, 1))


@pytest.mark.parametrize("per_sample", [True, False])
def test_patches_do_not_depend_on_how_a_set_is_cut(per_sample: bool) -> None:
    patches = Patches(size_range=(28, 140), per_sample=per_sample)
    data = made_data(Parts(non_semantic="patch", num_non_semantic=2), patches=patches)
    whole = data[1, EVERYONE]["non_semantic"]
    for part in (EVERYONE[::-1].copy(), EVERYONE[3:5], EVERYONE[-1:]):
        assert torch.equal(data[1, part]["non_semantic"], whole[torch.from_numpy(part)])


def test_sides_as_they_are_given() -> None:
    patches = Patches(size_range=(8, 8), scale_sizes=False)
    batch = made_data(Parts(non_semantic="patch"), patches=patches)[0, EVERYONE]
    assert torch.equal(batch["non_semantic"][:, 0], batch["images"])
    with pytest.raises(ValueError, match="patches of 9 x 9 do not fit images of 8 x 8"):
        made_data(Parts(non_semantic="patch"), patches=Patches(size_range=(9, 9), scale_sizes=False))


def test_a_texture_is_augmented_with_the_query_s_draws() -> None:
    store, textures = noise_store(), noise_store(composites=False, seed=7, shapes=((20, 20), (12, 30)))
    batch = made_data(Parts(non_semantic="texture"))[1, EVERYONE]
    draws = draw(FULL, store.shapes, seed=3, epoch=1, indices=EVERYONE, stream=Stream.IMAGE)
    boxes = scale_crops(draws.crops, store.shapes, textures.shapes)
    for i in EVERYONE:
        out = np.empty((8, 8, 3), np.uint8)
        draws.finish(i, crop(textures[i].image, boxes[i]), out)
        assert (batch["non_semantic"][i, 0].numpy() == out).all()


def test_a_texture_that_is_the_image_gives_the_query() -> None:
    store = noise_store()
    data = TrainingData(store, FULL, seed=3, parts=Parts(non_semantic="texture"), textures=store)
    batch = data[0, EVERYONE]
    assert torch.equal(batch["non_semantic"][:, 0], batch["images"])


@settings(max_examples=60)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.data())
def test_boxes_keep_their_share_of_the_frame(h: int, w: int, other_h: int, other_w: int, data: st.DataObject) -> None:
    top, left = data.draw(st.integers(0, h - 1)), data.draw(st.integers(0, w - 1))
    tall, wide = data.draw(st.integers(1, h - top)), data.draw(st.integers(1, w - left))
    boxes, shapes, others = np.array([[top, left, tall, wide]]), np.array([[h, w]]), np.array([[other_h, other_w]])
    (found,) = scale_crops(boxes, shapes, others)
    for first, length, side, other, new_first, new_length in (
        (top, tall, h, other_h, found[0], found[2]),
        (left, wide, w, other_w, found[1], found[3]),
    ):
        assert 0 <= new_first < other
        assert 1 <= new_length <= other - new_first
        assert abs(new_first / other - first / side) <= 1 / other
        assert abs((new_first + new_length) / other - (first + length) / side) <= 1.5 / other
    assert (scale_crops(boxes, shapes, shapes) == boxes).all()


@pytest.mark.parametrize("images", ["original", "mixed_rand", "only_fg"])
def test_other_foregrounds_on_the_query_s_background(images: Images) -> None:
    data = TrainingData(
        flat_store(), PLAIN, seed=0, images=images, parts=Parts(non_semantic="background", num_non_semantic=2)
    )
    counts = np.zeros((SAMPLES, SAMPLES), int)
    for epoch in range(60):
        batch = data[epoch, EVERYONE]
        query, found = batch["images"].numpy(), batch["non_semantic"].numpy()
        for i in EVERYONE:
            for number in range(2):
                assert (found[i, number][~ON] == query[i][0, 0, 0]).all()
                (shown,) = np.unique(found[i, number][ON])
                counts[i, shown - 100] += 1
    assert (np.diag(counts) == 0).all()
    others = counts[~np.eye(SAMPLES, dtype=bool)]
    assert ((others - 120 / 9) ** 2 / (120 / 9)).sum() < 80 + 4 * np.sqrt(2 * 80)


def test_negatives_of_one_query_are_augmented_by_draws_of_their_own() -> None:
    sample = noise_store()[0]
    store = store_of([list(sample)] * SAMPLES, composites=True)
    data = TrainingData(store, FULL, seed=0, parts=Parts(non_semantic="background", num_non_semantic=2))
    found = data[0, EVERYONE]["non_semantic"]
    assert (found[:, 0] != found[:, 1]).flatten(1).any(1).all()


def test_a_background_that_cannot_be_lent_is_replaced() -> None:
    lends = [i in (1, 2, 6) for i in range(SAMPLES)]
    data = TrainingData(flat_store(lends), PLAIN, seed=0, parts=Parts(non_semantic="background"))
    shown = np.stack([data[epoch, EVERYONE]["non_semantic"][:, 0, 0, 0, 0].numpy() // 10 for epoch in range(20)])
    for i in EVERYONE:
        assert set(shown[:, i]) == ({i} if lends[i] else {1, 2, 6})


def test_amplitudes_of_another_class_need_no_masks() -> None:
    store = noise_store(composites=False)
    data = TrainingData(store, PLAIN, seed=0, parts=Parts(composites=True), composites_from="amplitude")
    seen = set()
    for epoch in range(8):
        batch = data[epoch, EVERYONE]
        assert (batch["background_targets"] != batch["targets"]).all()
        for i in EVERYONE:
            image = store[i].image
            candidates = {k: mix_amplitude(image, store[k].image) for k in EVERYONE if k % 3 != i % 3}
            crops = draw(PLAIN, store.shapes, seed=0, epoch=epoch, indices=EVERYONE, stream=Stream.COMPOSITE).crops
            pictures = {k: finish(crop(c, crops[i]), SIDE, False, None) for k, c in candidates.items()}
            found = [k for k, p in pictures.items() if (p == batch["composites"][i].numpy()).all()]
            assert len(found) == 1
            assert batch["background_targets"][i] == found[0] % 3
            seen.add((i, found[0]))
    assert len(seen) > 35


def test_stylized_images_of_the_same_shape() -> None:
    contents = np.array([3, 0, 0, 1, 2, 2, 2, 3])
    textures = np.array([1, 2, 1, 0, 1, 0, 1, 2])
    halves = np.where(np.arange(24) < 12, 0, 10)[None, :, None]
    records = [[np.tile(20 * k + halves, (24, 1, 3)).astype(np.uint8)] for k in range(8)]
    store = noise_store(composites=False)
    store = replace(store, images=store.images.select(np.arange(4)), shapes=store.shapes[:4])
    stylized = Stylized.group(store_of(records, composites=False), contents, textures, store.images.paths)
    data = TrainingData(
        store, PLAIN, seed=0, parts=Parts(composites=True), composites_from="stylized", stylized=stylized
    )
    seen: dict[int, list[int]] = {i: [] for i in range(4)}
    for epoch in range(150):
        batch = data[epoch, np.arange(4)]
        for i in range(4):
            shown = batch["composites"][i].numpy()
            (place,) = np.unique(shown[:, :6] // 20)
            assert (shown[:, 10:] == 20 * place + 10).all()
            assert contents[place] == i
            assert batch["background_targets"][i] == textures[place]
            seen[i].append(place)
    for i, places in seen.items():
        candidates = np.flatnonzero(contents == i)
        counts = np.array([places.count(k) for k in candidates])
        assert (np.abs(counts - 150 / len(candidates)) < 4 * np.sqrt(150 / len(candidates)) + 1e-9).all()


def test_images_without_a_stylized_one_are_named() -> None:
    store = noise_store(composites=False)
    with pytest.raises(ValueError, match=r"^2 of 4 images have no stylized one, the first is 1.png: make them with"):
        Stylized.group(store, np.array([0, 3, 3]), np.array([1, 1, 1]), store.images.paths[:4])


def test_the_loader_normalises_every_view() -> None:
    normalisation = Normalisation((0.1, 0.5, 0.9), (0.2, 0.3, 0.4))
    data = made_data(Parts(views=2, non_semantic="patch", num_non_semantic=3))
    key = (0, np.array([4, 1, 7]))
    (batch,) = BatchLoader(data, [key], normalisation=normalisation)
    raw = data[key]
    for name, count in (("views", 2), ("non_semantic", 3)):
        found = getattr(batch, name)
        assert found.shape == (3, count, 3, 8, 8)
        assert found[:, 0].is_contiguous() or found[0, 0].stride()[0] == 1
        mean, std = (torch.tensor(v) for v in (normalisation.mean, normalisation.std))
        expected = ((raw[name].double() / 255 - mean) / std).permute(0, 1, 4, 2, 3)
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"views": -1}, "views is a number of at least 0, not -1"),
        ({"non_semantic": "patch", "num_non_semantic": 0}, "num_non_semantic is a number of at least 1, not 0"),
        ({"non_semantic": "texture", "num_non_semantic": 2}, "an image has one texture: .* not 2"),
    ],
)
def test_parts_without_sense_are_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Parts(**wrong)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"parts": Parts(non_semantic="texture")}, "need a texture of each image; .*longcut data textures"),
        ({"parts": Parts(composites=True), "composites_from": "stylized"}, "need stylized images; .*data stylize"),
        ({"parts": Parts(composites=True)}, "only where the images have masks"),
        ({"parts": Parts(non_semantic="background")}, "only where the images have masks"),
        ({"images": "only_fg"}, "only where the images have masks"),
    ],
)
def test_what_is_not_there_is_named(given: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TrainingData(noise_store(composites=False), FULL, seed=0, **given)


def test_every_image_needs_a_texture() -> None:
    textures = store_of([[np.zeros((4, 4, 3), np.uint8)]] * 4, composites=False)
    with pytest.raises(ValueError, match="10 images need as many textures, not 4"):
        TrainingData(noise_store(), FULL, seed=0, parts=Parts(non_semantic="texture"), textures=textures)


def test_no_lender_is_told() -> None:
    with pytest.raises(ValueError, match=r"no image in .* has enough background"):
        TrainingData(flat_store([False] * SAMPLES), FULL, seed=0, images="mixed_rand")[0, EVERYONE]
