"""How much less images say together than apart, because they lend to each other."""

from __future__ import annotations

from itertools import combinations

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
        equation 6, for three members instead of two. That pairs with several of them in common count once is as in
        Cameron, Gelbach and Miller, "Robust inference with multiway clustering" (JBES 2011).
    """
    usable = np.flatnonzero(np.isfinite(differences))
    deviations = differences[usable] - differences[usable].mean()
    alone = float((deviations**2).sum())
    if alone == 0:
        return 1.0
    members = np.sort(np.column_stack([usable, lenders[usable]]), axis=1)
    # A pair with one, two or three images in common is met 1, 2 - 1 or 3 - 3 + 1 times: once.
    singly, doubly, wholly = (_sum_of_products(members, deviations, count) for count in (1, 2, 3))
    return max(1.0, (singly - doubly + wholly) / alone)


def _sum_of_products(members: NDArray[np.int64], deviations: NDArray[np.float64], count: int) -> float:
    """Of all pairs of differences, for each choice of `count` images that the two have in common.

    Args:
        members: `[u, 3]` the images of each difference, in ascending order.
        deviations: `[u]`
        count: 1 to 3.
    """
    chosen = np.concatenate([members[:, columns] for columns in map(list, combinations(range(3), count))])
    places = chosen[:, 0]
    for column in chosen[:, 1:].T:
        _, places = np.unique(places * (members.max() + 1) + column, return_inverse=True)
    sums = np.bincount(places, np.tile(deviations, len(chosen) // len(members)))
    return float((sums**2).sum())
