"""Backgrounds that an audit lends: images without their foreground, which shows in no part of them.

As in the Background Challenge (`longcut.data.tiles`), a box around the foreground is filled with the widest margin
beside it. The outermost frame, where `border` looks, is kept apart: what lies in it neither fills the box nor counts as
margin, so that a mark in it is nowhere else.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from longcut.data.tiles import HALF, LARGEST_SHARE, Box, box_area, box_of_mask, tile_background
from longcut.evaluation.audit.variants.borders import frame_width


def has_foreground(mask: NDArray[np.uint8]) -> bool:
    """Whether a mask `[h, w]` shows any."""
    return bool((mask >= HALF).any())


def leaves_margin(mask: NDArray[np.uint8]) -> bool:
    """Whether a mask `[h, w]` leaves enough beside its foreground, within the frame, to fill that with."""
    return _margin(mask, _inner_box(mask))


def without_foreground(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image's background.

    Args:
        image: `[h, w, 3]`.
        mask: `[h, w]`, foreground from 128 on.

    Returns:
        `[h, w, 3]`: the foreground's box filled, and what of the foreground reaches into the frame in the colours that
        were filled in beside it. Where `leaves_margin` says no, the image as it is.
    """
    box = _inner_box(mask)
    if not _margin(mask, box):
        return image
    edge = frame_width(*mask.shape)
    inner = slice(edge, -edge)
    filled = image.copy()
    if box is not None:
        filled[inner, inner] = tile_background(image[inner, inner], box)
    in_frame = mask >= HALF
    in_frame[inner, inner] = False
    if in_frame.any():
        widened = cv2.copyMakeBorder(filled[inner, inner], edge, edge, edge, edge, cv2.BORDER_REPLICATE)
        filled[in_frame] = np.asarray(widened)[in_frame]
    return filled


def _inner_box(mask: NDArray[np.uint8]) -> Box | None:
    """The foreground's box within the frame, counted from there."""
    edge = frame_width(*mask.shape)
    return box_of_mask(mask[edge:-edge, edge:-edge])


def _margin(mask: NDArray[np.uint8], box: Box | None) -> bool:
    height, width = (max(0, side - 2 * frame_width(*mask.shape)) for side in mask.shape)
    return height * width > 0 and (box is None or box_area(box) <= LARGEST_SHARE * height * width)
