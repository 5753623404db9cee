"""What a layout says of a set of images: which there are, and the labels and the split of each."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longcut.data.arrays import split_member

_SHOWN = 3


@dataclass(frozen=True)
class LayoutOptions:
    """What to read of a set that holds several targets, biases or severities; None where it is not said."""

    target: str | None = None
    """Attribute to classify."""
    bias: str | None = None
    """Attribute that goes with it."""
    severity: str | None = None
    """Share of bias-conflicting images, as its folder says it: `1pct`, or `1`."""


@dataclass(frozen=True)
class Samples:
    """Images of one split or of several, `s` of them."""

    root: Path
    """Folder that `paths` are relative to."""
    paths: tuple[str, ...]
    """`[s]` POSIX paths, sorted; `train.npy#17` is row 17 of an array."""
    targets: NDArray[np.int64]
    """`[s]` places in `classes`, -1 where there are none."""
    classes: tuple[str, ...]
    splits: NDArray[np.str_]
    """`[s]` name of each image's split; empty where the image belongs to every one."""
    bias: NDArray[np.int64] | None = None
    """`[s]` places in `bias_names`, -1 where the bias is not known."""
    bias_names: tuple[str, ...] = ()
    """Where biases go with classes, they stand in the classes' order: equal places are aligned."""
    masks: tuple[Path, ...] | None = None
    boxes: NDArray[np.float64] | None = None


def in_order(paths: Sequence[str]) -> list[int]:
    """Positions of paths as they are sorted: by text, the rows of an array by number."""
    keys = [split_member(path) or (path, -1) for path in paths]
    return sorted(range(len(paths)), key=keys.__getitem__)


def sorted_names(names: Collection[str]) -> tuple[str, ...]:
    """Names in their order: numbers by value, others by text."""
    distinct = set(names)
    return tuple(sorted(distinct, key=int) if all(name.isdecimal() for name in distinct) else sorted(distinct))


def match_bias(names: Collection[str], classes: Sequence[str]) -> tuple[str, ...]:
    """Names of the biases in their order: where one is called like a class, each has its class's place.

    A colour that goes with the digit 7 is called 7: image and bias are aligned where the two places are equal. Biases
    that are called like no class follow; without any that is, all are sorted.
    """
    known = set(classes)
    if known.isdisjoint(names):
        return sorted_names(names)
    return (*classes, *sorted_names(set(names) - known))


def places(names: Sequence[str]) -> dict[str, int]:
    """Place of each name."""
    return {name: i for i, name in enumerate(names)}


def counted(count: int, what: str) -> str:
    """A number of things, for a message."""
    return f"{count} {what}" + "s" * (count != 1)


def no_split(root: Path, split: str, known: Sequence[str]) -> str:
    """That a set has not the split that is asked for, for a message.

    Args:
        root: of the set.
        split: that it has not.
        known: names of those that it has.
    """
    has = f"it has {', '.join(known)}" if known else "it has no splits; name none, and all of its images are taken"
    return f"{root} has no split {split!r}: {has}"


def some(names: Sequence[str]) -> str:
    """The first three of several names, for a message."""
    return ", ".join(names[:_SHOWN]) + ", ..." * (len(names) > _SHOWN)
