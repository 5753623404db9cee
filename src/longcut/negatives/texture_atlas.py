"""What the kernels of texture synthesis work on: canvas, examples, offsets and tables as flat arrays.

Canvas and examples have margins, so that a neighbour is an addition and needs no test for borders.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

REACH = 64
"""Neighbours further off than this are looked for in the list of resolved pixels."""
NUM_LEVELS = 5
WEIGHT_STEPS = 64
WHITE = 255 * (1 + (1 << 10) + (1 << 20))
"""The word of white; a colour is three fields of ten bits, red lowest."""
OUTSIDE = 767 * (1 + (1 << 10) + (1 << 20))
"""A word for what is beside an example: its differences to any colour are from 512 to 767."""
_NEVER = 2**31 - 1
_LARGEST_MARGIN = 192
_COST, _WEIGHT = 1 << 16, 1 << 10
_FIELDS = np.array([1, 1 << 10, 1 << 20], np.uint32)


class Canvas(NamedTuple):
    """The picture that is made: flat arrays with margins of the offsets' reach."""

    resolved: NDArray[np.uint8]
    """1 where a pixel has its colour."""
    source: NDArray[np.int32]
    """Place in the atlas that each resolved pixel was copied from."""
    negative: NDArray[np.uint32]
    """255 minus each channel, packed."""
    guide: NDArray[np.uint8]
    """Luminance to follow."""
    inside: NDArray[np.bool_]
    """Where the picture is, without the margins."""
    stride: int


class Atlas(NamedTuple):
    """All examples in one flat array, with margins around each."""

    colours: NDArray[np.uint32]
    """`[levels, places]`, coarsest first; `OUTSIDE` in the margins."""
    guide: NDArray[np.uint8]
    """`[places]` luminance, matched to the canvas's guide."""
    tops: NDArray[np.int64]
    """Place of each example's first pixel."""
    heights: NDArray[np.int64]
    widths: NDArray[np.int64]
    stride: int
    down: int
    """Height of the margins: neighbours further off say nothing."""
    right: int
    """Width of the margins."""


class Offsets(NamedTuple):
    """Offsets to neighbours, the nearest first; a pixel itself is not among them."""

    canvas: NDArray[np.int32]
    atlas: NDArray[np.int32]
    squares: NDArray[np.int32]
    """Squared distances."""
    complete: bool
    """Whether no offset within the atlas's margins is left out."""


class Tables(NamedTuple):
    """Costs and weights as integers."""

    cost: NDArray[np.int32]
    """`[1024]` cost of a difference, shifted by 255."""
    weight: NDArray[np.int32]
    """Weight of a neighbour by its squared distance, in 64ths of the neighbours' mean."""
    guide: NDArray[np.int32]
    """`[256]` cost of a difference of the guides."""


class Scratch(NamedTuple):
    """Room for one pixel's neighbours, nearest first, and candidates."""

    near: NDArray[np.int32]
    """Places on the canvas."""
    shift: NDArray[np.int32]
    """Offsets in the atlas."""
    squares: NDArray[np.int32]
    negative: NDArray[np.uint32]
    weight: NDArray[np.int32]
    candidates: NDArray[np.int32]
    costs: NDArray[np.int64]
    stamps: NDArray[np.int32]
    """`[places]` the last turn in which a place was a candidate; never lower outside of the examples."""


def make_canvas(height: int, width: int, guide: NDArray[np.uint8] | None) -> Canvas:
    """An empty canvas; rows share their margins, as a row's end is beside the next one's beginning."""
    stride = width + REACH
    places = (height + 2 * REACH) * stride
    inside, luminance = np.zeros(places, np.bool_), np.zeros(places, np.uint8)
    inside.reshape(-1, stride)[REACH : REACH + height, :width] = True
    if guide is not None:
        luminance[inside] = guide.ravel()
    return Canvas(
        resolved=np.zeros(places, np.uint8),
        source=np.zeros(places, np.int32),
        negative=np.zeros(places, np.uint32),
        guide=luminance,
        inside=inside,
        stride=stride,
    )


def make_atlas(examples: Sequence[NDArray[np.uint8]], guides: Sequence[NDArray[np.uint8]] | None) -> Atlas:
    """Lay the examples below each other, on each level blurred as a pyramid's is."""
    heights, widths = (np.array([e.shape[axis] for e in examples], np.int64) for axis in (0, 1))
    down, right = (min(int(sides.max()), _LARGEST_MARGIN) for sides in (heights, widths))
    stride = int(widths.max()) + right
    rows = 1 + down + np.cumsum(heights + down) - (heights + down)
    places = int(rows[-1] + heights[-1] + down + 1) * stride
    colours = np.full((NUM_LEVELS, places), OUTSIDE, np.uint32)
    guide = np.zeros(places, np.uint8)
    for number, (example, row) in enumerate(zip(examples, rows, strict=True)):
        part = slice(row, row + example.shape[0]), slice(example.shape[1])
        for level in range(NUM_LEVELS):
            blurred = _blur(example, NUM_LEVELS - 1 - level).astype(np.uint32)
            colours[level].reshape(-1, stride)[part] = blurred @ _FIELDS
        if guides is not None:
            guide.reshape(-1, stride)[part] = guides[number]
    return Atlas(colours, guide, rows * stride, heights, widths, stride, down, right)


def _blur(example: NDArray[np.uint8], halvings: int) -> NDArray[np.uint8]:
    """What is left of an example that is scaled down and up again, each with a Gaussian of half a coarse pixel."""
    if halvings == 0:
        return example
    sigma = 2**halvings / np.sqrt(2)
    return np.asarray(cv2.GaussianBlur(example, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101))


@lru_cache(maxsize=16)
def make_offsets(canvas_stride: int, atlas_stride: int, down: int, right: int) -> Offsets:
    """All offsets within `REACH` and the atlas's margins, the nearest first."""
    steps = np.arange(-REACH, REACH + 1)
    rows, columns = (grid.ravel() for grid in np.meshgrid(steps, steps, indexing="ij"))
    squares = rows**2 + columns**2
    order = np.argsort(squares, kind="stable")
    kept = (squares > 0) & (squares <= REACH**2) & (abs(rows) <= down) & (abs(columns) <= right)
    order = order[kept[order]]
    return Offsets(
        canvas=(rows * canvas_stride + columns)[order].astype(np.int32),
        atlas=(rows * atlas_stride + columns)[order].astype(np.int32),
        squares=squares[order].astype(np.int32),
        complete=down**2 + right**2 <= REACH**2,
    )


def make_tables(dispersion: float, outside: float, guide_share: float) -> Tables:
    """Costs `(1 - share) ln(1 + d^2 / dispersion^2)` of colours and `share 3 d^2` of guides, d in [0, 1].

    Beside an example d is `outside`.
    """
    differences = np.abs(np.arange(1024) - 255) / 255
    differences[differences > 1] = outside
    cost = (1 - guide_share) * _COST * np.log1p((differences / dispersion) ** 2)
    guide = guide_share * _COST * 3 * (np.arange(256) / 255) ** 2
    weight = _WEIGHT * np.exp(-np.arange(16 * WEIGHT_STEPS) / WEIGHT_STEPS)
    return Tables(*(np.rint(table).astype(np.int32) for table in (cost, weight, guide)))


def make_scratch(atlas: Atlas, num_neighbours: int, num_random: int) -> Scratch:
    """Room for as many neighbours, rounded up to whole fours and eight, and candidates."""
    room, candidates = max(num_neighbours + 3, 8), num_neighbours + num_random
    return Scratch(
        near=np.zeros(room, np.int32),
        shift=np.zeros(room, np.int32),
        squares=np.zeros(room, np.int32),
        negative=np.zeros(room, np.uint32),
        weight=np.zeros(room, np.int32),
        candidates=np.zeros(candidates, np.int32),
        costs=np.zeros(candidates, np.int64),
        stamps=np.empty(atlas.colours.shape[1], np.int32),
    )


def reset_stamps(scratch: Scratch, atlas: Atlas) -> None:
    """Forget which places were candidates."""
    scratch.stamps[:] = np.where(atlas.colours[-1] == OUTSIDE, _NEVER, 0)


def unpack(words: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """`[...]` words as `[..., 3]` colours."""
    return np.stack([words & 255, words >> 10 & 255, words >> 20 & 255], axis=-1).astype(np.uint8)
