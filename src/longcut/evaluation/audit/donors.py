"""Which image lends a cue to which: one of the same class, or one of another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def draw_donors(
    groups: NDArray[np.int64],
    lends: NDArray[np.bool_],
    uniforms: NDArray[np.float64],
    *,
    same: bool,
) -> NDArray[np.int64]:
    """A donor for each image, drawn uniformly from the others of its group, or from all of other groups.

    Args:
        groups: `[s]` what counts as the same: classes, or predictions where there are no classes.
        lends: `[s]` whether an image may be a donor.
        uniforms: `[s]` in [0, 1).
        same: from the same group, never the image itself; else from another group.

    Returns:
        `[s]` positions; -1 where no other image can lend.
    """
    pool = np.flatnonzero(lends)
    pool = pool[np.argsort(groups[pool], kind="stable")]
    members = groups[pool]
    first, last = np.searchsorted(members, groups), np.searchsorted(members, groups, side="right")
    # `skipped` places of the pool from `start` on are not to be drawn: the image itself, or all of its group.
    if same:
        place = np.full(len(groups), len(groups))
        place[pool] = np.arange(len(pool))
        lower, start, skipped = first, place - first, np.ones_like(first)
        count = last - first - lends
    else:
        lower, start, skipped = np.zeros_like(first), first, last - first
        count = len(pool) - skipped
    drawn = np.minimum((uniforms * count).astype(np.int64), count - 1)
    drawn = lower + drawn + np.where(drawn >= start, skipped, 0)
    return np.where(count > 0, pool[drawn.clip(0, max(len(pool) - 1, 0))] if len(pool) else -1, -1)
