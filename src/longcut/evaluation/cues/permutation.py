"""Whether a number could have come about by chance: permuted labels, corrected for how many were tried.

Phipson and Smyth, "Permutation p-values should never be zero" (2010); Holm, "A simple sequentially rejective multiple
test procedure" (1979). `s` counts samples, `p` permutations.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.intervals import RESAMPLES

Labels = NDArray[np.integer]
_EQUAL = 1e-9
_AT_ONCE = 1 << 22  # draws that are sorted at a time


def permuted_within(
    labels: Labels, strata: NDArray[np.int64], count: int, draw: np.random.Generator
) -> NDArray[np.int16]:
    """`[p, s]` labels, each row permuted anew, and only among samples of one stratum.

    Args:
        labels: `[s]`.
        strata: `[s]` which stratum each sample belongs to.
        count: of permutations.
        draw: what is drawn from.
    """
    places = np.argsort(strata, kind="stable")
    found = np.empty((count, len(labels)), np.int16)
    step = max(1, _AT_ONCE // max(1, len(labels)))
    for at in range(0, count, step):
        rows = min(step, count - at)
        order = np.argsort(strata + draw.random((rows, len(labels))), axis=1)  # by stratum, then at random
        found[at : at + rows, places] = labels[order]
    return found


def p_value(observed: float, null: NDArray[np.float64]) -> float:
    """Share of permutations that do as well, the labels themselves being one of them."""
    return float((1 + (null >= observed - _EQUAL).sum()) / (1 + len(null)))


def sign_test(differences: NDArray[np.int64], targets: Labels, count: int, draw: np.random.Generator) -> float:
    """p-value of differences that are larger than 0 in the mean over classes, by turning signs at random.

    Args:
        differences: `[s]` each -1, 0 or 1.
        targets: `[s]` classes.
        count: how often signs are turned.
        draw: what is drawn from.
    """
    observed, turned = 0.0, np.zeros(count)
    for target in np.unique(targets):
        mine = differences[targets == target]
        changed = np.count_nonzero(mine)
        observed += mine.mean()
        turned += (2 * draw.binomial(changed, 0.5, count) - changed) / len(mine)
    return p_value(observed, turned)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values corrected for their number: all that are below a level are so together with that probability of error.

    Args:
        p_values: by name, of tests that may depend on each other.
    """
    ordered = sorted(p_values, key=lambda name: p_values[name])
    corrected: dict[str, float] = {}
    least = 0.0
    for place, name in enumerate(ordered):
        least = max(least, min(1.0, (len(ordered) - place) * p_values[name]))
        corrected[name] = least
    return {name: corrected[name] for name in p_values}


def balanced_bootstrap(
    values: NDArray[np.integer] | NDArray[np.bool_], targets: Labels, draw: np.random.Generator
) -> tuple[float, float]:
    """95 % interval of the mean over classes of the classes' means, the images of each class resampled.

    Args:
        values: `[s]` of few distinct numbers: right or wrong, or the difference of two of those.
        targets: `[s]` classes.
        draw: what is drawn from.
    """
    means = []
    for target in np.unique(targets):
        distinct, counts = np.unique(np.asarray(values[targets == target], np.int64), return_counts=True)
        total = counts.sum()
        means.append(draw.multinomial(total, counts / total, RESAMPLES) @ distinct / total)
    low, high = np.percentile(np.mean(means, axis=0), [2.5, 97.5])
    return float(low), float(high)
