"""What an audit lends: a background or a frame without a foreground in it, a file's quality to the file itself."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longcut.data.cache import open_store
from longcut.data.decoding import read_image, write_image
from longcut.data.image_set import read_images
from longcut.data.jpeg_quality import encode_again
from longcut.data.loader import Normalisation
from longcut.data.preprocessing import Preprocessing
from longcut.data.store import Recipe
from longcut.recipes.audit.backgrounds import has_foreground, leaves_margin, without_foreground
from longcut.recipes.audit.changes import Changes
from longcut.recipes.audit.views import Lenders, ViewReader

SIDE = 32
GROUND, OBJECT, MARK = 100, 250, 0
"""Levels of backgrounds, foregrounds and frames."""
WHOLE = (4, 4, 27, 27)
"""A foreground, x1, y1, x2, y2, that leaves no margin within the frame of 2 pixels."""


def pictured(box: tuple[int, int, int, int] | None, *, marked: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A foreground on a plain background, in a frame of its own where it is `marked`; and its mask."""
    image, mask = np.full((SIDE, SIDE, 3), GROUND, np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    if marked:
        image[:] = MARK
        image[2:-2, 2:-2] = GROUND
    if box is not None:
        x1, y1, x2, y2 = box
        mask[y1 : y2 + 1, x1 : x2 + 1] = 255
    image[mask > 0] = OBJECT
    return image, mask


boxes = st.tuples(*[st.integers(0, SIDE - 1)] * 4).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[::2]), max(b[1::2]))
)


@settings(max_examples=200)
@given(boxes, st.booleans())
def test_nothing_of_a_foreground_is_in_its_background(box: tuple[int, int, int, int], marked: bool) -> None:
    """Wherever it lies, in the frame too; and a mark in the frame does not come out of it."""
    image, mask = pictured(box, marked=marked)
    before, filled = image.copy(), without_foreground(image, mask)
    assert (image == before).all()
    if not leaves_margin(mask):
        assert (filled == image).all()
        return
    assert not (filled == OBJECT).any()
    assert (filled[2:-2, 2:-2] == GROUND).all()
    assert (filled[mask == 0] == image[mask == 0]).all()


def test_a_foreground_that_fills_the_frame_leaves_no_margin() -> None:
    assert not leaves_margin(pictured((0, 0, 31, 31))[1])
    assert not leaves_margin(pictured((2, 2, 29, 28))[1]), "over 90 % of what is within the frame"
    assert leaves_margin(pictured((2, 2, 29, 20))[1])
    assert leaves_margin(pictured((0, 0, 1, 31))[1]), "it lies in the frame alone"
    assert leaves_margin(pictured(None)[1])
    assert not leaves_margin(np.full((2, 2), 255, np.uint8)), "there is nothing within the frame"
    assert has_foreground(pictured((3, 3, 3, 3))[1])
    assert not has_foreground(pictured(None)[1])


def reader_of(root: Path, boxes: list[tuple[int, int, int, int] | None], *, marked: bool = True) -> ViewReader:
    """A reader of images with these foregrounds, in files of quality 90 and 96 pixels."""
    for place, box in enumerate(boxes):
        for folder, array in zip(("images", "masks"), pictured(box, marked=marked), strict=True):
            large = cv2.resize(array, (3 * SIDE, 3 * SIDE), interpolation=cv2.INTER_NEAREST)
            suffix = "jpg" if folder == "images" else "png"
            write_image(root / folder / "a" / f"{place}.{suffix}", np.asarray(large, np.uint8), quality=90)
    images = read_images(root / "images").with_masks(root / "masks")
    store = open_store(images, Recipe(SIDE, composites=True), mode="memory")
    preprocessing = Preprocessing(SIDE, Normalisation())
    level = torch.full((3,), 0.5)
    return ViewReader(store, preprocessing, 0, torch.device("cpu"), level, level / 2)


def changes_of(reader: ViewReader, same: list[int], other: list[int], lowest: int = 0) -> Changes:
    return Changes(reader, Lenders(np.array(same), np.array(other)), None, lowest)


def test_an_image_without_a_known_margin_lends_no_background(tmp_path: Path) -> None:
    """0 and 1 have one, 2 is filled by its foreground, of 3 none is known."""
    reader = reader_of(tmp_path, [(8, 8, 20, 20), (4, 10, 12, 22), (0, 0, 31, 31), None])
    assert reader.lends.tolist() == [True, True, False, False]
    assert reader.leaves_margin.tolist() == [True, True, False, True]
    every = np.arange(4)
    change = changes_of(reader, same=[1, 0, 1, 1], other=[0, 2, 0, 3]).all_of(("background", "border", "colour"))(every)
    assert change.usable["background"].tolist() == [True, False, False, False]
    assert change.usable["border"].tolist() == [True, False, True, True]
    assert change.usable["only_background"].tolist() == [True, True, False, False]
    assert change.usable["greyscale"].tolist() == [True] * 4


def test_a_frame_is_lent_without_the_foreground_that_reaches_into_it(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, [(8, 8, 20, 20), (10, 20, 20, 31), (0, 4, 9, 20)])
    change = changes_of(reader, same=[1, 1, 1], other=[2, 2, 2])
    for variant in ("border_same", "border_other"):
        framed = change.picture(variant, np.zeros(1, np.int64))[0] * 255
        frame = torch.ones(SIDE, SIDE, dtype=torch.bool)
        frame[2:-2, 2:-2] = False
        assert (framed[:, frame] - MARK).abs().max() < 130, "the donor's foreground is at 250"
        assert (framed[:, 8:21, 8:21] - OBJECT).abs().max() < 10


def test_a_file_is_written_again_before_it_is_made_smaller(tmp_path: Path) -> None:
    """So that a quality leaves in all images what it left in the file that had it."""
    reader = reader_of(tmp_path, [(8, 8, 20, 20), (4, 10, 12, 22)])
    images, places = reader.store.images, np.array([1, 0])
    expected = []
    for place in places:
        large = encode_again(read_image(images.root / images.paths[place]), 5)
        expected.append(cv2.resize(large, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
    wanted = torch.from_numpy(np.stack(expected)).permute(0, 3, 1, 2).float() / 255
    views = reader.views(places, Lenders(np.array([1, 0]), np.array([1, 0])), quality=5)
    assert views.same is not None
    assert views.same.backgrounds is not None
    torch.testing.assert_close(views.images, wanted)
    torch.testing.assert_close(views.same.images, wanted.flip(0))
    torch.testing.assert_close(views.same.backgrounds[:, :, 2:6, 2:6], wanted.flip(0)[:, :, 2:6, 2:6])
    torch.testing.assert_close(reader.encoded(places, np.array([5, 0]))[:1], wanted[:1])
    torch.testing.assert_close(reader.encoded(places, np.array([5, 0]))[1:], reader.images(places[1:]))


@pytest.mark.parametrize("suite", ["background", "border", "colour", "texture"])
def test_swaps_of_one_donor_are_alike(tmp_path: Path, suite: str) -> None:
    """Then nothing but the donor makes the difference."""
    reader = reader_of(tmp_path, [(8, 8, 20, 20), (4, 10, 12, 22), (5, 3, 25, 18)])
    places = np.arange(3)
    makers = changes_of(reader, same=[1, 2, 0], other=[1, 2, 0]).all_of((suite,))(places).makers
    torch.testing.assert_close(makers[f"{suite}_same"](), makers[f"{suite}_other"](), rtol=0, atol=0)
