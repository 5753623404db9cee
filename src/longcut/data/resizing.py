"""Images and masks at another size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def resize(
    array: NDArray[np.uint8],
    height: int,
    width: int,
    *,
    area_beyond: float = 1.0,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Resize an image or a mask: by area where it shrinks, so that nothing aliases, linearly where it grows.

    Args:
        array: `[h, w]` or `[h, w, 3]`.
        height: of the result.
        width: of the result.
        area_beyond: how many times a side must shrink for the area to be averaged. Up to 2 every pixel counts in linear
            interpolation too, which is six times as fast.
        out: holds the result where it is given; without it, what has the size already comes back as it is.
    """
    if array.shape[:2] == (height, width):
        if out is None:
            return array
        out[:] = array
        return out
    shrinks = max(array.shape[0] / height, array.shape[1] / width) > area_beyond
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(array, (width, height), dst=out, interpolation=way), np.uint8)


def resize_shorter(array: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Shrink so that the shorter side is `side`; smaller images stay as they are."""
    height, width = array.shape[:2]
    if min(height, width) <= side:
        return array
    factor = side / min(height, width)
    return resize(array, max(side, round(height * factor)), max(side, round(width * factor)))


def centre_crop(array: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Scale the shorter side to `size` and keep the central square: what evaluation sees."""
    height, width = array.shape[:2]
    factor = size / min(height, width)
    array = resize(array, max(size, round(height * factor)), max(size, round(width * factor)))
    top, left = (array.shape[0] - size) // 2, (array.shape[1] - size) // 2
    return array[top : top + size, left : left + size]
