"""A subset of a set with bias labels, in which as many training images conflict as one asks for."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.builders.bias_assignment import check_share, spread_order
from longcut.data.builders.biased_set import COLUMNS, TABLE, BiasedSet, start_build
from longcut.data.builders.build_record import write_rows
from longcut.data.image_set import ImageSet, read_images, splits_of
from longcut.data.layouts import LayoutOptions

_OPTIONAL = "mask", "x1", "y1", "x2", "y2"
_ORDER = "train", "val", "valid", "test"


def build_severity(
    source: Path,
    destination: Path,
    *,
    conflict_ratio: float,
    seed: int = 0,
    target: str | None = None,
    bias: str | None = None,
    severity: str | None = None,
) -> BiasedSet:
    """Write a table of a subset; the images stay where they are.

    An image is aligned where its bias has the place of its class. Where too many training images conflict, some of them
    are dropped and every aligned one stays; where too few do, the other way round. Those that stay are drawn so that
    each pair of class and bias keeps its share, and with a smaller ratio they are some of those that stay with a larger
    one. The other splits stay whole.

    Args:
        source: a set with bias labels and a split `train`, as `read_images` takes it.
        destination: folder to write `images.csv` and `build.json` in; the table's paths lead from there to the images.
        conflict_ratio: share of the training images that are to conflict.
        seed: of the draws.
        target: of a source with several attributes, the one to classify.
        bias: the one that goes with it.
        severity: of a source with several shares of conflicting images, the one to take images from.

    Returns:
        How many images each split has, and how many of them conflict.

    Raises:
        ValueError: a wrong ratio, no bias labels, no training split, a ratio that no subset has, or a destination that
            holds something else or was built with other settings.
        OSError: the destination cannot be written.
    """
    check_share("conflict ratio", conflict_ratio)
    options = LayoutOptions(target=target, bias=bias, severity=severity)
    splits = sorted(splits_of(source, options=options), key=lambda name: (*_ORDER, name).index(name))
    if "train" not in splits:
        raise ValueError(f"{source} has no split 'train': there is nothing to train on with another share of conflicts")
    sets = {name: read_images(source, name, options=options) for name in splits}
    for name, images in sets.items():
        _check_labels(source, name, images)
    settings: dict[str, str | int | None] = {
        "build": "severity",
        "conflict_ratio": str(conflict_ratio),
        "seed": seed,
        "images": _listed(sets),
    }
    sets["train"] = sets["train"].select(_chosen(sets["train"], source, conflict_ratio, seed))
    with start_build(destination, settings, what="a subset by severity"):
        was_complete = (destination / TABLE).is_file()
        if not was_complete:
            extra = _OPTIONAL if any(images.masks or images.boxes is not None for images in sets.values()) else ()
            rows = (row for name, images in sets.items() for row in _rows(images, name, destination, wide=bool(extra)))
            write_rows(destination / TABLE, (*COLUMNS, *extra), rows)
    conflicting = {name: int(_conflicts(images).sum()) for name, images in sets.items()}
    return BiasedSet({name: len(images) for name, images in sets.items()}, conflicting, was_complete)


def _check_labels(source: Path, split: str, images: ImageSet) -> None:
    how = "give a CSV path,target,split,bias, or the folder of a set whose files tell it"
    if images.bias is None:
        raise ValueError(f"{source} has no bias labels: {how}")
    if (images.bias < 0).any():
        path = images.paths[int(np.argmax(images.bias < 0))]
        raise ValueError(f"{source} has no bias label of {path} in the split {split!r}: {how}")


def _chosen(images: ImageSet, source: Path, ratio: float, seed: int) -> NDArray[np.int64]:
    """Which training images stay."""
    conflicts = _conflicts(images)
    groups = [np.flatnonzero(conflicts), np.flatnonzero(~conflicts)]
    conflicting, aligned = (len(members) for members in groups)
    wanted = round(aligned * ratio / (1 - ratio))
    numbers = (wanted, aligned) if wanted <= conflicting else (conflicting, round(conflicting * (1 - ratio) / ratio))
    if 0 in numbers:
        raise ValueError(
            f"{source} has {aligned} aligned and {conflicting} conflicting training images, "
            f"of which no subset has conflict ratio {ratio}"
        )
    draws = keyed_uniforms(seed, 0, np.arange(len(images)), Stream.BIAS, 1)[:, 0]
    kept = [_first(images, members, draws, number) for members, number in zip(groups, numbers, strict=True)]
    return np.sort(np.concatenate(kept))


def _first(images: ImageSet, members: NDArray[np.int64], draws: NDArray[np.float64], number: int) -> NDArray[np.int64]:
    pairs = np.stack([images.targets, _bias(images)])[:, members]
    cells = np.unique(pairs, axis=1, return_inverse=True)[1].reshape(-1)
    return members[spread_order(cells, draws[members])[:number]]


def _bias(images: ImageSet) -> NDArray[np.int64]:
    assert images.bias is not None
    return images.bias


def _conflicts(images: ImageSet) -> NDArray[np.bool_]:
    return _bias(images) != images.targets


def _rows(images: ImageSet, split: str, destination: Path, *, wide: bool) -> Iterator[Sequence[object]]:
    # A bias is called as the class in its place, which is how a table says that the two go together.
    names = [*images.classes, *(f"bias {b:06}" for b in range(len(images.classes), int(_bias(images).max()) + 1))]
    root = _way(images.root, destination)
    for i, (path, target, bias) in enumerate(zip(images.paths, images.targets, _bias(images), strict=True)):
        row = posixpath.normpath(f"{root}/{path}"), images.classes[target], split, names[bias]
        yield (*row, *_about(images, i, destination)) if wide else row


def _about(images: ImageSet, i: int, destination: Path) -> Sequence[object]:
    """Mask and box of an image, empty where there is none."""
    mask = "" if images.masks is None or not images.masks[i].is_file() else _way(images.masks[i], destination)
    box = [] if images.boxes is None else images.boxes[i].tolist()
    return mask, *(("",) * 4 if not box or np.isnan(box).any() else box)


def _way(path: Path, folder: Path) -> str:
    """A path as it is seen from a folder, wherever links lead."""
    return Path(os.path.relpath(os.path.realpath(path), os.path.realpath(folder))).as_posix()


def _listed(sets: dict[str, ImageSet]) -> str:
    listed = [(name, images.paths, images.targets.tolist(), _bias(images).tolist()) for name, images in sets.items()]
    return f"sha256:{hashlib.sha256(repr(listed).encode()).hexdigest()}"
