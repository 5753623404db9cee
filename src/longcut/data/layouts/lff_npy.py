"""Arrays of LfF's code: `train/images.npy` with `train/attrs.npy`, and `valid` likewise.

Nam et al., "Learning from Failure: Training Debiased Classifier from Biased Classifier" (NeurIPS 2020). The pickle
`attr_names.pkl` beside them is not opened: loading one runs what it says.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longcut.data.arrays import open_array
from longcut.data.layouts.samples import LayoutOptions, Samples, match_bias, places, sorted_names
from longcut.data.tables import LabelError

IMAGES, LABELS = "images.npy", "attrs.npy"
SPLITS = {"train": "train", "valid": "val", "val": "val", "test": "test"}


def matches(root: Path) -> bool:
    """Whether `train` holds both arrays."""
    return _has_arrays(root / "train")


def read(root: Path, options: LayoutOptions) -> Samples:
    """Read labels from the first two columns of the second array: target and bias.

    Raises:
        LabelError: an array is broken or empty, or the two do not belong together.
    """
    parts = {name: _labels(root / name) for name in SPLITS if _has_arrays(root / name)}
    names = np.concatenate(list(parts.values())).astype(np.str_)
    classes = sorted_names(set(names[:, 0].tolist()))
    bias_names = match_bias(set(names[:, 1].tolist()), classes)
    return Samples(
        root,
        tuple(f"{name}/{IMAGES}#{row}" for name, part in parts.items() for row in range(len(part))),
        _place(names[:, 0], classes),
        classes,
        np.repeat([SPLITS[name] for name in parts], [len(part) for part in parts.values()]),
        _place(names[:, 1], bias_names),
        bias_names,
    )


def _has_arrays(folder: Path) -> bool:
    return (folder / IMAGES).is_file() and (folder / LABELS).is_file()


def _labels(folder: Path) -> NDArray[np.int64]:
    """`[s, 2]` target and bias of a part's images."""
    try:
        count, labels = len(open_array(folder / IMAGES)), np.load(folder / LABELS, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise LabelError(f"{folder} holds a broken array: {error}") from None
    if labels.dtype.kind not in "iu" or labels.ndim != 2 or labels.shape[1] < 2:
        kind = f"{labels.dtype} of the shape {labels.shape}"
        raise LabelError(f"{folder / LABELS} holds {kind}: labels are integers of [s, 2], target and bias")
    if len(labels) != count:
        raise LabelError(f"{folder} holds {count} images in {IMAGES} and labels of {len(labels)} in {LABELS}")
    if labels[:, :2].min() < 0:
        raise LabelError(f"{folder / LABELS} holds negative labels")
    return np.asarray(labels[:, :2], np.int64)


def _place(names: NDArray[np.str_], known: tuple[str, ...]) -> NDArray[np.int64]:
    distinct, inverse = np.unique(names, return_inverse=True)
    place = places(known)
    return np.array([place[name] for name in distinct.tolist()], np.int64)[inverse]
