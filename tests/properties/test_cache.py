"""Decoded once or each time, on disk or in memory: the same samples, and every bad file named."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from longcut.data import cache, store
from longcut.data.cache import open_store
from longcut.data.decoding import ImageError, write_image
from longcut.data.image_set import ImageSet, read_images
from longcut.data.mapped import MappedMemory
from longcut.data.store import Recipe, Store

PLAIN, WITH_MASKS = Recipe(16, composites=False), Recipe(16, composites=True)
SHAPES = ((20, 30), (16, 16), (40, 18))


def made(root: Path, seed: int = 0) -> ImageSet:
    """Three images of two classes with masks; the mask of the last one covers nearly all of it."""
    generator = np.random.default_rng(seed)
    for i, (height, width) in enumerate(SHAPES):
        write_image(
            root / f"images/{'ab'[i % 2]}/{i}.png", generator.integers(0, 256, (height, width, 3)).astype(np.uint8)
        )
        mask = np.zeros((height, width), np.uint8)
        mask[:-1, :] = 255 * (i == 2)
        mask[4:9, 5:11] = 255
        write_image(root / f"masks/{'ab'[i % 2]}/{i}.png", mask)
    return read_images(root / "images", masks=root / "masks")


def opened(images: ImageSet, recipe: Recipe, tmp_path: Path, **options: Any) -> Store:
    return open_store(images, recipe, folder=tmp_path / "cache", workers=1, **options)


def same(first: Store, second: Store) -> bool:
    assert len(first) == len(second)
    assert (first.shapes == second.shapes).all()
    assert (first.lends == second.lends).all()
    for i in range(len(first)):
        for a, b in zip(first[i], second[i], strict=True):
            assert (a is None) == (b is None)
            assert a is None or (a.dtype == b.dtype == np.uint8 and np.array_equal(a, b))
    return first.digest == second.digest


@pytest.mark.parametrize("recipe", [PLAIN, WITH_MASKS])
def test_every_mode_gives_the_same(tmp_path: Path, recipe: Recipe) -> None:
    images = made(tmp_path)
    disk, memory, none = (opened(images, recipe, tmp_path, mode=mode) for mode in ("disk", "memory", "none"))
    assert same(disk, memory)
    assert same(disk, none)
    assert none.records is none.offsets is None
    assert list(map(str, disk.shapes.tolist())) == ["[16, 24]", "[36, 16]", "[16, 16]"]


def test_records_are_the_images_their_masks_and_their_backgrounds(tmp_path: Path) -> None:
    images = made(tmp_path)
    found = opened(images, Recipe(100, composites=True), tmp_path)
    assert images.masks is not None
    for i, path in enumerate(images.paths):
        sample, pixels = found[i], cv2.imread(str(images.root / path))[..., ::-1]
        mask = cv2.imread(str(images.masks[i]), cv2.IMREAD_GRAYSCALE)
        assert (sample.image == pixels).all()
        assert (sample.mask == mask).all()
        assert sample.background is not None
        assert (sample.background[mask == 0] == pixels[mask == 0]).all()
        assert found.lends[i] == (mask.mean() < 0.9 * 255)
        assert (sample.background != pixels).any() == found.lends[i]


def test_a_box_widens_what_is_tiled_over(tmp_path: Path) -> None:
    images = made(tmp_path)
    (tmp_path / "boxes.csv").write_text("file,x1,y1,x2,y2\na/0.png,15,2,25,8\na/2.png,1,1,5,5\n")
    boxed = opened(images.with_boxes(tmp_path / "boxes.csv"), Recipe(100, composites=True), tmp_path)
    plain = opened(images, Recipe(100, composites=True), tmp_path)
    changed = (boxed[0].background != boxed[0].image).any(axis=2)
    assert changed[2:9, 15:26].mean() > 0.9
    before = (plain[0].background != plain[0].image).any(axis=2)
    assert before[2:9, 15:26].mean() < 0.5
    assert boxed.lends.tolist() == plain.lends.tolist() == [True, False, True]


def test_an_image_whose_foreground_is_not_known_lends_nothing(tmp_path: Path) -> None:
    images = made(tmp_path)
    write_image(tmp_path / "masks/b/1.png", np.full(SHAPES[1], 127, np.uint8))
    found = opened(images, WITH_MASKS, tmp_path)
    assert found.lends.tolist() == [True, False, False]
    assert found.peaks.tolist() == [255, 255, 127]


def test_a_box_is_of_the_image_as_it_is_shown(tmp_path: Path) -> None:
    pixels, box = np.zeros((40, 60, 3), np.uint8), np.array([30.0, 4, 49, 13])
    pixels[4:14, 30:50] = 255
    on = np.zeros((40, 60), np.uint8)
    on[8:10, 38:42] = 255
    orientation = Image.Exif()
    orientation[ExifTags.Base.Orientation] = 6  # to be turned clockwise
    write_image(tmp_path / "mask.png", on)
    Image.fromarray(np.rot90(pixels)).save(tmp_path / "turned.png", exif=orientation)
    decoded = Recipe(100, composites=True).decode(tmp_path / "turned.png", tmp_path / "mask.png", box)
    image, mask, background = decoded.parts
    assert (image == pixels).all()
    assert (mask == on).all()
    assert not background.any()


def test_a_second_time_nothing_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, said = made(tmp_path), []
    first = opened(images, WITH_MASKS, tmp_path, say=said.append)
    assert len(said) == 1
    assert "decoding 3 images once into" in said[0]

    def refuse(path: Path) -> None:
        raise AssertionError(f"{path} was decoded again")

    monkeypatch.setattr(store, "read_image", refuse)
    monkeypatch.setattr(store, "read_mask", refuse)
    assert same(first, opened(images, WITH_MASKS, tmp_path, say=said.append))
    assert len(said) == 1


def test_the_cache_is_found_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    open_store(made(tmp_path), PLAIN, workers=1)
    assert len(list((tmp_path / "elsewhere" / "longcut").iterdir())) == 1


def caches(tmp_path: Path) -> int:
    return len(list((tmp_path / "cache").iterdir()))


@pytest.mark.parametrize("which", ["images/b/1.png", "masks/b/1.png"])
def test_a_changed_file_makes_a_new_cache(tmp_path: Path, which: str) -> None:
    images = made(tmp_path)
    before = opened(images, WITH_MASKS, tmp_path)
    changed = cv2.imread(str(tmp_path / which), cv2.IMREAD_UNCHANGED)
    changed[0, 0] = 255 - changed[0, 0]
    write_image(tmp_path / which, changed)
    os.utime(tmp_path / which, ns=(1, 1))
    after = opened(images, WITH_MASKS, tmp_path)
    assert caches(tmp_path) == 2
    assert before.digest != after.digest
    assert not all(np.array_equal(a, b) for a, b in zip(before[2], after[2], strict=True))


def test_every_recipe_and_set_has_a_cache_of_its_own(tmp_path: Path) -> None:
    images = made(tmp_path)
    (tmp_path / "boxes.csv").write_text("file,x1,y1,x2,y2\na/0.png,1,1,9,9\n")
    for recipe in (PLAIN, WITH_MASKS, Recipe(8, composites=False)):
        opened(images, recipe, tmp_path)
    opened(images.select(np.array([0, 1])), PLAIN, tmp_path)
    opened(images.with_boxes(tmp_path / "boxes.csv"), WITH_MASKS, tmp_path)
    assert caches(tmp_path) == 5
    opened(images.with_boxes(tmp_path / "boxes.csv"), PLAIN, tmp_path)
    assert caches(tmp_path) == 5


def test_the_digest_is_of_what_is_there_and_not_of_where_or_when(tmp_path: Path) -> None:
    first, twin, other = (
        opened(made(tmp_path / name, seed), WITH_MASKS, tmp_path) for name, seed in (("x", 0), ("y", 0), ("z", 1))
    )
    os.utime(tmp_path / "x/images/a/0.png", ns=(1, 1))
    assert first.digest.startswith("sha256:")
    assert first.digest == twin.digest == opened(first.images, WITH_MASKS, tmp_path).digest
    part = opened(first.images.select(np.array([0, 1])), WITH_MASKS, tmp_path)
    relabelled = opened(read_images(tmp_path / "x/images", classes=("b", "a")), PLAIN, tmp_path)
    plain = opened(read_images(tmp_path / "x/images"), PLAIN, tmp_path)
    turned = opened(replace(plain.images, targets=1 - plain.images.targets), PLAIN, tmp_path)
    assert len({first.digest, other.digest, part.digest, relabelled.digest, plain.digest, turned.digest}) == 6


MODES = ("disk", "memory", "none")


@pytest.mark.parametrize("mode", MODES)
def test_an_unreadable_file_is_named(tmp_path: Path, mode: str) -> None:
    images = made(tmp_path)
    bad = tmp_path / "images/a/0.png"
    bad.write_bytes(bad.read_bytes()[:-60])
    with pytest.raises(ImageError, match=r".*a/0\.png.*--skip-bad") as error:
        opened(images, WITH_MASKS, tmp_path, mode=mode)
    assert "\n" not in str(error.value)

    said: list[str] = []
    rest = opened(images, WITH_MASKS, tmp_path, mode=mode, skip_bad=True, say=said.append)
    assert rest.images.paths == ("a/2.png", "b/1.png")
    assert rest.images.targets.tolist() == [0, 1]
    assert [line for line in said if "left out" in line and str(bad) in line]
    whole = opened(images.select(np.array([1, 2])), WITH_MASKS, tmp_path)
    assert same(whole, rest)


@pytest.mark.parametrize("recipe", [PLAIN, WITH_MASKS])
def test_what_could_not_be_read_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: Recipe) -> None:
    images, read = made(tmp_path), store.read_bytes

    def fail(path: Path) -> bytes:
        if path.name != "2.png":
            raise ImageError(f"cannot read {path}: Input/output error")
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(store, "read_bytes", fail)
        assert opened(images, recipe, tmp_path, skip_bad=True).images.paths == ("a/2.png",)
    said: list[str] = []
    whole = opened(images, recipe, tmp_path, skip_bad=True, say=said.append)
    assert same(whole, opened(images, recipe, tmp_path, mode="none"))
    monkeypatch.setattr(store, "read_bytes", fail)
    assert same(whole, opened(images, recipe, tmp_path, say=said.append))
    assert said == []


def test_only_what_is_wrong_takes_room_for_words(tmp_path: Path) -> None:
    images = made(tmp_path)
    (tmp_path / "images/b/1.png").write_bytes(b"no image")
    opened(images, PLAIN, tmp_path, skip_bad=True)
    index = np.load(next((tmp_path / "cache").glob("*/index.npz")))
    assert index["bad"].tolist() == [2]
    assert len(index["errors"]) == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("which", ["images/a/0.png", "masks/a/0.png"])
def test_a_missing_file_is_named(tmp_path: Path, mode: str, which: str) -> None:
    images = made(tmp_path)
    (tmp_path / which).unlink()
    with pytest.raises(ImageError, match=str(tmp_path / which)):
        opened(images, WITH_MASKS, tmp_path, mode=mode)
    assert len(opened(images, WITH_MASKS, tmp_path, mode=mode, skip_bad=True)) == 2


@pytest.mark.parametrize("mode", MODES)
def test_nothing_readable_is_told(tmp_path: Path, mode: str) -> None:
    images = made(tmp_path)
    for path in images.paths:
        (images.root / path).write_bytes(b"no image")
    with pytest.raises(ValueError, match="none of the 3 images in"):
        opened(images, PLAIN, tmp_path, mode=mode, skip_bad=True)


def test_a_mask_of_another_size_is_named(tmp_path: Path) -> None:
    images = made(tmp_path)
    write_image(tmp_path / "masks/a/0.png", np.zeros((20, 29), np.uint8))
    with pytest.raises(ImageError, match=r"mask .*masks/a/0\.png is 29x20, its image 30x20"):
        opened(images, WITH_MASKS, tmp_path)
    assert len(opened(images, PLAIN, tmp_path)) == 3


def test_a_full_disk_is_told_before_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = made(tmp_path)
    usage = cache.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(ValueError, match=r"the cache of 3 images needs about .* choose another folder"):
        opened(images, PLAIN, tmp_path)
    assert same(opened(images, PLAIN, tmp_path, mode="memory"), opened(images, PLAIN, tmp_path, mode="none"))


def test_a_broken_write_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = made(tmp_path)

    def fail(*args: object, **arrays: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cache.np, "savez", fail)
        with pytest.raises(OSError, match="No space left"):
            opened(images, WITH_MASKS, tmp_path)
    assert same(opened(images, WITH_MASKS, tmp_path), opened(images, WITH_MASKS, tmp_path, mode="none"))


def look(found: Store, answers: Any) -> None:
    assert isinstance(found.records, MappedMemory)
    place = os.fstat(found.records.descriptor).st_ino
    answers.put((place, [part.tobytes() for i in range(len(found)) for part in found[i]]))


def test_workers_read_the_same_memory(tmp_path: Path) -> None:
    found = opened(made(tmp_path), WITH_MASKS, tmp_path, mode="memory")
    context = multiprocessing.get_context("forkserver")
    answers = context.SimpleQueue()
    workers = [context.Process(target=look, args=(found, answers)) for _ in range(2)]
    for worker in workers:
        worker.start()
        worker.join(120)
        assert worker.exitcode == 0
    first, second = answers.get(), answers.get()
    assert first == second
    assert first[1] == [part.tobytes() for i in range(3) for part in found[i]]


def open_at_once(images: ImageSet, folder: Path, start: Any, answers: Any) -> None:
    said: list[str] = []
    start.wait(60)
    found = open_store(images, WITH_MASKS, folder=folder, workers=1, say=said.append)
    answers.put(
        (len(said), found.digest, [part.tobytes() for i in range(len(found)) for part in found[i] if part is not None])
    )


def test_two_processes_at_once_decode_once(tmp_path: Path) -> None:
    images, context = made(tmp_path), multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["longcut.data.cache"])
    start, answers = context.Barrier(2), context.SimpleQueue()
    workers = [
        context.Process(target=open_at_once, args=(images, tmp_path / "cache", start, answers)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    first, second = answers.get(), answers.get()
    assert {first[0], second[0]} == {0, 1}
    assert first[1:] == second[1:]
    expected = opened(images, WITH_MASKS, tmp_path, mode="none")
    assert first[1] == expected.digest
    assert first[2] == [part.tobytes() for i in range(3) for part in expected[i] if part is not None]
