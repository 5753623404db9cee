"""How much less images say together than apart, because they lend to each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def design_effect(differences: NDArray[np.float64], lenders: NDArray[np.int64]) -> float:
    """Variance of the mean of paired differences over what it would be if they were independent.

    A difference is that of one image with two donors, and an image is a donor several times: where by chance a class
    holds more of some background than another, all swaps between the two are off by as much. Summed are the products of
    deviations over all pairs of differences that have an image in common.

    Args:
        differences: `[s]` of each image; nan where it is not usable.
        lenders: `[s, 2]` positions of each image's donors.

    Returns:
        At least 1.

    Source:
        Aronow, Samii and Assenova, "Cluster-robust variance estimation for dyadic data" (Political Analysis 2015),
        equation 6, for three members instead of two.
    """
    usable = np.flatnonzero(np.isfinite(differences))
    deviations = differences[usable] - differences[usable].mean()
    alone = float((deviations**2).sum())
    if alone == 0:
        return 1.0
    members = np.column_stack([usable, lenders[usable]])
    sums = np.bincount(members.ravel(), np.repeat(deviations, 3), minlength=len(differences))
    # Every difference meets itself in all three of its members, and counts once.
    return max(1.0, (float((sums**2).sum()) - 2 * alone) / alone)
