"""Waterbirds: birds of CUB on backgrounds of Places, told by `metadata.csv`.

Sagawa, Koh, Hashimoto and Liang, "Distributionally Robust Neural Networks for Group Shifts" (ICLR 2020).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from longcut.data.layouts.samples import LayoutOptions, Samples, in_order
from longcut.data.tables import LabelError, columns_of, read_cells

FILE = "metadata.csv"
CLASSES = ("landbird", "waterbird")
PLACES = ("land", "water")
SPLITS = ("train", "val", "test")
_COLUMNS = ("img_filename", "y", "place", "split")


def matches(root: Path) -> bool:
    """Whether this is the table, or the folder that holds it."""
    return set(_COLUMNS) <= set(columns_of(root / FILE if root.is_dir() else root))


def read(root: Path, options: LayoutOptions) -> Samples:
    """Read the table; a bird on the background of its own kind is aligned.

    Raises:
        ValueError: the table has no rows.
        LabelError: names the line with another number than the layout knows.
    """
    table = root / FILE if root.is_dir() else root
    rows = [(cells[0], _numbers(table, line, cells[1:])) for line, cells in read_cells(table, _COLUMNS)]
    if not rows:
        raise ValueError(f"{table} has no rows")
    rows = [rows[i] for i in in_order([name for name, _ in rows])]
    target, place, split = np.array([numbers for _, numbers in rows], np.int64).T
    return Samples(
        root=_images(table.parent, rows[0][0]),
        paths=tuple(name for name, _ in rows),
        targets=target,
        classes=CLASSES,
        splits=np.array(SPLITS, np.str_)[split],
        bias=place,
        bias_names=PLACES,
    )


def _numbers(table: Path, line: int, cells: tuple[str, ...]) -> list[int]:
    """Class, place and split of a row."""
    for column, cell, names in zip(_COLUMNS[1:], cells, (CLASSES, PLACES, SPLITS), strict=True):
        if cell not in ("0", "1", "2")[: len(names)]:
            known = ", ".join(f"{i} ({name})" for i, name in enumerate(names))
            raise LabelError(f"{table}, line {line}: {column} is {cell!r}, which is none of {known}")
    return [int(cell) for cell in cells]


def _images(folder: Path, first: str) -> Path:
    """The folder that names are relative to: the table's, as published, or `images` beside the table."""
    inside = folder / "images"
    return inside if inside.is_dir() and not (folder / first).is_file() else folder
