"""Which images a model recognises under each corruption and severity: kept, and turned into rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.corruption_error import SEVERITIES, mean_accuracy, mean_corruption_error
from longcut.evaluation.heads import measure_of
from longcut.evaluation.metrics import measure
from longcut.evaluation.results import Subject, row
from longcut.recipes.array_files import write_arrays


@dataclass(frozen=True)
class Cell:
    """One corruption at one severity."""

    correct: NDArray[np.bool_]
    """`[s]` whether each image is recognised."""
    digest: str
    """Hash of the images."""
    stamp: str = ""
    """Of the files that were read, where that is known before they are."""


class Cells:
    """Cells in a folder, a file for each, so that what was measured is measured once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, name: str, severity: int) -> Cell | None:
        """A cell, None where it was not measured."""
        path = self._path(name, severity)
        if not path.is_file():
            return None
        with np.load(path) as arrays:
            return Cell(arrays["correct"], str(arrays["digest"]), str(arrays["stamp"]))

    def __getitem__(self, key: tuple[str, int]) -> Cell:
        cell = self.load(*key)
        if cell is None:
            raise KeyError(key)
        return cell

    def save(self, name: str, severity: int, cell: Cell) -> None:
        """Keep a cell; whole or not at all."""
        write_arrays(self._path(name, severity), **vars(cell))

    def all(self, names: Sequence[str]) -> dict[tuple[str, int], Cell]:
        """Every cell of some corruptions that was ever measured."""
        loaded = {(name, severity): self.load(name, severity) for name in names for severity in SEVERITIES}
        return {key: cell for key, cell in loaded.items() if cell is not None}

    def _path(self, name: str, severity: int) -> Path:
        return self._folder / f"{name}-{severity}.npz"


def cell_rows(
    subject: Subject, dataset: str, cells: Mapping[tuple[str, int], Cell], *, data: str
) -> list[dict[str, Any]]:
    """Accuracy of each cell, as `<dataset>/<corruption>/<severity>`."""
    return [
        row(
            subject, "accuracy", f"{dataset}/{name}/{severity}", measure(cell.correct), data=data, data_hash=cell.digest
        )
        for (name, severity), cell in cells.items()
    ]


def mean_rows(
    subject: Subject,
    dataset: str,
    cells: Mapping[tuple[str, int], Cell],
    names: Sequence[str],
    *,
    data: str,
    mce: bool,
) -> list[dict[str, Any]]:
    """The means that are complete.

    `<dataset>/<corruption>` is over the five severities, `<dataset>/<severity>` over all corruptions, `<dataset>` over
    both; where that one is complete and `mce` is asked for, mCE as well. Corruptions beyond `names` get their own mean.

    Args:
        subject: what was measured.
        dataset: how the rows call it.
        cells: by corruption and severity; the same images in all.
        names: the corruptions that the means are over.
        data: where the images are.
        mce: whether AlexNet's errors are of the model's classes.
    """
    measured = dict.fromkeys(name for name, _ in cells)
    groups = {f"{dataset}/{name}": [(name, severity) for severity in SEVERITIES] for name in measured}
    groups |= {f"{dataset}/{severity}": [(name, severity) for name in names] for severity in SEVERITIES}
    groups[dataset] = [(name, severity) for name in names for severity in SEVERITIES]
    rows = []
    for label, keys in groups.items():
        if any(key not in cells for key in keys):
            continue
        correct = {key: cells[key].correct for key in keys}
        about = {"data": data, "data_hash": _joint([cells[key].digest for key in keys])}
        rows.append(row(subject, "accuracy", label, mean_accuracy(correct), **about))
        if mce and label == dataset:
            rows.append(row(subject, "mce", label, mean_corruption_error(correct), **about))
    return rows


def _joint(digests: Sequence[str]) -> str:
    """One hash for the images of several cells; that of the images where all have the same."""
    if len(set(digests)) == 1:
        return digests[0]
    return f"sha256:{hashlib.sha256(' '.join(digests).encode()).hexdigest()}"


def missing_note(cells: Mapping[tuple[str, int], Cell], names: Sequence[str]) -> str:
    """Why there is no mean over all, in a line; empty where there is one."""
    wanted = [(name, severity) for name in names for severity in SEVERITIES]
    missing = [f"{name} at severity {severity}" for name, severity in wanted if (name, severity) not in cells]
    if not missing:
        return ""
    return f"no mean over all: {len(missing)} of {len(wanted)} are not measured, {missing[0]} for one"


def mean_line(rows: Sequence[Mapping[str, Any]], dataset: str) -> str:
    """The means over all, for the person."""
    found = {measure_of(entry["metric"]): entry["value"] for entry in rows if entry["dataset"] == dataset}
    mce = f", mCE {found['mce']:.1%}" if "mce" in found else ""
    return f"mean over all: {found['accuracy']:.1%}{mce}"
