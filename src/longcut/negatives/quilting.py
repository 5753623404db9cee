"""Image quilting: blocks of the examples joined along seams of least difference."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

_LARGEST_BLOCK = 36
_TOLERANCE = 0.1


def quilt(
    examples: Sequence[NDArray[np.uint8]], height: int, width: int, draw: np.random.Generator
) -> NDArray[np.uint8]:
    """Fill an image with overlapping blocks, row by row.

    Each block is drawn from those places of the examples whose overlap differs from what is there by at most a tenth
    more than the best one's, and cut along the seams of least squared difference. Blocks have a side of 36 px, or of
    two thirds of the smallest example's; they overlap by a sixth.

    Args:
        examples: `[h, w, 3]` of any sizes.
        height: of the image.
        width: of the image.
        draw: source of the choices.

    Returns:
        `[height, width, 3]`.

    Source:
        Efros and Freeman, "Image quilting for texture synthesis and transfer" (SIGGRAPH 2001), section 2.
    """
    block = max(min(_LARGEST_BLOCK, min(min(e.shape[:2]) for e in examples) * 2 // 3), 1)
    overlap = min(max(block // 6, 1), block - 1)
    step = block - overlap
    rows, columns = (-(-max(side - overlap, 1) // step) for side in (height, width))
    canvas = np.zeros((rows * step + overlap, columns * step + overlap, 3), np.uint8)
    for y in range(0, rows * step, step):
        for x in range(0, columns * step, step):
            there = canvas[y : y + block, x : x + block]
            above, left = overlap if y else 0, overlap if x else 0
            patch = _draw_patch(examples, there, above, left, draw)
            there[:] = np.where(_kept(there, patch, above, left)[..., None], there, patch)
    return canvas[:height, :width].copy()


def _draw_patch(
    examples: Sequence[NDArray[np.uint8]], there: NDArray[np.uint8], above: int, left: int, draw: np.random.Generator
) -> NDArray[np.uint8]:
    """A patch of an example that fits what is there: `above` rows and `left` columns."""
    block = len(there)
    errors = [_overlap_errors(example, there, above, left) for example in examples]
    most = (1 + _TOLERANCE) * min(float(e.min()) for e in errors) + 0.5
    fitting = [np.argwhere(e <= most) for e in errors]
    of_examples = np.repeat(np.arange(len(examples)), [len(places) for places in fitting])
    drawn = int(draw.integers(len(of_examples)))
    y, x = np.concatenate(fitting)[drawn]
    return examples[of_examples[drawn]][y : y + block, x : x + block]


def _overlap_errors(example: NDArray[np.uint8], there: NDArray[np.uint8], above: int, left: int) -> NDArray[np.float32]:
    """Squared difference of the overlap for each place that a block can be taken from."""
    block = len(there)
    rows, columns = (side - block + 1 for side in example.shape[:2])
    errors = np.zeros((rows, columns), np.float32)
    if above:
        strip = example[: rows + above - 1]
        errors += cv2.matchTemplate(strip, there[:above], cv2.TM_SQDIFF)
    if left:
        strip = example[above:, : columns + left - 1]
        errors += cv2.matchTemplate(strip, there[above:, :left], cv2.TM_SQDIFF)
    return np.maximum(errors, 0)


def _kept(there: NDArray[np.uint8], patch: NDArray[np.uint8], above: int, left: int) -> NDArray[np.bool_]:
    """Which pixels stay: those above the seam of the upper overlap and left of that of the left one."""
    difference = ((there.astype(np.int64) - patch) ** 2).sum(2)
    kept = np.zeros(difference.shape, np.bool_)
    if left:
        kept[:, :left] |= _before_seam(difference[:, :left])
    if above:
        kept[:above] |= _before_seam(difference[:above].T).T
    return kept


def _before_seam(difference: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Pixels left of the cheapest path from the top to the bottom that moves by at most one column a row."""
    rows, columns = difference.shape
    walled = np.pad(difference, ((0, 0), (1, 1)), constant_values=np.iinfo(np.int64).max)
    cost = walled[:, 1:-1]
    for before, row in itertools.pairwise(walled):
        row[1:-1] += np.minimum(np.minimum(before[:-2], before[1:-1]), before[2:])
    seam = np.empty(rows, np.int64)
    seam[-1] = cost[-1].argmin()
    for row in range(rows - 2, -1, -1):
        first = max(seam[row + 1] - 1, 0)
        seam[row] = first + cost[row, first : seam[row + 1] + 2].argmin()
    return np.arange(columns) < seam[:, None]
