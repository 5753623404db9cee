"""Local binary patterns: which of a pixel's neighbours are brighter than it.

Ojala, Pietikäinen and Mäenpää, "Multiresolution gray-scale and rotation invariant texture classification with local
binary patterns" (PAMI 2002): the rotation-invariant uniform patterns of eight neighbours, here on a square.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NUM_PATTERNS = 10
_AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
_TOLERANCE = 2 / 255
"""By which a neighbour is brighter: what rounding leaves on a flat part is no pattern."""


def local_patterns(luma: NDArray[np.floating], distance: int) -> NDArray[np.uint8]:
    """The pattern around each pixel.

    Patterns 0 to 8 are those whose brighter neighbours lie side by side, by their number; 9 holds all others.

    Args:
        luma: `[b, t, t]` in [0, 1].
        distance: of the neighbours, in pixels.

    Returns:
        `[b, t, t]`
    """
    size = luma.shape[1]
    padded = np.pad(luma, ((0, 0), (distance, distance), (distance, distance)), mode="reflect")
    darker = luma + np.float32(_TOLERANCE)
    count, changes = np.zeros(luma.shape, np.uint8), np.zeros(luma.shape, np.uint8)
    before: NDArray[np.bool_] | None = None
    for dy, dx in (*_AROUND, _AROUND[0]):
        y, x = distance * (1 + dy), distance * (1 + dx)
        brighter = padded[:, y : y + size, x : x + size] > darker
        if before is not None:
            changes += brighter != before
            count += brighter
        before = brighter
    count[changes > 2] = NUM_PATTERNS - 1
    return count


def pattern_shares(patterns: NDArray[np.uint8], weights: NDArray[np.floating]) -> NDArray[np.floating]:
    """Share of each pattern in a region.

    Args:
        patterns: `[b, t, t]`.
        weights: `[b, t, t]`, how much each pixel counts.

    Returns:
        `[b, 10]`, rows that sum to one; NaN where the region is empty.
    """
    count = len(patterns)
    cells = np.arange(count)[:, None, None] * NUM_PATTERNS + patterns
    sums = np.bincount(cells.ravel(), weights.ravel(), count * NUM_PATTERNS).reshape(count, NUM_PATTERNS)
    total = sums.sum(axis=1, keepdims=True)
    return np.asarray(np.where(total > 0, sums / np.where(total > 0, total, 1), np.nan), np.float32)
