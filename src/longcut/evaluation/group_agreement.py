"""Groups that were guessed, beside bias labels that were not used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.bias_negative_analysis import separation, sides
from longcut.evaluation.cues.result import Agreement


def group_agreement(
    name: str,
    targets: NDArray[np.int64],
    groups: NDArray[np.int64],
    bias: NDArray[np.int64],
    ahead: NDArray[np.float64],
    *,
    paired: bool,
) -> Agreement:
    """How well guessed groups agree with the true ones. `s` counts images.

    Args:
        name: which images they are.
        targets: `[s]` classes.
        groups: `[s]` classes that were guessed for groups.
        bias: `[s]` values of the bias, all known.
        ahead: `[s]` by how far another class than an image's own is ahead.
        paired: whether a bias goes with each class, at the same place.
    """
    table = np.zeros((groups.max() + 1, bias.max() + 1), np.int64)
    np.add.at(table, (groups, bias), 1)
    n = len(bias)
    usual = float(table.sum(axis=0).max() / n)
    if not paired:
        return Agreement(name, n, float(table.max(axis=1).sum() / n), usual)
    known, own = sides(targets, bias), groups == targets
    area = separation(ahead, known.conflicting, known.aligned)
    return Agreement(
        name,
        n,
        agrees=float((groups == bias).mean()),
        usual=usual,
        aligned=float(own[known.aligned].mean()) if known.aligned.any() else None,
        num_aligned=int(known.aligned.sum()),
        conflicting=float((~own)[known.conflicting].mean()) if known.conflicting.any() else None,
        num_conflicting=int(known.conflicting.sum()),
        auroc=None if area is None else area.value,
        low=None if area is None else area.low,
        high=None if area is None else area.high,
    )
