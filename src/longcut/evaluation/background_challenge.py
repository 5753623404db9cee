"""The Background Challenge's layout on disk, and its measures on predictions.

Xiao, Engstrom, Ilyas and Madry, "Noise or signal: the role of image backgrounds in object recognition" (ICLR 2021).
The published test set and one built from a user's own images are read by the same code. Pairs are made by the
foreground's name alone: in the published release the files of `mixed_rand` carry the names made for `mixed_next`, so
their backgrounds cannot be told from their names.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from longcut.data.challenge_layout import VARIANTS
from longcut.evaluation.predictions import Predictions

PAIRS = (("original", "mixed_rand"), ("mixed_same", "mixed_rand"))
"""Variants whose images share foregrounds: for consistency, and the second one for BG-Gap."""


def variants_in(root: Path) -> tuple[str, ...]:
    """Names of the variants that a folder holds, in the paper's order; empty where it is no challenge."""
    return tuple(name for name in VARIANTS if (root / name / "val").is_dir())


def foreground_of(path: str) -> tuple[str, str]:
    """Class folder and foreground's name of an image of any variant."""
    file = PurePosixPath(path)
    return file.parts[1], foreground_name(file.stem)


def foreground_name(stem: str) -> str:
    """`<a>` of a mixed image's `fg_<a>_bg_<b>`, and any other name as it is, one that begins with `fg_` alone too."""
    mixed = re.match("fg_(.+?)_bg_", stem)
    return mixed[1] if mixed else stem


def paired(first: Predictions, second: Predictions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in two variants' predictions of the images that share a foreground."""
    place = {foreground_of(path): i for i, path in enumerate(second.paths)}
    pairs = [(i, place[key]) for i, key in enumerate(map(foreground_of, first.paths)) if key in place]
    positions = np.array(pairs, np.int64).reshape(-1, 2)
    return positions[:, 0], positions[:, 1]
