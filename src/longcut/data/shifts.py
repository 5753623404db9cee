"""Random shifts by whole pixels, what lies beyond the frame being black: "pad by 4, then crop at random" of CIFAR."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from longcut.core.seeding import Stream, keyed_uniforms

_STREAMS = 16  # room for every stream, so that images, views and composites are shifted independently


def draw_shifts(
    pad: int, *, seed: int, epoch: int, indices: NDArray[np.int64], stream: Stream, view: int = 0
) -> NDArray[np.int64]:
    """How far the frame moves down and right, each drawn uniformly from `-pad` to `pad`.

    Args:
        pad: pixels that are added at each side.
        seed: the run's seed.
        epoch: the epoch.
        indices: `[b]` positions in the dataset.
        stream: which of an image's several draws this is.
        view: which one of this stream, from 0.

    Returns:
        `[b, 2]`.
    """
    column = 2 * (_STREAMS * view + int(stream))
    uniforms = keyed_uniforms(seed, epoch, indices, Stream.SHIFT, column + 2)[:, column:]
    return (uniforms * (2 * pad + 1)).astype(np.int64) - pad


def shifted_squares(shapes: NDArray[np.int64], shifts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """The central squares of images, shifted by pixels of a result of `size`.

    Args:
        shapes: `[b, 2]` height and width of the images.
        shifts: `[b, 2]` down and right.
        size: side of the result.

    Returns:
        `[b, 4]` top, left, height and width, which may reach beyond the frame.
    """
    sides = shapes.min(axis=1, keepdims=True)
    corners = (shapes - sides) // 2 + np.rint(shifts * sides / size).astype(np.int64)
    return np.concatenate([corners, sides, sides], axis=1)


def shift(images: NDArray[np.uint8], shifts: NDArray[np.int64], pad: int) -> NDArray[np.uint8]:
    """Images `[b, h, w, 3]` with their frames moved by `shifts [b, 2]` of at most `pad` pixels, all at once."""
    count, height, width, channels = images.shape
    padded = np.zeros((count, height + 2 * pad, width + 2 * pad, channels), np.uint8)
    padded[:, pad : pad + height, pad : pad + width] = images
    # Windows of rows of bytes, so that each row is copied as a whole.
    rows = padded.reshape(count, height + 2 * pad, -1)
    windows = np.lib.stride_tricks.sliding_window_view(rows, (height, width * channels), axis=(1, 2))
    chosen = windows[np.arange(count), shifts[:, 0] + pad, channels * (shifts[:, 1] + pad)]
    return chosen.reshape(images.shape)


def cut(array: NDArray[np.uint8], top: int, left: int, height: int, width: int) -> NDArray[np.uint8]:
    """A part of an image or mask `[h, w, ...]` that may reach beyond it, with zeros there."""
    out = np.zeros((height, width, *array.shape[2:]), np.uint8)
    rows, columns = slice(max(top, 0), max(top + height, 0)), slice(max(left, 0), max(left + width, 0))
    part = array[rows, columns]
    down, right = max(-top, 0), max(-left, 0)
    out[down : down + part.shape[0], right : right + part.shape[1]] = part
    return out
