"""Foregrounds on backgrounds, one 8-bit image at a time, by the mask and never by colour."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from longcut.data.tiles import HALF, Box


def blend(
    foreground: NDArray[np.uint8], mask: NDArray[np.uint8], background: NDArray[np.uint8] | int
) -> NDArray[np.uint8]:
    """Paste a foreground: mask / 255 of it and the rest of the background, rounded (to 0.003 of a level beside).

    Args:
        foreground: `[h, w, 3]`.
        mask: `[h, w]`, 255 shows the foreground alone and 0 the background alone.
        background: `[h, w, 3]`, or one grey value.
    """
    if isinstance(background, int):
        background = np.full_like(foreground, background)
    weight = mask.astype(np.float32) * np.float32(1 / 255)
    return np.asarray(cv2.blendLinear(foreground, background, weight, 1 - weight), np.uint8)


def harden(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask with hard edges: 255 from 128 on, else 0."""
    return np.where(mask >= HALF, np.uint8(255), np.uint8(0))


def cover(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Scale a picture until it covers a frame, keeping its proportions, and cut the frame out of its centre.

    Args:
        picture: `[h, w]` or `[h, w, 3]`.
        height: of the frame.
        width: of the frame.

    Returns:
        `[height, width]` or `[height, width, 3]`; the picture itself where it fits already.
    """
    scale, (inner_height, inner_width) = _covering(picture.shape[0], picture.shape[1], height, width)
    if scale != 1:
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        picture = np.asarray(cv2.resize(picture, (inner_width, inner_height), interpolation=way), np.uint8)
    top, left = (inner_height - height) // 2, (inner_width - width) // 2
    return picture[top : top + height, left : left + width]


def cover_box(box: Box, shape: tuple[int, ...], height: int, width: int) -> Box | None:
    """Where a box lies after `cover`.

    Args:
        box: inclusive corners in the picture.
        shape: of the picture, height first.
        height: of the frame.
        width: of the frame.

    Returns:
        Inclusive corners of what lies in the frame, or None where less than half of the box does.
    """
    scale, (inner_height, inner_width) = _covering(shape[0], shape[1], height, width)
    top, left = (inner_height - height) // 2, (inner_width - width) // 2
    x1, y1 = box[0] * scale - left, box[1] * scale - top
    x2, y2 = (box[2] + 1) * scale - left, (box[3] + 1) * scale - top
    inside = max(0.0, min(x2, width) - max(x1, 0)) * max(0.0, min(y2, height) - max(y1, 0))
    if inside < 0.5 * (x2 - x1) * (y2 - y1):
        return None
    low = max(0, int(np.floor(x1))), max(0, int(np.floor(y1)))
    return *low, min(width, int(np.ceil(x2))) - 1, min(height, int(np.ceil(y2))) - 1


def _covering(height: int, width: int, frame_height: int, frame_width: int) -> tuple[float, tuple[int, int]]:
    """Scale at which a picture covers a frame, and its height and width then."""
    scale = max(frame_height / height, frame_width / width)
    return scale, (max(frame_height, round(height * scale)), max(frame_width, round(width * scale)))
