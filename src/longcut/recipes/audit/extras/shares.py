"""What suites that look at some of the images have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.audit.effects import About
from longcut.evaluation.audit.result import Effect
from longcut.evaluation.groups import wilson


def spread(count: int, at_most: int) -> NDArray[np.int64]:
    """At most so many places out of `count`, evenly spread: images lie class by class, so every class has its share."""
    return np.unique(np.linspace(0, count - 1, min(count, at_most)).astype(np.int64))


def share_effect(about: About, hits: NDArray[np.bool_], note: str) -> Effect:
    """The share of hits, as a figure, with Wilson's interval.

    Args:
        about: the effect.
        hits: `[s]`, at least one.
        note: what a reader must know.
    """
    low, high = wilson(np.array([hits.sum()]), np.array([len(hits)]))
    return Effect(
        about.name,
        about.title,
        about.suite,
        "measured",
        "share",
        float(hits.mean()),
        float(low[0]),
        float(high[0]),
        len(hits),
        needs_masks=about.needs_masks,
        note=note,
    )
