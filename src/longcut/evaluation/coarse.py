"""Coarse classes of fine ones: a dog is a dog, whatever its breed."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class CoarseClasses:
    """Which coarse class each class belongs to."""

    names: tuple[str, ...]
    """Of the coarse classes, sorted."""
    places: NDArray[np.int64]
    """`[n]` place of each class's coarse class in `names`, -1 where it has none."""

    def of(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """`[s]` coarse classes of fine ones, -1 where there is none."""
        return self.places[labels]


def read_coarse(path: Path, classes: Sequence[str]) -> CoarseClasses:
    """Coarse classes from a CSV `class,coarse`.

    Classes that the file leaves out have no coarse class; what it says of other classes than these is not needed.

    Raises:
        ValueError: the file cannot be read, lacks a column, contradicts itself, or names none of the classes.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            lacking = {"class", "coarse"} - set(reader.fieldnames or ())
            if lacking:
                raise ValueError(f"{path} lacks the column {sorted(lacking)[0]!r}: it must have class,coarse")
            entries = [(row["class"] or "", row["coarse"] or "") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"cannot read {path}: {error}") from None
    coarse: dict[str, str] = {}
    for name, group in entries:
        if not name or not group:
            raise ValueError(f"{path} has the row {name!r},{group!r}: both must be there")
        if coarse.setdefault(name, group) != group:
            raise ValueError(f"{path} gives the class {name!r} both as {coarse[name]!r} and as {group!r}")
    known = {name: coarse[name] for name in classes if name in coarse}
    if not known:
        raise ValueError(f"{path} names none of the classes, which are {', '.join(classes[:5])}, ...")
    return _coarse(known, classes)


def coarse_by_prefix(classes: Sequence[str], separator: str) -> CoarseClasses:
    """Coarse classes from the names: what stands before the first separator, or all of a name without one.

    Raises:
        ValueError: no two classes share what stands there.
    """
    groups = {name: name.partition(separator)[0] for name in classes} if separator else {}
    if len(set(groups.values())) == len(groups):
        raise ValueError(
            f"no two classes share what stands before {separator!r} in their names: give a CSV class,coarse"
        )
    return _coarse(groups, classes)


def coarse_correct(
    predicted: NDArray[np.int64], targets: NDArray[np.int64], coarse: CoarseClasses
) -> NDArray[np.bool_]:
    """Whether each prediction falls into the target's coarse class, be it the target or not.

    Args:
        predicted: `[s]` fine classes.
        targets: `[s]` fine classes.
        coarse: classes that belong together.

    Returns:
        `[s]`; false where the target has no coarse class.

    Source:
        Ge et al., "Robust contrastive learning using negative samples with diminished semantics" (NeurIPS 2021),
        Figure 6d.
    """
    wanted = coarse.of(targets)
    return (coarse.of(predicted) == wanted) & (wanted >= 0)


def _coarse(groups: Mapping[str, str], classes: Sequence[str]) -> CoarseClasses:
    names = tuple(sorted(set(groups.values())))
    places = [names.index(groups[name]) if name in groups else -1 for name in classes]
    return CoarseClasses(names, np.array(places, np.int64))
