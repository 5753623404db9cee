"""Rows of arrays are images like others, and sets of them need no decoding."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longcut.data import cache
from longcut.data.arrays import open_array, split_member
from longcut.data.cache import open_store
from longcut.data.decoding import ImageError, image_size, read_bytes, read_image, write_image
from longcut.data.image_set import ImageSet, read_images
from longcut.data.mapped import MappedFile, MappedRows
from longcut.data.store import Recipe, Store

PLAIN = Recipe(16, composites=False)
COUNT, HEIGHT, WIDTH = 12, 9, 11


def saved(file: Path, *, seed: int = 0, shape: tuple[int, ...] = (COUNT, HEIGHT, WIDTH, 3)) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    np.save(file, pixels)
    return pixels


def members(root: Path, *paths: str) -> ImageSet:
    return ImageSet(root, paths, np.arange(len(paths)) % 3, ("a", "b", "c"))


def opened(images: ImageSet, folder: Path, recipe: Recipe = PLAIN, **options: Any) -> Store:
    return open_store(images, recipe, folder=folder / "cache", workers=1, **options)


def decoded(images: ImageSet, folder: Path, recipe: Recipe = PLAIN, **options: Any) -> Store:
    """What decoding each row gives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "open_members", lambda images, recipe: None)
        return opened(images, folder, recipe, **options)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("train.npy#17", ("train.npy", 17)),
        ("a#1/train.npy#007", ("a#1/train.npy", 7)),
        ("train.npy", None),
        ("train.npy#", None),
        ("train.npy#-1", None),
        ("train.npy#1.png", None),
        ("train.png#1", None),
    ],
)
def test_a_path_names_a_row_or_a_file(path: str, found: tuple[str, int] | None) -> None:
    assert split_member(path) == found


def test_a_row_is_read_as_a_file_is(tmp_path: Path) -> None:
    colour, grey = saved(tmp_path / "c.npy"), saved(tmp_path / "g.npy", shape=(4, 7, 5))
    for row in range(4):
        path = tmp_path / f"c.npy#{row}"
        assert (read_image(path) == colour[row]).all()
        assert read_bytes(str(path)) == colour[row].tobytes()
        assert image_size(path) == (HEIGHT, WIDTH)
        path = tmp_path / f"g.npy#{row}"
        assert (read_image(path, read_bytes(path)) == grey[row][..., None]).all()
        assert read_image(path).shape == (7, 5, 3)
        assert image_size(path) == (7, 5)
    read_image(tmp_path / "c.npy#0")[:] = 0
    assert (open_array(tmp_path / "c.npy") == colour).all()


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (
            np.zeros((3, 4, 4), np.float32),
            r"holds float32 of the shape \(3, 4, 4\): images are uint8 of \[s, h, w, 3\]",
        ),
        (np.zeros((3, 4, 4, 1), np.uint8), r"holds uint8 of the shape \(3, 4, 4, 1\)"),
        (np.zeros((3, 4), np.uint8), r"holds uint8 of the shape \(3, 4\)"),
        (np.zeros((3, 0, 4), np.uint8), r"holds uint8 of the shape \(3, 0, 4\)"),
        (np.array([None]), "as a numpy array: "),
    ],
)
def test_what_holds_no_images_is_named(tmp_path: Path, array: np.ndarray, says: str) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ValueError, match=says) as error:
        open_array(tmp_path / "x.npy")
    assert str(tmp_path / "x.npy") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"no array", b"cut"])
def test_a_broken_array_is_named(tmp_path: Path, content: bytes) -> None:
    saved(tmp_path / "x.npy")
    whole = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(whole[:-9] if content == b"cut" else content)
    for ask in (open_array, lambda file: opened(members(tmp_path, "x.npy#0"), tmp_path)):
        with pytest.raises(ValueError, match=r"^cannot read .*x\.npy as a numpy array: [^\n]+$"):
            ask(tmp_path / "x.npy")


def test_a_missing_array_and_a_missing_row_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"^cannot read .*/no\.npy: No such file"):
        read_image(tmp_path / "no.npy#0")
    saved(tmp_path / "x.npy")
    for ask in (read_image, read_bytes, image_size):
        with pytest.raises(ImageError, match=r"x\.npy#12: the array holds 12 images, counted from 0$"):
            ask(tmp_path / "x.npy#12")


@pytest.mark.parametrize("mode", ["disk", "memory", "none"])
def test_a_row_that_is_not_there_is_left_out_where_that_is_asked_for(tmp_path: Path, mode: str) -> None:
    pixels, said = saved(tmp_path / "x.npy"), []
    images = members(tmp_path, "x.npy#3", "x.npy#40", "x.npy#1")
    with pytest.raises(ImageError, match=r"x\.npy#40: the array holds 12 images.*--skip-bad$"):
        opened(images, tmp_path, mode=mode)
    rest = opened(images, tmp_path, mode=mode, skip_bad=True, say=said.append)
    assert rest.images.paths == ("x.npy#3", "x.npy#1")
    assert all((rest[i].image == pixels[row]).all() for i, row in enumerate((3, 1)))
    assert [line for line in said if line.startswith("left out: ") and "#40" in line]


def test_an_array_that_is_written_again_is_read_again(tmp_path: Path) -> None:
    images = members(tmp_path, "x.npy#0", "x.npy#1")
    for recipe in (PLAIN, Recipe(4, composites=False)):
        digests = set()
        for seed in (1, 2):
            pixels = saved(tmp_path / "x.npy", seed=seed)
            found = opened(images, tmp_path, recipe)
            digests.add(found.digest)
            assert (read_image(tmp_path / "x.npy#1") == pixels[1]).all()
            if recipe is PLAIN:
                assert (found[1].image == pixels[1]).all()
        assert len(digests) == 2


@pytest.mark.parametrize("mode", ["disk", "memory", "none"])
def test_rows_in_order_are_mapped_and_nothing_is_written(tmp_path: Path, mode: str) -> None:
    pixels, said = saved(tmp_path / "x.npy"), []
    images = members(tmp_path, *(f"x.npy#{row}" for row in range(2, 9)))
    found = opened(images, tmp_path, mode=mode, say=said.append)
    assert isinstance(found.records, MappedRows)
    assert found.block is not None
    assert np.shares_memory(found.block, open_array(tmp_path / "x.npy"))
    assert (found.block == pixels[2:9]).all()
    assert said == []
    assert not (tmp_path / "cache").exists()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("cdgf"), st.integers(0, COUNT - 1)), min_size=1, max_size=9))
def test_rows_are_the_records_that_decoding_gives(tmp_path: Path, rows: list[tuple[str, int]]) -> None:
    for seed, name in enumerate("cd"):
        saved(tmp_path / f"{name}.npy", seed=seed)
    grey = saved(tmp_path / "g.npy", shape=(COUNT, HEIGHT, WIDTH))
    np.save(tmp_path / "f.npy", np.asfortranarray(np.stack([grey, grey // 2, grey // 3], axis=3)))
    images = members(tmp_path, *(f"{name}.npy#{row}" for name, row in rows))
    found, expected = opened(images, tmp_path), decoded(images, tmp_path, mode="memory")
    assert found.digest == expected.digest
    assert (found.shapes == expected.shapes).all()
    assert (found.lends == expected.lends).all()
    assert found.block is not None
    for i in range(len(rows)):
        assert (found[i].image == expected[i].image).all()
        assert (found.block[i] == expected[i].image).all()


def test_the_digest_is_that_of_content_order_and_targets(tmp_path: Path) -> None:
    pixels = saved(tmp_path / "x.npy")
    images = members(tmp_path, "x.npy#0", "x.npy#1", "x.npy#2")
    digests = {opened(images, tmp_path).digest, opened(images.select(np.array([0, 2, 1])), tmp_path).digest}
    digests.add(opened(replace(images, targets=np.array([0, 1, 1])), tmp_path).digest)
    pixels[1, 2, 3, 0] ^= 1
    np.save(tmp_path / "x.npy", pixels)
    digests.add(opened(images, tmp_path).digest)
    pixels[5] = 0  # none of theirs
    np.save(tmp_path / "x.npy", pixels)
    assert opened(images, tmp_path).digest in digests
    assert len(digests) == 4


def test_what_needs_a_change_is_decoded(tmp_path: Path) -> None:
    saved(tmp_path / "x.npy")
    saved(tmp_path / "y.npy", shape=(3, 20, 18, 3))
    write_image(tmp_path / "z.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    large = opened(members(tmp_path, "x.npy#0"), tmp_path, Recipe(6, composites=False))
    assert large.shapes.tolist() == [[6, 7]]
    mixed = opened(members(tmp_path, "x.npy#0", "y.npy#1"), tmp_path)
    assert mixed.shapes.tolist() == [[HEIGHT, WIDTH], [18, 16]]
    assert mixed.block is None
    assert len(opened(members(tmp_path, "x.npy#0", "z.png"), tmp_path)) == 2


def test_a_table_of_rows_is_read(tmp_path: Path) -> None:
    pixels = saved(tmp_path / "train.npy")
    lines = [f"train.npy#{row},{row % 2},train,{row % 3}" for row in range(COUNT)]
    (tmp_path / "images.csv").write_text("path,target,split,bias\n" + "\n".join(lines) + "\n")
    images = read_images(tmp_path / "images.csv", "train")
    found = opened(images, tmp_path)
    assert found.block is not None
    for i, path in enumerate(images.paths):
        row = int(path.rpartition("#")[2])
        assert (found.block[i] == pixels[row]).all()
        assert images.targets[i] == row % 2


@pytest.mark.parametrize("composites", [False, True])
def test_records_of_one_size_are_a_block(tmp_path: Path, composites: bool) -> None:
    generator = np.random.default_rng(0)
    for i in range(4):
        write_image(
            tmp_path / f"images/{'ab'[i % 2]}/{i}.png", generator.integers(0, 256, (14, 12, 3)).astype(np.uint8)
        )
        write_image(tmp_path / f"masks/{'ab'[i % 2]}/{i}.png", np.full((14, 12), 40 * i, np.uint8))
    images = read_images(tmp_path / "images", masks=tmp_path / "masks")
    for mode in ("disk", "memory", "none"):
        found = opened(images, tmp_path, Recipe(16, composites=composites), mode=mode)
        if mode == "none":
            assert found.block is None
            continue
        assert found.block is not None
        assert found.block.shape == (4, 14, 12, 3)
        records = found.records.bytes if isinstance(found.records, MappedFile) else found.records
        assert np.shares_memory(found.block, records)
        assert all((found.block[i] == found[i].image).all() for i in range(4))
        assert found.offsets is not None
        gap = replace(found, images=images.select(np.array([0, 2, 3])), offsets=found.offsets[[0, 2, 3]])
        assert replace(gap, shapes=found.shapes[1:]).block is None
        assert replace(found, shapes=found.shapes + np.eye(4, 2, dtype=int)).block is None


@pytest.mark.parametrize("order", [range(COUNT), range(COUNT)[::-1]])
def test_a_block_is_not_sent_to_workers(tmp_path: Path, order: range) -> None:
    saved(tmp_path / "x.npy", shape=(COUNT, 40, 40, 3))
    store = opened(members(tmp_path, *(f"x.npy#{row}" for row in order)), tmp_path, Recipe(40, composites=False))
    assert store.block is not None
    sent = pickle.dumps(store)
    assert len(sent) < 4000 < store.block.nbytes
    assert (pickle.loads(sent).block == store.block).all()
