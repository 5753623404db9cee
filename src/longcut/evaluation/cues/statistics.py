"""Colours and textures of a region, as plain numbers. `b` counts images, `t` is their side in pixels."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.cues.local_patterns import local_patterns, pattern_shares

Values = NDArray[np.floating]
Weights = NDArray[np.floating]
"""`[b or 1, t, t]` how much each pixel counts."""
Patterns = list[NDArray[np.uint8]]
"""`[b, t, t]` at each distance."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_DISTANCES = (1, 2)
_SIGMAS = (1.0, 2.0, 4.0)
_THUMBNAIL = 8
_LEAST = 8.0  # pixels that a statistic rests on
_CHANNELS = 128  # that OpenCV blurs at once


def colours(pixels: Values, weights: Weights) -> Values:
    """`[b, 8]` mean and standard deviation of red, green, blue and saturation in a region; NaN where it is too small.

    Args:
        pixels: `[b, t, t, 3]` in [0, 1].
        weights: `[b or 1, t, t]`.
    """
    saturation = pixels.max(axis=3, keepdims=True) - pixels.min(axis=3, keepdims=True)
    channels = np.concatenate([pixels, saturation], axis=3)
    mean = _means(channels, weights)
    square = _means((channels - mean[:, None, None]) ** 2, weights)
    return np.concatenate([mean, np.sqrt(square)], axis=1)


def find_patterns(luma: Values) -> Patterns:
    """Local patterns of `[b, t, t]` in [0, 1], at distances of 1 and 2 pixels."""
    return [local_patterns(luma, distance) for distance in _DISTANCES]


def textures(luma: Values, patterns: Patterns, weights: Weights) -> Values:
    """`[b, 22]` shares of the local patterns in a region, and ratios of its bands of frequency; NaN where it is empty.

    Args:
        luma: `[b, t, t]` in [0, 1].
        patterns: of it.
        weights: `[b or 1, t, t]`.
    """
    weights = np.broadcast_to(weights, luma.shape)
    shares = [
        pattern_shares(each, eroded(weights, distance)) for each, distance in zip(patterns, _DISTANCES, strict=True)
    ]
    return np.concatenate([*shares, _bands(luma, weights)], axis=1)


def _bands(luma: Values, weights: Weights) -> Values:
    """`[b, 2]` log ratios of the variances of three bands an octave wide, each seen through the region alone."""
    amount = [np.maximum(_gauss(weights, sigma), 1e-6) for sigma in _SIGMAS]
    blurred = [_gauss(luma * weights, sigma) / each for sigma, each in zip(_SIGMAS, amount, strict=True)]
    levels = [luma, *blurred]
    bands = np.stack([(a - b) ** 2 for a, b in pairwise(levels)], axis=3)
    logs = np.log(_means(bands, weights) + 1e-6)
    return np.asarray(logs[:, :-1] - logs[:, 1:], np.float32)


def _gauss(layers: Values, sigma: float) -> Values:
    """`[b, t, t]` blurred, as the channels of few pictures."""
    parts = []
    for at in range(0, len(layers), _CHANNELS):
        picture = np.ascontiguousarray(layers[at : at + _CHANNELS].transpose(1, 2, 0))
        blurred = cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        parts.append(blurred.reshape(picture.shape).transpose(2, 0, 1))
    return np.asarray(np.concatenate(parts), np.float32)


def eroded(weights: Weights, distance: int) -> Weights:
    """A region `[b, t, t]` without what lies within a distance of its edge; the image's own edge is none."""
    size = weights.shape[1]
    for axis in (1, 2):
        pad = [(0, 0), (distance, distance) if axis == 1 else (0, 0), (distance, distance) if axis == 2 else (0, 0)]
        padded = np.pad(weights, pad, mode="edge")
        weights = np.minimum.reduce([padded.take(range(at, at + size), axis) for at in range(2 * distance + 1)])
    return weights


def _means(values: Values, weights: Weights) -> Values:
    """`[b, c]` means over a region; NaN where it is too small."""
    count, channels = len(values), values.shape[3]
    flat = np.broadcast_to(weights, values.shape[:3]).reshape(count, 1, -1)
    sums = (flat @ values.reshape(count, -1, channels))[:, 0]
    total = flat.sum(axis=2)
    return np.asarray(np.where(total >= _LEAST, sums / np.maximum(total, 1), np.nan), np.float32)


def thumbnail(images: NDArray[np.uint8]) -> Values:
    """`[b, 192]` the image at 8 by 8 pixels."""
    size = _THUMBNAIL, _THUMBNAIL
    small = np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images])
    return small.reshape(len(images), -1).astype(np.float32) / 255
