"""Which image gets which bias: the rules by which biased sets are drawn.

Class c goes with bias c: an image whose bias is its class is aligned, any other conflicts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def block_bias(targets: Ints, aligned: float, num_classes: int) -> Ints:
    """Bias by the place of an image in its class, without any draw.

    Nam, Cha, Ahn, Lee and Shin, "Learning from Failure" (NeurIPS 2020): the members of a class, in the order of the
    set, are cut into one block for each bias, in the order of the biases. The block of the class's own bias holds
    `aligned` of them, the others the same share each; the blocks' ends are rounded, so that rounding never adds up.

    Args:
        targets: `[s]`.
        aligned: share of a class's images that get its own bias.
        num_classes: number of classes and of biases.

    Returns:
        `[s]` biases.
    """
    own = np.eye(num_classes)
    shares = aligned * own + (1 - aligned) / (num_classes - 1) * (1 - own)
    ends = (np.bincount(targets, minlength=num_classes)[:, None] * np.cumsum(shares, axis=1)).round()
    ranks, bias = ranks_within(targets), np.empty_like(targets)
    for c in range(num_classes):
        bias[targets == c] = np.searchsorted(ends[c], ranks[targets == c], side="right")
    return bias


def independent_bias(targets: Ints, conflicting: float, num_classes: int, draws: Floats) -> Ints:
    """Bias by a draw for each image alone: another class's with the probability `conflicting`, all others alike.

    Args:
        targets: `[s]`.
        conflicting: probability of another class's bias.
        num_classes: number of classes and of biases.
        draws: `[s, 2]` uniform in [0, 1).

    Returns:
        `[s]` biases.
    """
    others = (targets + 1 + (draws[:, 1] * (num_classes - 1)).astype(np.int64)) % num_classes
    return np.where(draws[:, 0] < conflicting, others, targets)


def shuffled_bias(targets: Ints, rho: float, num_classes: int, draws: Floats, orders: Floats) -> Ints:
    """Bias by a shuffle of each class.

    Bahng, Chun, Yun, Choo and Oh, "Learning De-biased Representations with Biased Representations" (ICML 2020), as its
    code does it: floor(n rho) of a class keep its bias; the rest are cut into blocks for the other biases, whose size
    is rounded up, so that the last of them, in a drawn order, may get fewer or none.

    Args:
        targets: `[s]`.
        rho: share of a class's images that get its own bias.
        num_classes: number of classes and of biases.
        draws: `[s]` uniform in [0, 1): the order of the images.
        orders: `[num_classes, num_classes - 1]` uniform in [0, 1): the order of the other biases, for each class.

    Returns:
        `[s]` biases.
    """
    bias = targets.copy()
    for c in range(num_classes):
        members = np.flatnonzero(targets == c)
        rest = members[np.argsort(draws[members], kind="stable")][int(len(members) * rho) :]
        others = (c + 1 + np.argsort(orders[c], kind="stable")) % num_classes
        size = max(1, -(-len(rest) // (num_classes - 1)))
        bias[rest] = others[np.arange(len(rest)) // size]
    return bias


def ranks_within(groups: Ints, order: NDArray[np.int64] | None = None) -> Ints:
    """`[s]` how many members of its group stand before each image, in the order given or that of the set."""
    order = np.arange(len(groups)) if order is None else order
    grouped = order[np.argsort(groups[order], kind="stable")]
    found = groups[grouped]
    starts = np.searchsorted(found, found, side="left")
    ranks = np.empty(len(groups), np.int64)
    ranks[grouped] = np.arange(len(groups)) - starts
    return ranks


def spread_order(groups: Ints, draws: Floats) -> Ints:
    """A random order every beginning of which holds each group in its share, to about one image.

    A smaller choice is therefore part of a larger one.

    Args:
        groups: `[s]` numbers from 0.
        draws: `[s]` uniform in [0, 1).

    Returns:
        `[s]` positions.
    """
    ranks = ranks_within(groups, np.argsort(draws, kind="stable"))
    # Where in its group an image stands, as a share: the group's first n of m members lie below n / m.
    return np.argsort((ranks + draws) / np.bincount(groups)[groups], kind="stable")


def hold_out(targets: Ints, bias: Ints, count: int, draws: Floats) -> NDArray[np.bool_]:
    """Choose images for validation that are as biased as those that stay.

    Args:
        targets: `[s]`.
        bias: `[s]`.
        count: how many.
        draws: `[s]` uniform in [0, 1).

    Returns:
        `[s]` whether each image is chosen: conflicting images in their share, rounded, and of the aligned and of the
        conflicting each pair of class and bias in its share to about one image.

    Raises:
        ValueError: nothing would be left.
    """
    if not 0 <= count < len(targets):
        raise ValueError(f"valid is {count}: of {len(targets)} training images 0 to {len(targets) - 1} can be held out")
    conflicting = np.flatnonzero(bias != targets)
    aligned = np.flatnonzero(bias == targets)
    wanted = round(count * len(conflicting) / len(targets))
    chosen = np.zeros(len(targets), bool)
    for members, number in ((conflicting, wanted), (aligned, count - wanted)):
        groups = np.unique(targets[members] * (bias.max() + 1) + bias[members], return_inverse=True)[1]
        chosen[members[spread_order(groups, draws[members])[:number]]] = True
    return chosen


def check_share(name: str, value: float, *, one: bool = False) -> None:
    """Refuse what is no share of conflicting or aligned images.

    Raises:
        ValueError: the value is outside (0, 1); 1 itself passes where `one`.
    """
    if not (0 < value < 1 or (one and value == 1)):
        raise ValueError(f"{name} is {value}: it must lie above 0 and {'be at most' if one else 'below'} 1")
