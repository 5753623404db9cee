"""Which part of an image is seen: boxes of a whole batch drawn at once, and cut out one by one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from longcut.data.shifts import cut

_TRIES = 10
CROP_UNIFORMS = 2 * _TRIES + 2
"""How many uniforms a box is drawn from."""


def draw_crops(
    shapes: NDArray[np.int64],
    uniforms: NDArray[np.float64],
    *,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> NDArray[np.int64]:
    """torchvision's rule: the first of ten tries that fits, else the largest central crop of an allowed aspect.

    Args:
        shapes: `[b, 2]` height and width of the images.
        uniforms: `[b, CROP_UNIFORMS]` in [0, 1).
        scale: range of the crop's share of the image's area.
        ratio: range of the crop's aspect, drawn uniformly in its logarithm.

    Returns:
        `[b, 4]` top, left, height and width in pixels.
    """
    heights, widths = shapes[:, :1], shapes[:, 1:]
    low, high = scale
    area = heights * widths * (low + uniforms[:, :_TRIES] * (high - low))
    log_low, log_high = np.log(ratio)
    aspect = np.exp(log_low + uniforms[:, _TRIES : 2 * _TRIES] * (log_high - log_low))
    tried_w, tried_h = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (tried_w >= 1) & (tried_h >= 1) & (tried_w <= widths) & (tried_h <= heights)
    rows, first = np.arange(len(shapes)), fits.argmax(axis=1)

    own = (widths / heights)[:, 0].clip(*ratio)
    fallback_w = np.minimum(widths[:, 0], np.rint(heights[:, 0] * own))
    fallback_h = np.minimum(heights[:, 0], np.rint(widths[:, 0] / own))
    found = fits.any(axis=1)
    w = np.where(found, tried_w[rows, first], fallback_w).astype(np.int64)
    h = np.where(found, tried_h[rows, first], fallback_h).astype(np.int64)
    free_h, free_w = heights[:, 0] - h, widths[:, 0] - w
    top = np.where(found, uniforms[:, -2] * (free_h + 1), free_h // 2).astype(np.int64)
    left = np.where(found, uniforms[:, -1] * (free_w + 1), free_w // 2).astype(np.int64)
    return np.stack([top, left, h, w], axis=1)


def scale_crops(crops: NDArray[np.int64], shapes: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same share of other images: boxes `[b, 4]` in images of `shapes [b, 2]`, as boxes in images of `others`."""
    ratio = others / shapes
    first = np.minimum(np.rint(crops[:, :2] * ratio), others - 1)
    last = np.rint((crops[:, :2] + crops[:, 2:]) * ratio)
    return np.concatenate([first, np.maximum(last - first, 1)], axis=1).astype(np.int64)


def crop(array: NDArray[np.uint8], box: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The part of an image or mask in a box `[4]`; a view unless it reaches beyond the frame."""
    top, left, height, width = box.tolist()
    if top < 0 or left < 0 or top + height > array.shape[0] or left + width > array.shape[1]:
        return cut(array, top, left, height, width)
    return array[top : top + height, left : left + width]
