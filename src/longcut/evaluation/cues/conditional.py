"""Labels permuted so that they keep what they have to do with the scores of some classifier.

Two samples' labels change places as likely as the scores have it: the conditional permutation test of Berrett, Wang,
Barber and Samworth, "The conditional permutation test for independence while controlling for confounders" (2020). They
do so only among samples that the scores say the same of: the local permutation test of Kim, Neykov, Balakrishnan and
Wasserman, "Local permutation tests for conditional independence" (2022). The one rests on the odds being right, the
other, with more than two classes, on there being no other likely class; together each makes up for the other.
`s` counts samples, `n` classes, `p` permutations.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax

Scores = NDArray[np.floating]
Labels = NDArray[np.integer]
Pairs = list[tuple[NDArray[np.int64], NDArray[np.int64]]]
BLOCK = 10
"""Samples that are taken for equal in what they are matched by."""
_SWEEPS = 20  # in which every sample may change places once: many enough for blocks of ten to be well mixed
_COLDEST = math.log(1e3)
_DIGITS = 4
_ROWS = 64  # permutations that change places together, so that a processor's cache holds them


def conditional_permutations(
    labels: Labels, scores: Scores, folds: Labels, count: int, draw: np.random.Generator
) -> NDArray[np.int16]:
    """`[p, s]` labels, exchangeable with the given ones where these depend on the scores alone.

    The given labels are first mixed once, and each permutation is mixed from there by the same steps backwards, which
    makes them exchangeable after any number of steps (Besag and Clifford 1989).

    Args:
        labels: `[s]`.
        scores: `[s, n]` out of fold, linear in the classes' log-probabilities.
        folds: `[s]`, whose scores cannot be compared.
        count: of permutations.
        draw: what is drawn from.
    """
    strata = matched_strata(scores, folds, draw)
    pairs = [_pairs(strata, draw) for _ in range(_SWEEPS)]
    odds = log_probabilities(scores, labels, folds)
    mixed = labels[None].astype(np.int16)
    _mix(mixed, pairs, odds, draw)
    found = np.repeat(mixed, count, axis=0)
    for at in range(0, count, _ROWS):
        _mix(found[at : at + _ROWS], pairs[::-1], odds, draw)
    return found


def matched_strata(
    scores: Scores, folds: Labels, draw: np.random.Generator, *, block: int = BLOCK
) -> NDArray[np.int64]:
    """Strata of samples that some classifier says the same of, and says it as surely.

    Samples of one fold and one predicted class are sorted by how far its score is ahead of the next, at random where
    that is equal, and cut into blocks.

    Args:
        scores: `[s, n]` out of fold.
        folds: `[s]`, whose scores cannot be compared.
        draw: what is drawn from.
        block: samples in a block.
    """
    ordered = np.sort(scores, axis=1)
    ahead = np.round(ordered[:, -1] - ordered[:, -2], _DIGITS)  # or rounding would sort equals by their place
    cell = folds.astype(np.int64) * scores.shape[1] + scores.argmax(axis=1)
    order = np.lexsort((draw.random(len(cell)), ahead, cell))
    first = np.searchsorted(cell[order], cell[order])
    part = (np.arange(len(cell)) - first) // block
    strata = np.empty(len(cell), np.int64)
    strata[order] = np.cumsum(np.r_[True, (np.diff(cell[order]) != 0) | (np.diff(part) != 0)]) - 1
    return strata


def log_probabilities(scores: Scores, labels: Labels, folds: Labels) -> NDArray[np.float32]:
    """`[s, n]` log-probabilities of the classes by scores and classes' shares, the scores' scale fitted to other folds.

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks" (ICML 2017), temperature scaling.
    """
    found = np.empty(scores.shape, np.float32)
    for fold in np.unique(folds):
        inside = folds == fold
        others, told = scores[~inside], labels[~inside]
        share = np.log(np.maximum(np.bincount(told, minlength=scores.shape[1]), 0.5))

        def loss(cold: float, others: Scores = others, told: Labels = told, share: Scores = share) -> float:
            said = log_softmax(math.exp(cold) * others + share, axis=1)
            return -float(said[np.arange(len(told)), told].mean())

        cold = minimize_scalar(loss, bounds=(-_COLDEST, _COLDEST), method="bounded").x
        found[inside] = log_softmax(math.exp(cold) * scores[inside] + share, axis=1)
    return found


def _pairs(strata: NDArray[np.int64], draw: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Samples paired at random within each stratum; one is left over where their number is odd."""
    order = np.lexsort((draw.random(len(strata)), strata))
    sorted_strata = strata[order]
    place = np.arange(len(order)) - np.searchsorted(sorted_strata, sorted_strata)
    first = np.flatnonzero((place[:-1] % 2 == 0) & (sorted_strata[:-1] == sorted_strata[1:]))
    return order[first], order[first + 1]


def _mix(labels: NDArray[np.int16], pairs: Pairs, odds: NDArray[np.float32], draw: np.random.Generator) -> None:
    """Let pairs change places in `[p, s]` labels, one pairing after the other."""
    for one, other in pairs:
        mine, yours = labels[:, one], labels[:, other]
        prefer = odds[one] - odds[other]
        column = np.arange(len(one))
        gain = prefer[column, yours] - prefer[column, mine]
        change = draw.random(gain.shape, np.float32) < expit(gain)
        labels[:, one] = np.where(change, yours, mine)
        labels[:, other] = np.where(change, mine, yours)
