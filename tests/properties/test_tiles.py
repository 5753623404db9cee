"""Backgrounds keep what lies outside the box and show nothing of what lies inside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longcut.data.tiles import Box, black_background, box_area, box_of_mask, clip_box, tile_background


@st.composite
def framed_boxes(draw: st.DrawFn) -> tuple[int, int, Box]:
    """Height, width and a box inside that leaves a margin."""
    height, width = draw(st.integers(1, 12)), draw(st.integers(2, 12))
    x1, y1 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    x2, y2 = draw(st.integers(x1, width - 1)), draw(st.integers(y1, height - 1))
    return height, width, (x1, y1, x2 - (x2 - x1 == width - 1 and y2 - y1 == height - 1), y2)


def tiled_with_loops(image: np.ndarray, box: Box) -> np.ndarray:
    """Only-BG-T written as the paper says it."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    areas = [y1 * width, (height - 1 - y2) * width, height * x1, height * (width - 1 - x2)]
    margins = [image[:y1], image[y2 + 1 :], image[:, :x1], image[:, x2 + 1 :]]
    strip = margins[areas.index(max(areas))]
    result = image.copy()
    for y in range(y1, y2 + 1):
        for x in range(x1, x2 + 1):
            result[y, x] = strip[y % strip.shape[0], x % strip.shape[1]]
    return result


@settings(max_examples=200)
@given(framed_boxes())
def test_tiles_equal_the_definition(case: tuple[int, int, Box]) -> None:
    height, width, box = case
    image = np.arange(height * width * 3, dtype=np.uint16).reshape(height, width, 3).astype(np.uint8)
    assert (tile_background(image, box) == tiled_with_loops(image, box)).all()


@settings(max_examples=100)
@given(framed_boxes())
def test_nothing_of_the_box_remains(case: tuple[int, int, Box]) -> None:
    height, width, (x1, y1, x2, y2) = case
    image = np.full((height, width, 3), 10, np.uint8)
    image[y1 : y2 + 1, x1 : x2 + 1] = 200
    before = image.copy()
    assert (tile_background(image, (x1, y1, x2, y2)) == 10).all()
    black = black_background(image, (x1, y1, x2, y2))
    assert (black[image == 200] == 0).all()
    assert (black[image == 10] == 10).all()
    assert (image == before).all()


def test_a_box_over_the_whole_image_has_no_background() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    with pytest.raises(ValueError, match="covers the whole image of 6 x 4"):
        tile_background(image, (0, 0, 5, 3))


@pytest.mark.parametrize("box", [(-1, 0, 2, 2), (0, 0, 6, 2), (3, 0, 2, 2), (0, 2, 2, 4)])
def test_boxes_must_lie_inside(box: Box) -> None:
    for background in (tile_background, black_background):
        with pytest.raises(ValueError, match="does not lie in the image of 6 x 4"):
            background(np.zeros((4, 6, 3), np.uint8), box)


@settings(max_examples=100)
@given(framed_boxes())
def test_the_box_of_a_filled_box_is_itself(case: tuple[int, int, Box]) -> None:
    height, width, (x1, y1, x2, y2) = case
    mask = np.full((height, width), 127, np.uint8)
    mask[y1 : y2 + 1, x1 : x2 + 1] = 128
    assert box_of_mask(mask) == (x1, y1, x2, y2)
    assert box_area((x1, y1, x2, y2)) == (mask == 128).sum()


def test_an_empty_mask_has_no_box() -> None:
    assert box_of_mask(np.full((3, 3), 127, np.uint8)) is None


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((1, 1, 3, 2), (1, 1, 3, 2)),
        ((-5, -5, 3, 2), (0, 0, 3, 2)),
        ((1.4, 1.6, 2.2, 99), (1, 1, 3, 3)),
        ((2, 1, 2, 3), None),  # no width
        ((1, 3, 3, 1), None),  # upside down
        ((6, 0, 9, 3), None),  # to the right of the image
        ((0, -9, 3, -1), None),  # above it
        ((np.nan, 0, 3, 3), None),
    ],
)
def test_boxes_are_cut_to_the_image(box: tuple[float, ...], expected: Box | None) -> None:
    assert clip_box(box, 4, 6) == expected
