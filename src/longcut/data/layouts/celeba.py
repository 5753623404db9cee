"""CelebA: forty attributes of faces, two of which are the target and the bias.

Liu, Luo, Wang and Tang, "Deep Learning Face Attributes in the Wild" (ICCV 2015). As LfF and Group DRO choose them, the
target is blond hair and the bias is the gender.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np

from longcut.data.layouts.samples import LayoutOptions, Samples, in_order
from longcut.data.tables import LabelError, columns_of, once, read_cells

TARGET, BIAS = "Blond_Hair", "Male"
SPLITS = ("train", "val", "test")
_ATTRIBUTES, _PARTITION, _IMAGES = "list_attr_celeba", "list_eval_partition", "img_align_celeba"
_FOLDERS = ("", "Anno", "Eval", "Img")
_VALUES = {"1": 1, "-1": 0, "0": 0}


def matches(root: Path) -> bool:
    """Whether a folder holds the table of attributes."""
    return _find(root, _ATTRIBUTES) is not None


def read(root: Path, options: LayoutOptions) -> Samples:
    """Read two attributes; biases are in the order in which most training images have target and bias equal.

    Raises:
        ValueError: there is no such attribute, a table is missing, or it has no rows.
        LabelError: a table is broken, or the two do not belong together.
    """
    attributes, partition = _find(root, _ATTRIBUTES), _find(root, _PARTITION)
    if attributes is None or partition is None:
        raise ValueError(f"{root} lacks {_PARTITION}.txt, which tells the splits: put it beside {_ATTRIBUTES}.txt")
    target, bias = options.target or TARGET, options.bias or BIAS
    if target == bias:
        raise ValueError(f"target and bias are both {target}: choose two attributes")
    values, splits = _read_attributes(attributes, target, bias), _read_partition(partition)
    lacking = next((name for name in values if name not in splits), None)
    if lacking is not None:
        raise LabelError(f"{partition} does not tell the split of {lacking}, which {attributes.name} lists")
    names = list(values)
    names = [names[i] for i in in_order(names)]
    labels = np.array([values[name] for name in names], np.int64).reshape(-1, 2)
    split = np.array([splits[name] for name in names], np.int64)
    if not len(labels):
        raise ValueError(f"{attributes} has no rows")
    train = labels[split == 0] if (split == 0).any() else labels
    flipped = 2 * (train[:, 0] == train[:, 1]).sum() < len(train)
    bias_names = (f"not {bias}", bias)
    return Samples(
        _images(root),
        tuple(names),
        labels[:, 0],
        (f"not {target}", target),
        np.array(SPLITS, np.str_)[split],
        1 - labels[:, 1] if flipped else labels[:, 1],
        bias_names[::-1] if flipped else bias_names,
    )


def _find(root: Path, stem: str) -> Path | None:
    """A table in the folder, or in those of the published archive."""
    files = (root / folder / f"{stem}.{suffix}" for folder in _FOLDERS for suffix in ("txt", "csv"))
    return next((file for file in files if file.is_file()), None)


def _images(root: Path) -> Path:
    folders = [root / folder / _IMAGES for folder in _FOLDERS]
    found = next((folder for folder in folders if folder.is_dir()), folders[0])
    return found / _IMAGES if (found / _IMAGES).is_dir() else found  # some archives nest it


@once
def _read_attributes(table: Path, target: str, bias: str) -> dict[str, tuple[int, int]]:
    """Target and bias of each file, 0 or 1."""
    known = _attributes(table)
    for name in (target, bias):
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known[:3]
            raise ValueError(f"{table} has no attribute {name!r}: it has {', '.join(nearest)} and others")
    found = {}
    for line, (name, *cells) in _rows(table, known, (target, bias), first=3):
        if not name or any(cell not in _VALUES for cell in cells):
            raise LabelError(
                f"{table}, line {line}: {target} and {bias} are {' and '.join(map(repr, cells))}, not 1 or -1"
            )
        found[name] = (_VALUES[cells[0]], _VALUES[cells[1]])
    return found


@once
def _read_partition(table: Path) -> dict[str, int]:
    """Place in `SPLITS` of each file."""
    found = {}
    for line, (name, cell) in _rows(table, ("partition",), ("partition",), first=1):
        if cell not in ("0", "1", "2"):
            raise LabelError(f"{table}, line {line}: the split is {cell!r}, which is none of 0, 1, 2")
        found[name] = int(cell)
    return found


def _attributes(table: Path) -> tuple[str, ...]:
    """Names of the attributes: the second line of the published table, the first of a CSV."""
    if table.suffix == ".csv":
        return columns_of(table)[1:]
    return tuple(next((words for line, words in _lines(table) if line == 2), []))


def _rows(
    table: Path, known: Sequence[str], chosen: Sequence[str], *, first: int
) -> Iterator[tuple[int, Sequence[str]]]:
    """Number of each line, with its file and its cells in some columns; `first` is that of the published table."""
    if table.suffix == ".csv":
        yield from read_cells(table, (*columns_of(table)[:1], *chosen))
        return
    cells = itemgetter(0, *(1 + known.index(name) for name in chosen))
    padding = [""] * (1 + len(known))
    for line, words in _lines(table):
        if line >= first and words:
            yield line, cells(words + padding)


def _lines(table: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with table.open(encoding="utf-8-sig") as file:
            for line, text in enumerate(file, start=1):
                yield line, text.split()
    except UnicodeDecodeError as error:
        raise LabelError(f"{table} is no text in UTF-8: {error}") from None
