"""Augmentation as two operations with a draw for each sample: one crop-and-flip, one colour matrix.

Where they are asked for, RandAugment's operations come between the two, blur and solarization after them.
The parameters of a whole batch are drawn at once, keyed by (seed, epoch, index); OpenCV applies them to uint8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.randaugment import GREY, Operation, draw_operations
from longcut.data.shifts import cut, draw_shifts, shift, shifted_squares

_TRIES = 10
_FLIP = 2 * _TRIES + 2
"""Which uniform decides on the flip."""
_FIXED = 2 * _TRIES + 12
"""Uniforms that every image gets; RandAugment's follow them."""
_SIGMA = (0.1, 2.0)
_NOMINAL = 224
_SOLAR = np.where(np.arange(256) < 128, np.arange(256), 255 - np.arange(256)).astype(np.uint8)
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


@dataclass(frozen=True)
class Augmentation:
    """What is drawn, with torchvision's `RandomResizedCrop` and `ColorJitter` parameters.

    Attributes:
        size: side of the result, pixels.
        scale: range of the crop's share of the image's area.
        ratio: range of the crop's aspect, drawn uniformly in its logarithm.
        flip: probability of a horizontal flip.
        jitter: strengths of brightness, contrast, saturation and hue; four zeros leave the colours alone.
        jitter_probability: how likely an image's colours change at all.
        grey: probability of an image without colour.
        blur: probability of a Gaussian blur, whose deviation is drawn from 0.1 to 2 pixels of a result of 224 and
            scales with its size (SimCLR's, and MoCo-v2's).
        solarize: probability that what is brighter than the middle is inverted (BYOL's).
        randaugment: number of RandAugment's operations, of magnitude 10 out of 30; 0 leaves them out.
        pad: instead of a random part of an image its central square, moved by up to so many pixels of the result in
            each direction, black where there is no image; 0 leaves it out. Of an image of the result's size that is
            torchvision's `RandomCrop(size, padding=pad)`.
    """

    size: int
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    jitter_probability: float = 1.0
    grey: float = 0.0
    blur: float = 0.0
    solarize: float = 0.0
    randaugment: int = 0
    pad: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale is a range within 0 to 1, not {self.scale}")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"ratio is a range of positive numbers, not {self.ratio}")
        for name in ("flip", "jitter_probability", "grey", "blur", "solarize"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, not {getattr(self, name)}")
        if min(self.jitter) < 0 or self.jitter[3] > 0.5:
            raise ValueError(f"jitter is four strengths of at least 0, the last at most 0.5, not {self.jitter}")
        if self.randaugment < 0:
            raise ValueError(f"randaugment is a number of operations of at least 0, not {self.randaugment}")
        if not 0 <= self.pad < self.size:
            raise ValueError(f"pad is a number of pixels of at least 0 and below {self.size}, not {self.pad}")
        if self.pad and (self.scale[0] < 1 or self.ratio != (1.0, 1.0)):
            raise ValueError(f"pad = {self.pad} moves whole images: set scale and ratio to (1, 1), or pad to 0")

    @property
    def only_moves(self) -> bool:
        """Whether a square image of the result's size is at most shifted and flipped."""
        # Of a square, no aspect but its own leaves the whole area within the frame, and the fallback is all of it.
        whole = self.scale[0] == 1 and self.ratio[0] <= 1 <= self.ratio[1]
        jitter = any(self.jitter) and self.jitter_probability > 0
        return whole and not (jitter or self.grey or self.blur or self.solarize or self.randaugment)

    @property
    def is_identity(self) -> bool:
        """Whether a square image of the result's size comes back as it is, whatever is drawn."""
        return self.only_moves and not self.flip and not self.pad


@dataclass(frozen=True)
class Draws:
    """Parameters for a batch: `crops [b, 4]` as top, left, height, width in pixels, and what follows them."""

    crops: NDArray[np.int64]
    flips: NDArray[np.bool_]
    colours: NDArray[np.float64] | None
    """`[b, 3, 4]` from `colour_matrices`; None where no image's colours change."""
    coloured: NDArray[np.bool_]
    """`[b]` whose colours change."""
    sigmas: NDArray[np.float64]
    """`[b]` deviation of the blur in pixels of the result, 0 where there is none."""
    solarized: NDArray[np.bool_]
    operations: tuple[tuple[Operation, ...], ...]
    """`[b]` RandAugment's for each image."""

    def finish(self, row: int, part: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        """Do to an image's crop what was drawn for it; `out [size, size, 3]` holds the result."""
        matrix = self.colours[row] if self.colours is not None and self.coloured[row] else None
        finish(part, len(out), bool(self.flips[row]), matrix, operations=self.operations[row], out=out)
        if self.sigmas[row]:
            cv2.GaussianBlur(out, (0, 0), self.sigmas[row], dst=out)
        if self.solarized[row]:
            cv2.LUT(out, _SOLAR, dst=out)


def draw(
    augmentation: Augmentation,
    shapes: NDArray[np.int64],
    *,
    seed: int,
    epoch: int,
    indices: NDArray[np.int64],
    stream: Stream,
    view: int = 0,
) -> Draws:
    """Draw for each image of a batch.

    Args:
        augmentation: the ranges to draw from.
        shapes: `[b, 2]` height and width of the images.
        seed: the run's seed.
        epoch: the epoch.
        indices: `[b]` positions in the dataset.
        stream: which of an image's several draws this is.
        view: which one of this stream, from 0.
    """
    count = _FIXED + 2 * augmentation.randaugment
    uniforms = keyed_uniforms(seed, epoch, indices, stream, (view + 1) * count)[:, view * count :]
    if augmentation.pad:
        shifts = draw_shifts(augmentation.pad, seed=seed, epoch=epoch, indices=indices, stream=stream, view=view)
        crops = shifted_squares(shapes, shifts, augmentation.size)
    else:
        crops = _draw_crops(augmentation, shapes, uniforms[:, :_FLIP])
    flip, *jitter, jittered, grey, blur, sigma, solarize = uniforms[:, _FLIP:_FIXED].T
    coloured, colours = _draw_colours(augmentation, np.stack(jitter, axis=1), jittered, grey)
    sigmas = (_SIGMA[0] + sigma * (_SIGMA[1] - _SIGMA[0])) * augmentation.size / _NOMINAL
    return Draws(
        crops,
        flip < augmentation.flip,
        colours,
        coloured,
        np.where(blur < augmentation.blur, sigmas, 0.0),
        solarize < augmentation.solarize,
        draw_operations(uniforms[:, _FIXED:], augmentation.size),
    )


def move(
    images: NDArray[np.uint8],
    augmentation: Augmentation,
    *,
    seed: int,
    epoch: int,
    indices: NDArray[np.int64],
    stream: Stream,
    view: int = 0,
) -> NDArray[np.uint8]:
    """Augment images where `augmentation.only_moves`, all at once: what comes of `draw` and `Draws.finish` too.

    Args:
        images: `[b, size, size, 3]`; they may be changed.
        augmentation: whether and how far they move.
        seed: as `draw` takes it, like all that follow.
        epoch: the epoch.
        indices: `[b]` positions in the dataset.
        stream: which of an image's several draws this is.
        view: which one of this stream, from 0.
    """
    if augmentation.pad:
        shifts = draw_shifts(augmentation.pad, seed=seed, epoch=epoch, indices=indices, stream=stream, view=view)
        images = shift(images, shifts, augmentation.pad)
    if augmentation.flip:
        column = view * _FIXED + _FLIP
        rows = np.flatnonzero(keyed_uniforms(seed, epoch, indices, stream, column + 1)[:, column] < augmentation.flip)
        if len(rows):
            # Below each other they are one tall image, which OpenCV flips several times as fast as numpy would.
            tall = images[rows].reshape(-1, *images.shape[2:])
            images[rows] = cv2.flip(tall, 1).reshape(-1, *images.shape[1:])
    return images


def _draw_colours(
    augmentation: Augmentation,
    jitter: NDArray[np.float64],
    jittered: NDArray[np.float64],
    grey: NDArray[np.float64],
) -> tuple[NDArray[np.bool_], NDArray[np.float64] | None]:
    """Whose colours change, and the matrices, from `jitter [b, 4]` and two uniforms for each image."""
    strengths = np.array(augmentation.jitter)
    changed = (jittered < augmentation.jitter_probability) & strengths.any()
    greyed = grey < augmentation.grey
    if not (changed.any() or greyed.any()):
        return greyed, None
    low, high = np.append(np.maximum(0, 1 - strengths[:3]), -strengths[3]), np.append(1 + strengths[:3], strengths[3])
    matrices = colour_matrices(low + jitter * (high - low))
    matrices[~changed] = np.eye(3, 4)
    matrices[greyed] = GREY @ matrices[greyed][:, None]  # every channel becomes the luma; the share of grey stays
    return changed | greyed, matrices


def _draw_crops(
    augmentation: Augmentation, shapes: NDArray[np.int64], uniforms: NDArray[np.float64]
) -> NDArray[np.int64]:
    """torchvision's rule: the first of ten tries that fits, else the largest central crop of an allowed aspect."""
    heights, widths = shapes[:, :1], shapes[:, 1:]
    low, high = augmentation.scale
    area = heights * widths * (low + uniforms[:, :_TRIES] * (high - low))
    log_low, log_high = np.log(augmentation.ratio)
    aspect = np.exp(log_low + uniforms[:, _TRIES : 2 * _TRIES] * (log_high - log_low))
    tried_w, tried_h = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (tried_w >= 1) & (tried_h >= 1) & (tried_w <= widths) & (tried_h <= heights)
    rows, first = np.arange(len(shapes)), fits.argmax(axis=1)

    own = (widths / heights)[:, 0].clip(*augmentation.ratio)
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
    """The part of an image or mask that a row of `Draws.crops` names; a view unless it reaches beyond the frame."""
    top, left, height, width = box.tolist()
    if top < 0 or left < 0 or top + height > array.shape[0] or left + width > array.shape[1]:
        return cut(array, top, left, height, width)
    return array[top : top + height, left : left + width]


def colour_matrices(colours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Brightness, contrast, saturation and hue as one affine map of RGB, applied in this order.

    torchvision clips after each of them and draws their order; here the one clip is at the end. Hue turns the chroma
    plane of YIQ, which keeps luma; torchvision turns HSV's.

    Args:
        colours: `[b, 4]` factors of brightness, contrast and saturation, and the hue's turn in whole turns.

    Returns:
        `[b, 3, 4]`; the last column is to be multiplied by the image's mean grey, with which contrast blends.
    """
    brightness, contrast, saturation, turn = colours.T[:, :, None, None]
    saturate = saturation * np.eye(3) + (1 - saturation) * np.outer(np.ones(3), GREY)
    cos, sin = np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)
    in_phase, quadrature = np.diag([0.0, 1.0, 1.0]), np.array([[0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
    rotate = _FROM_YIQ @ (np.diag([1.0, 0, 0]) + cos * in_phase + sin * quadrature) @ _TO_YIQ
    # Saturation and hue leave a grey as it is, so contrast's share of grey passes through them.
    grey = np.broadcast_to((1 - contrast) * brightness, (len(colours), 3, 1))
    return np.concatenate([rotate @ saturate * (brightness * contrast), grey], axis=2)


def finish(
    part: NDArray[np.uint8],
    size: int,
    flip: bool,
    matrix: NDArray[np.float64] | None,
    *,
    operations: Sequence[Operation] = (),
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Resize a crop `[h, w, 3]` to `[size, size, 3]`, flip it and apply its operations and colour matrix, if any.

    Args:
        part: the crop; stays as it is.
        size: side of the result, pixels.
        flip: whether left and right change places.
        matrix: `[3, 4]` from `colour_matrices`, or None.
        operations: RandAugment's, before the matrix.
        out: `[size, size, 3]` to write into; a new array where None.
    """
    out = np.empty((size, size, 3), np.uint8) if out is None else out
    resize(part, size, size, area_beyond=2.0, out=out)
    if flip:
        cv2.flip(out, 1, dst=out)
    for operation in operations:
        operation.apply(out)
    if matrix is not None:
        matrix = matrix.copy()
        matrix[:, 3] *= GREY @ cv2.mean(out)[:3]
        cv2.transform(out, matrix, dst=out)
    return out


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
