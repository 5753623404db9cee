"""Which images a suite looks at that looks at some."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def spread(count: int, at_most: int) -> NDArray[np.int64]:
    """At most so many places out of `count`, evenly spread: images lie class by class, so every class has its share."""
    return np.unique(np.linspace(0, count - 1, min(count, at_most)).astype(np.int64))
