"""Look a data set over: what was recognised, what is in it, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from longcut.data.check_images import Looked, look_at_all
from longcut.data.image_set import ImageSet, images_of, in_split, read_samples, split_names
from longcut.data.layouts import FOLDERS, LayoutOptions, Samples, find_layout, folders
from longcut.data.layouts.files import folder_of
from longcut.data.tables import LabelError

EVERY = "all"
"""What the split of a set without splits is called."""
_PAIRS = 3
_ORDER = ("train", "val", "valid", "test")


@dataclass(frozen=True)
class Part:
    """What a split holds.

    Attributes:
        images: how many.
        classes: `[n]` images of each class.
        groups: `[n][num_bias]` images of each class with each bias; empty where the bias is not labelled.
        conflicting: share of the labelled images whose bias is another class's; None where biases go with no classes.
        without_bias: images whose bias is not known.
    """

    images: int
    classes: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    conflicting: float | None
    without_bias: int


class Fault(NamedTuple):
    """An image or a mask that cannot be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Findings:
    """What a check found.

    Attributes:
        root: what was checked.
        layout: how it was read.
        labels_fault: why the labels could not be read; then nothing else is known.
        images: how many there are.
        classes: names of the classes.
        bias_names: names of the biases.
        paired: whether a bias goes with each class, place by place.
        splits: what each split holds.
        height: smallest, median and largest of the images' heights in pixels.
        width: likewise.
        broken: images that cannot be decoded.
        bad_masks: masks that are missing, have another size than their image, or are too dark to show a foreground.
        empty_masks: images whose mask is zero everywhere.
        num_duplicates: contents that lie in more than one split.
        duplicates: two paths for each of the first of them.
        misplaced: images in the folder of another class than their label says.
        contradicting: images in `align` whose labels conflict, and the other way round.
        without_split: images that belong to every split because their row names none.
        repeated: paths that more than one row of a table names.
        beside_classes: images beside class folders, which belong to none.
    """

    root: str
    layout: str
    labels_fault: str = ""
    images: int = 0
    classes: tuple[str, ...] = ()
    bias_names: tuple[str, ...] = ()
    paired: bool = False
    splits: dict[str, Part] | None = None
    height: tuple[int, int, int] | None = None
    width: tuple[int, int, int] | None = None
    broken: tuple[Fault, ...] = ()
    bad_masks: tuple[Fault, ...] = ()
    empty_masks: tuple[str, ...] = ()
    num_duplicates: int = 0
    duplicates: tuple[tuple[str, str], ...] = ()
    misplaced: tuple[str, ...] = ()
    contradicting: tuple[str, ...] = ()
    without_split: int = 0
    repeated: tuple[str, ...] = ()
    beside_classes: tuple[str, ...] = ()


def check_set(
    root: Path,
    options: LayoutOptions | None = None,
    *,
    masks: Path | None = None,
    workers: int | None = None,
    label: str | None = None,
) -> Findings:
    """Read every image of a set, and compare what is there with what its labels say.

    Args:
        root: a folder or a CSV, as `read_images` takes it.
        options: what to read of a layout that holds several targets, biases or severities.
        masks: tree of masks that mirrors the images' tree; those that a table names are looked at in any case.
        workers: processes that read; None takes every core.
        label: what the progress display says; None shows none.

    Raises:
        ValueError: nothing is there, or it is not said which of several severities to read.
    """
    root = Path(root)
    try:
        samples = read_samples(root, options=options)
    except LabelError as error:
        return Findings(str(root), _layout_of(root), labels_fault=str(error))
    images = images_of(samples)
    images = images if masks is None else images.with_masks(masks)
    looked = look_at_all(images, workers, label)
    sizes = np.array([(each.height, each.width) for each in looked if not each.broken]).reshape(-1, 2)
    num_duplicates, duplicates = _duplicates(samples, looked)
    named = split_names(samples)
    return Findings(
        root=str(root),
        layout=_layout_of(root),
        images=len(images),
        classes=images.classes,
        bias_names=images.bias_names,
        paired=images.bias is not None and images.bias_is_paired,
        splits={name: _part(images.select(in_split(samples, name))) for name in _in_order(named) or [EVERY]},
        height=_spread(sizes[:, 0]),
        width=_spread(sizes[:, 1]),
        broken=_faults(images.paths, [each.broken for each in looked]),
        bad_masks=_faults(images.paths, [each.bad_mask for each in looked]),
        empty_masks=tuple(path for path, each in zip(images.paths, looked, strict=True) if each.empty_mask),
        num_duplicates=num_duplicates,
        duplicates=duplicates,
        misplaced=_misplaced(images),
        contradicting=_contradicting(images),
        without_split=int((samples.splits == "").sum()) if named else 0,
        repeated=tuple(path for path, count in Counter(images.paths).items() if count > 1),
        beside_classes=folders.beside_classes(root) if find_layout(root) is None else (),
    )


def _layout_of(root: Path) -> str:
    layout = find_layout(root)
    return FOLDERS if layout is None else layout.name


def _in_order(splits: Sequence[str]) -> list[str]:
    return sorted(splits, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))


def _part(images: ImageSet) -> Part:
    counts = np.bincount(images.targets[images.targets >= 0], minlength=len(images.classes))
    labelled = np.zeros(len(images), bool) if images.bias is None else images.bias >= 0
    conflicting = None
    if images.bias is not None and images.bias_is_paired and labelled.any():
        conflicting = float((images.bias != images.targets)[labelled].mean())
    groups = images.group_counts() if labelled.any() else ()
    return Part(len(images), tuple(counts.tolist()), groups, conflicting, int((~labelled).sum()))


def _faults(paths: Sequence[str], reasons: Sequence[str]) -> tuple[Fault, ...]:
    return tuple(Fault(path, reason) for path, reason in zip(paths, reasons, strict=True) if reason)


def _spread(sizes: NDArray[np.int64]) -> tuple[int, int, int] | None:
    return (int(sizes.min()), int(np.median(sizes)), int(sizes.max())) if len(sizes) else None


def _duplicates(samples: Samples, looked: Sequence[Looked]) -> tuple[int, tuple[tuple[str, str], ...]]:
    """How many contents lie in more than one split, and where the first of them are."""
    first: dict[bytes, int] = {}
    pairs: dict[bytes, tuple[str, str]] = {}
    splits = samples.splits.tolist()
    rank = {split: i for i, split in enumerate(_in_order(split_names(samples)))}
    for place in sorted(range(len(splits)), key=lambda place: rank.get(splits[place], -1)):
        digest = looked[place].digest
        before = first.setdefault(digest, place)
        if digest and splits[before] != splits[place]:
            pairs.setdefault(digest, (samples.paths[before], samples.paths[place]))
    return len(pairs), tuple(pairs.values())[:_PAIRS]


def _misplaced(images: ImageSet) -> tuple[str, ...]:
    names = set(images.classes)
    labelled = ((path, folder_of(path), target) for path, target in zip(images.paths, images.targets, strict=True))
    return tuple(path for path, folder, target in labelled if folder in names and folder != images.classes[target])


def _contradicting(images: ImageSet) -> tuple[str, ...]:
    """Images in the wrong one of the folders `align` and `conflict`."""
    if images.bias is None:
        return ()
    parts = [{"align", "conflict"} & {*path.split("/")[:-1]} for path in images.paths]
    said = np.array([{"align": 0, "conflict": 1}[min(part)] if len(part) == 1 else -1 for part in parts], np.int64)
    wrong = (said >= 0) & (images.bias >= 0) & ((images.bias != images.targets) != (said == 1))
    return tuple(images.paths[place] for place in np.flatnonzero(wrong))
