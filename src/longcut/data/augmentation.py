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
from longcut.data.colours import COLOUR_UNIFORMS, GREY, draw_colours
from longcut.data.crops import CROP_UNIFORMS, draw_crops
from longcut.data.randaugment import Operation, draw_operations
from longcut.data.resizing import resize
from longcut.data.shifts import draw_shifts, shift, shifted_squares

_FLIP = CROP_UNIFORMS
"""Which uniform decides on the flip: the first after the crop's."""
_FIXED = _FLIP + COLOUR_UNIFORMS + 4
"""Uniforms that every image gets; RandAugment's follow them."""
_SIGMA = (0.1, 2.0)
_NOMINAL = 224
_SOLAR = np.where(np.arange(256) < 128, np.arange(256), 255 - np.arange(256)).astype(np.uint8)


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
        crops = draw_crops(shapes, uniforms[:, :_FLIP], scale=augmentation.scale, ratio=augmentation.ratio)
    flip, *of_colours, blur, sigma, solarize = uniforms[:, _FLIP:_FIXED].T
    coloured, colours = draw_colours(
        np.stack(of_colours, axis=1),
        jitter=augmentation.jitter,
        jitter_probability=augmentation.jitter_probability,
        grey=augmentation.grey,
    )
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
