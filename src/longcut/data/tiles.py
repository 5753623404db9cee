"""Backgrounds without their foreground, as the Background Challenge makes them.

Xiao, Engstrom, Ilyas and Madry, "Noise or Signal: The Role of Image Backgrounds in Object Recognition" (ICLR 2021):
Only-BG-B blackens the foreground's box; Only-BG-T fills it from a strip of background.
Boxes are `(x1, y1, x2, y2)` in pixels with inclusive corners.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Box = tuple[int, int, int, int]

HALF = 128
"""A mask's value from which on a pixel counts as foreground where yes or no is asked."""

LARGEST_SHARE = 0.9
"""A foreground whose box covers more of the image than this leaves no background to speak of."""


def box_of_mask(mask: NDArray[np.uint8]) -> Box | None:
    """The smallest box that holds every foreground pixel.

    Args:
        mask: `[h, w]`, foreground from 128 on.

    Returns:
        Inclusive corners, or None where the mask is empty.
    """
    on = mask >= HALF
    rows, columns = np.flatnonzero(on.any(1)), np.flatnonzero(on.any(0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def foreground_box(mask: NDArray[np.uint8], given: ArrayLike | None) -> Box | None:
    """The box of the mask, widened to the one that was given.

    Args:
        mask: `[h, w]`, foreground from 128 on.
        given: `[4]`, x1, y1, x2, y2, inclusive; None, or NaN, where there is none.

    Returns:
        Inclusive corners, or None where the mask is empty.
    """
    own = box_of_mask(mask)
    other = None if given is None or np.isnan(given).any() else clip_box(given, *mask.shape)
    if own is None or other is None:
        return own
    return min(own[0], other[0]), min(own[1], other[1]), max(own[2], other[2]), max(own[3], other[3])


def clip_box(box: ArrayLike, height: int, width: int) -> Box | None:
    """The pixels of a box that lie in the image.

    Args:
        box: `[4]`, x1, y1, x2, y2, inclusive.
        height: of the image.
        width: of the image.

    Returns:
        Inclusive corners, or None where the box has no area (x1 >= x2 or y1 >= y2) or lies outside the image.
    """
    x1, y1, x2, y2 = (float(v) for v in np.asarray(box, np.float64))
    if not (x1 < x2 and y1 < y2) or x2 < 0 or y2 < 0 or x1 > width - 1 or y1 > height - 1:
        return None
    left, top = max(0, int(np.floor(x1))), max(0, int(np.floor(y1)))
    return left, top, min(width - 1, int(np.ceil(x2))), min(height - 1, int(np.ceil(y2)))


def box_area(box: Box) -> int:
    """Number of pixels in a box."""
    return (box[2] - box[0] + 1) * (box[3] - box[1] + 1)


def tile_background(image: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Only-BG-T: the box filled with the widest margin beside it.

    Of the four margins of full height or width beside the box (above, below, left, right) the largest by area, the
    first of equals, is tiled over the whole frame from its upper left corner, and the tiling is copied into the box.

    Args:
        image: `[h, w, 3]`.
        box: inclusive corners inside the image.

    Returns:
        `[h, w, 3]`, equal to the image outside the box.

    Raises:
        ValueError: where the box covers the whole frame, so that there is no margin, or reaches out of it.
    """
    x1, y1, x2, y2 = _inside(image, box)
    margins = image[:y1], image[y2 + 1 :], image[:, :x1], image[:, x2 + 1 :]
    strip = max(margins, key=lambda margin: margin.size)
    if not strip.size:
        raise ValueError(f"box {box} covers the whole image of {image.shape[1]} x {image.shape[0]}: no background")
    rows, columns = np.arange(y1, y2 + 1) % strip.shape[0], np.arange(x1, x2 + 1) % strip.shape[1]
    filled = image.copy()
    filled[y1 : y2 + 1, x1 : x2 + 1] = strip[rows[:, None], columns]
    return filled


def black_background(image: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Only-BG-B: the box blackened.

    Args:
        image: `[h, w, 3]`.
        box: inclusive corners inside the image.

    Returns:
        `[h, w, 3]`, equal to the image outside the box.

    Raises:
        ValueError: where the box reaches out of the image.
    """
    x1, y1, x2, y2 = _inside(image, box)
    filled = image.copy()
    filled[y1 : y2 + 1, x1 : x2 + 1] = 0
    return filled


def _inside(image: NDArray[np.uint8], box: Box) -> Box:
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    if not (0 <= x1 <= x2 < width and 0 <= y1 <= y2 < height):
        raise ValueError(f"box {box} does not lie in the image of {width} x {height}")
    return box
