"""Foreground masks by GrabCut from a box, as the Background Challenge makes them.

Rother, Kolmogorov and Blake, "GrabCut" (SIGGRAPH 2004); the recipe is that of Xiao et al., "Noise or Signal" (ICLR
2021): five iterations from the object's box, at least 10 % of the box in the mask, up to ten more tries with other
random numbers, boxes over 90 % of the image set aside. The challenge measures the box on a crop,
here it is the whole image.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.tiles import LARGEST_SHARE, Box, box_area, clip_box

Verdict = Literal["ok", "empty", "full", "too_small", "box_too_large", "bad_box", "unreadable"]

LEAST_SHARE = 0.1
"""Share of the box that the mask must fill."""
_INSET = 0.1
_RETRIES = 10
_SMALL = 192


def grabcut_mask(
    image: NDArray[np.uint8], box: ArrayLike | None = None, *, seed: int, iterations: int = 5, work_size: int = 256
) -> tuple[NDArray[np.uint8] | None, Verdict]:
    """Cut the foreground of an image out of its box.

    The image is worked on with a shorter side of `work_size` where it is larger and 192 pixels (cubic) where that is
    smaller; between the two as it is. The mask comes back at the image's own size, and where sizes differ its edges are
    soft: the share of each pixel that lies inside (scaled down) or a ramp of one work pixel (scaled up).

    Args:
        image: `[h, w, 3]` RGB.
        box: `[4]` x1, y1, x2, y2 with inclusive corners; what lies outside the image is cut off. None takes a centred
            rectangle, 10 % of the sides away from each edge.
        seed: of the random start; it should differ from image to image. Each try draws another number from it.
        iterations: of GrabCut.
        work_size: shorter side in pixels that larger images are scaled down to.

    Returns:
        The mask `[h, w]`, 0 to 255, or None where no try gave a usable one; and the verdict: "ok", "bad_box" (no area,
        or outside the image), "box_too_large" (over 90 % of the image), "empty", "too_small" (under 10 % of the box).
    """
    height, width = image.shape[:2]
    inside = _centred(height, width) if box is None else clip_box(box, height, width)
    if inside is None:
        return None, "bad_box"
    if box_area(inside) > LARGEST_SHARE * height * width:
        return None, "box_too_large"
    if (image == image[0, 0]).all():
        return None, "empty"  # one colour: there is nothing to find, and GrabCut would take minutes over it
    work, rectangle = _at_work_size(image, inside, work_size)
    share = 0.0
    for attempt in range(_RETRIES + 1):
        number = int(keyed_uniforms(seed, attempt, [0], Stream.BUILDER, 1)[0, 0] * 2**31)
        mask = _cut(work, rectangle, number, iterations)
        if mask is None:
            continue
        mask = _at_image_size(mask, height, width)
        share = max(share, mask.sum(dtype=np.int64) / 255 / box_area(inside))
        if share >= LEAST_SHARE:
            return mask, "ok"
    return None, "too_small" if share else "empty"


def _centred(height: int, width: int) -> Box | None:
    dx, dy = round(width * _INSET), round(height * _INSET)
    return clip_box((dx, dy, width - 1 - dx, height - 1 - dy), height, width)


def _at_work_size(image: NDArray[np.uint8], box: Box, work_size: int) -> tuple[NDArray[np.uint8], Box]:
    """The image scaled to work on, and its box as x, y, width, height."""
    height, width = image.shape[:2]
    side = min(height, width)
    scale = min(work_size, max(side, _SMALL)) / side
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if scale != 1:
        image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)  # type: ignore[assignment]
    x1, y1 = round(box[0] * scale), round(box[1] * scale)
    x2, y2 = min(size[0], round((box[2] + 1) * scale)), min(size[1], round((box[3] + 1) * scale))
    return image, (x1, y1, x2 - x1, y2 - y1)


def _at_image_size(mask: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """A mask of 0 and 1 as one of 0 to 255."""
    if mask.shape == (height, width):
        return mask * np.uint8(255)
    way = cv2.INTER_AREA if mask.shape[0] > height else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(mask * np.uint8(255), (width, height), interpolation=way), np.uint8)


def _cut(image: NDArray[np.uint8], rectangle: Box, number: int, iterations: int) -> NDArray[np.uint8] | None:
    """A mask of 0 and 1, or None where nothing was left of the foreground."""
    cv2.setRNGSeed(number)
    labels = np.zeros(image.shape[:2], np.uint8)
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    for iteration in range(iterations):  # one at a time: an empty foreground stays empty
        mode = cv2.GC_EVAL if iteration else cv2.GC_INIT_WITH_RECT
        cv2.grabCut(image, labels, rectangle, background, foreground, 1, mode)
        mask = labels & np.uint8(1)  # sure and probable foreground are odd
        if not mask.any():
            return None
    return mask
