"""What an image's parts look like, in a few numbers each: cheap descriptors that know nothing of the classes.

They are made so that a cue's numbers depend on other cues as little as can be had without a trained network. Colours
are means and standard deviations; textures are patterns of what is brighter than what, whatever the contrast. The
object's numbers are the same for an image and its transpose, so which way an outline runs does not count. What a region
still shares with the one beside it, `apart` takes away. `b` counts images, `s` is their side in pixels, `t` the side
without the frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.cues.statistics import (
    LUMA,
    Values,
    Weights,
    colours,
    eroded,
    find_patterns,
    textures,
    thumbnail,
)

PIXEL_CUES = ("border", "background", "colour", "texture")
RING, WHOLE = "ring", "whole image"
"""What the border is compared with, and what all cues are."""
_INNER = "inner ring"
LEAST_SIDE = 16
_BORDER = 16  # the frame is a sixteenth of the side
_PERIPHERY = 0.45  # semi-axes of the ellipse that objects lie in, as a share of the side
_CENTRE = 0.3
_SEAM = 1  # pixels beside an edge that resampling and JPEG mix


class Regions(NamedTuple):
    """Where to look in the image without its frame: 1 there and 0 elsewhere."""

    background: Weights
    """`[b or 1, t, t]`"""
    centre: Weights
    """`[b or 1, t, t]` the object, or the middle of the image where there is no mask."""


def pixel_features(images: NDArray[np.uint8], masks: NDArray[np.uint8] | None = None) -> dict[str, Values]:
    """Descriptors of each cue that lies in the pixels.

    Args:
        images: `[b, s, s, 3]` RGB, of at least 16 pixels.
        masks: `[b, s, s]`, 255 on the object; without them the background is the four corners outside an ellipse that
            reaches nearly to the edge, and the object a smaller ellipse in the middle.

    Returns:
        `[b, d]` for each of `PIXEL_CUES`; for `RING`, which lies just inside the frame, and for the ring inside that;
        and for `WHOLE`, of the cues and the image at 8 by 8 pixels. NaN where an image has too little of a region.
    """
    side = images.shape[1]
    pixels = images.astype(np.float32) / np.float32(255)
    frame = frame_width(side)
    cut = slice(frame + _SEAM, -frame - _SEAM)
    inner = np.ascontiguousarray(pixels[:, cut, cut])
    regions = find_regions(side, None if masks is None else masks[:, cut, cut])
    luma = inner @ LUMA
    patterns = find_patterns(luma)
    outer, *rings = (_frame(pixels, frame, inset) for inset in range(3))
    parts = [colours(inner, part) for part in _halves(regions.background)]
    found = {
        "border": outer,
        "background": np.concatenate([*parts, textures(luma, patterns, regions.background)], axis=1),
        "colour": colours(inner, regions.centre),
        "texture": textures(luma, patterns, regions.centre),
    }
    whole = np.concatenate([*found.values(), thumbnail(images)], axis=1)
    return {**found, RING: rings[0], _INNER: rings[1], WHOLE: whole}


def cue_numbers(features: Mapping[str, Values], measured: NDArray[np.bool_], *, masked: bool) -> dict[str, Values]:
    """Numbers of each cue, of `RING` and of `WHOLE`, without what it has from the region beside it.

    Beside the border lies the ring inside it, and beside that the next; without masks, the background lies beside the
    object's colour and texture.

    Args:
        features: as `pixel_features` has them, `[s, d]` of all images.
        measured: `[s]` images that say how much the regions have in common.
        masked: whether there were masks.
    """
    filled = {name: _filled(values, measured) for name, values in features.items()}
    beside = {"border": RING, RING: _INNER} | ({} if masked else {"colour": "background", "texture": "background"})
    numbers = {name: filled[name] for name in (*PIXEL_CUES, RING, WHOLE)}
    return numbers | {cue: apart(filled[cue], filled[other], measured) for cue, other in beside.items()}


def apart(values: Values, beside: Values, measured: NDArray[np.bool_]) -> Values:
    """What is left of numbers when what others tell of them linearly is taken away.

    Ridge regression on the standardised others, by no more than keeps it solvable: what it leaves would be told by.

    Args:
        values: `[s, d]`.
        beside: `[s, e]` the others.
        measured: `[s]` images to fit by.
    """
    mean, spread = beside[measured].mean(axis=0), beside[measured].std(axis=0)
    others = ((beside - mean) / np.where(spread > 1e-6, spread, np.inf)).astype(np.float64)
    fitted, width = others[measured], others.shape[1]
    centred = values[measured] - values[measured].mean(axis=0)
    slopes = np.linalg.solve(fitted.T @ fitted + np.eye(width), fitted.T @ centred)
    return np.asarray(values - others @ slopes, np.float32)


def frame_width(side: int) -> int:
    """Pixels of the outermost frame."""
    return max(1, side // _BORDER)


def find_regions(side: int, masks: NDArray[np.uint8] | None) -> Regions:
    """Background and object; what lies between the two, where they mix, belongs to neither.

    Args:
        side: of the images with their frame.
        masks: `[b, t, t]` without it.
    """
    if masks is None:
        half = side / 2 - frame_width(side) - _SEAM
        place = np.arange(0.5 - half, half) / side
        radius = np.hypot(place[:, None], place[None, :])[None]
        return Regions((radius > _PERIPHERY).astype(np.float32), (radius < _CENTRE).astype(np.float32))
    return Regions(eroded((masks < 3).astype(np.float32), _SEAM), eroded((masks > 252).astype(np.float32), _SEAM))


def _frame(pixels: Values, width: int, inset: int) -> Values:
    """`[b, 16]` of the frame that lies so many widths from the edge: mean colour and log deviation, at each side."""
    turned = pixels.swapaxes(1, 2)
    sides = pixels, pixels[:, ::-1], turned, turned[:, ::-1]
    rows, columns = slice(inset * width, (inset + 1) * width), slice((inset + 1) * width, -(inset + 1) * width)
    return np.concatenate([_strip(side[:, rows, columns]) for side in sides], axis=1)


def _strip(pixels: Values) -> Values:
    spread = np.log((pixels @ LUMA).std(axis=(1, 2)) + 1 / 255)
    return np.concatenate([pixels.mean(axis=(1, 2)), spread[:, None]], axis=1)


def _halves(weights: Weights) -> tuple[Weights, Weights]:
    """A region's upper and its lower part: sky and ground."""
    upper, lower = weights.copy(), weights.copy()
    upper[:, weights.shape[1] // 2 :] = 0
    lower[:, : weights.shape[1] // 2] = 0
    return upper, lower


def _filled(values: Values, measured: NDArray[np.bool_]) -> Values:
    """Numbers with the mean where an image has none: of those that are measured, or 0 where none of them has one."""
    known = ~np.isnan(values[measured])
    means = np.where(known, values[measured], 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(np.isnan(values), means.astype(np.float32), values)
