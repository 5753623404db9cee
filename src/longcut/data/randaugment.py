"""RandAugment: some of fourteen operations at one magnitude, on uint8 by OpenCV and tables of 256 entries.

Cubuk, Zoph, Shlens and Le, "RandAugment: practical automated data augmentation with a reduced search space"
(NeurIPS 2020), with AutoAugment's ranges. Frames that move are filled with mid grey, as in the authors' code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from longcut.data.colours import GREY

Image = NDArray[np.uint8]

_SHARE = 10 / 30
"""The magnitude: how far along its range each operation is."""
_LEVELS = np.arange(256)
_FILL = (128, 128, 128)
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float64) / 13


class Operation(NamedTuple):
    """One operation with its strength, in the units of that operation."""

    name: str
    strength: float

    def apply(self, image: Image) -> None:
        """Change an image `[h, w, 3]` in place."""
        OPERATIONS[self.name](image, self.strength)


def draw_operations(uniforms: NDArray[np.float64], size: int) -> tuple[tuple[Operation, ...], ...]:
    """Operations for each image, drawn with replacement; those that have two directions take either.

    Args:
        uniforms: `[b, 2 n]` in [0, 1), two for each operation.
        size: side of the images, pixels.

    Returns:
        `[b]` tuples of n.
    """
    strengths = _strengths(size)
    names = tuple(OPERATIONS)
    which = (uniforms[:, 0::2] * len(names)).astype(np.int64)
    signs = np.where(uniforms[:, 1::2] < 0.5, -1.0, 1.0)
    rows = zip(which.tolist(), signs.tolist(), strict=True)
    return tuple(
        tuple(Operation(names[k], _signed(names[k], strengths[names[k]], sign)) for k, sign in zip(*row, strict=True))
        for row in rows
    )


def _strengths(size: int) -> dict[str, float]:
    """Distance from no change at the magnitude; pixels, degrees, levels, bits or a share."""
    whole = {"rotate": 30.0, "shear_x": 0.3, "shear_y": 0.3, "translate_x": 150 / 331 * size}
    whole |= {"translate_y": 150 / 331 * size, "brightness": 0.9, "contrast": 0.9, "colour": 0.9, "sharpness": 0.9}
    fixed = {"identity": 0.0, "autocontrast": 0.0, "equalize": 0.0}
    fixed |= {"posterize": float(8 - round(4 * _SHARE)), "solarize": 256 - 256 * _SHARE}
    return {name: value * _SHARE for name, value in whole.items()} | fixed


def _signed(name: str, strength: float, sign: float) -> float:
    if name in ("posterize", "solarize"):
        return strength
    blends = name in ("brightness", "contrast", "colour", "sharpness")
    return 1 + sign * strength if blends else sign * strength


def _identity(image: Image, strength: float) -> None:
    """Nothing; one of the fourteen."""


def _look_up(image: Image, table: NDArray[np.generic]) -> None:
    cv2.LUT(image, np.clip(np.rint(table), 0, 255).astype(np.uint8), dst=image)


def _autocontrast(image: Image, strength: float) -> None:
    """Stretch each channel over the whole range; one of a single level stays."""
    table = np.tile(_LEVELS[:, None].astype(np.float64), 3)
    low, high = image.min(axis=(0, 1)).astype(np.float64), image.max(axis=(0, 1)).astype(np.float64)
    wide = high > low
    table[:, wide] = ((_LEVELS[:, None] - low) * (255 / np.maximum(high - low, 1)))[:, wide]
    _look_up(image, table[None])


def _equalize(image: Image, strength: float) -> None:
    """Flatten each channel's histogram, with PIL's integer arithmetic."""
    table = np.tile(_LEVELS[:, None], 3)
    for channel in range(3):
        counts = cv2.calcHist([image], [channel], None, [256], [0, 256]).ravel().astype(np.int64)
        present = counts[counts > 0]
        step = (present.sum() - present[-1]) // 255
        if step:
            table[:, channel] = (step // 2 + counts.cumsum() - counts) // step
    _look_up(image, table[None])


def _posterize(image: Image, bits: float) -> None:
    _look_up(image, _LEVELS & ~(2 ** (8 - int(bits)) - 1))


def _solarize(image: Image, threshold: float) -> None:
    _look_up(image, np.where(threshold <= _LEVELS, 255 - _LEVELS, _LEVELS))


def _brightness(image: Image, factor: float) -> None:
    _look_up(image, factor * _LEVELS)


def _contrast(image: Image, factor: float) -> None:
    mean = GREY @ cv2.mean(image)[:3]
    _look_up(image, factor * _LEVELS + (1 - factor) * mean)


def _colour(image: Image, factor: float) -> None:
    cv2.transform(image, factor * np.eye(3) + (1 - factor) * np.tile(GREY, (3, 1)), dst=image)


def _sharpness(image: Image, factor: float) -> None:
    """Away from, or towards, a smoothed image; the outermost pixels stay."""
    smooth = cv2.filter2D(image, -1, _SMOOTH)
    inner = np.s_[1:-1, 1:-1]
    if image[inner].size:
        image[inner] = cv2.addWeighted(image[inner], factor, smooth[inner], 1 - factor, 0)


def _warp(image: Image, matrix: list[list[float]]) -> None:
    """Where each pixel comes from, seen from the centre: `[x, y, 1]` times the rows."""
    height, width = image.shape[:2]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    inverse = np.array(matrix, np.float64)
    inverse[:, 2] += centre - inverse[:, :2] @ centre
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    image[:] = cv2.warpAffine(image, inverse, (width, height), flags=flags, borderValue=_FILL)


def _rotate(image: Image, degrees: float) -> None:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    _warp(image, [[cos, -sin, 0], [sin, cos, 0]])


def _shear_x(image: Image, share: float) -> None:
    _warp(image, [[1, share, 0], [0, 1, 0]])


def _shear_y(image: Image, share: float) -> None:
    _warp(image, [[1, 0, 0], [share, 1, 0]])


def _translate_x(image: Image, pixels: float) -> None:
    _warp(image, [[1, 0, pixels], [0, 1, 0]])


def _translate_y(image: Image, pixels: float) -> None:
    _warp(image, [[1, 0, 0], [0, 1, pixels]])


OPERATIONS: dict[str, Callable[[Image, float], None]] = {
    "identity": _identity,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "rotate": _rotate,
    "solarize": _solarize,
    "colour": _colour,
    "posterize": _posterize,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
