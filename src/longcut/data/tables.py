"""CSV tables of images and of boxes."""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypeVar, TypeVarTuple

Box = tuple[float, float, float, float]
Rest = TypeVarTuple("Rest")
Result = TypeVar("Result")

_COLUMNS = ("path", "target", "split", "bias", "mask", "x1", "y1", "x2", "y2")
_CORNERS = ("x1", "y1", "x2", "y2")


class LabelError(ValueError):
    """A table, an array or a file's name that does not say what it should."""


class ImageRow(NamedTuple):
    """One row of a table of images; an empty string where a column is absent."""

    path: str
    target: str
    split: str = ""
    bias: str = ""
    mask: str = ""
    box: Box | None = None


def once(read: Callable[[Path, *Rest], Result]) -> Callable[[Path, *Rest], Result]:
    """Read a file once for each state of it that this process meets, told by its time and size."""

    @functools.lru_cache(maxsize=8)
    def known(table: Path, at: Path, changed: int, size: int, *args: *Rest) -> Result:
        return read(table, *args)

    def reader(table: Path, *args: *Rest) -> Result:
        try:
            status = table.stat()
        except OSError:
            return read(table, *args)  # it says what is wrong
        return known(table, table.absolute(), status.st_mtime_ns, status.st_size, *args)

    functools.update_wrapper(reader, read)
    return reader


@once
def read_image_table(table: Path) -> tuple[ImageRow, ...]:
    """Read `path,target[,split,bias,mask,x1,y1,x2,y2]`; a table that was read before is not read again.

    Raises:
        LabelError: names the file, the line and what is wrong there.
    """
    rows = []
    for line, (path, target, split, bias, mask, *box) in read_cells(table, _COLUMNS, needed=_COLUMNS[:2]):
        if not path or not target:
            raise LabelError(f"{table}, line {line}: {'target' if path else 'path'} is empty")
        rows.append(ImageRow(path, target, split, bias, mask, _box(box, table, line) if box[0] else None))
    return tuple(rows)


def read_boxes(table: Path) -> dict[str, Box]:
    """Read `file,x1,y1,x2,y2` (pixels of the image as a viewer shows it, corners included) into a box for each file.

    Raises:
        LabelError: names the file, the line and what is wrong there.
    """
    boxes = {}
    for line, (file, *box) in read_cells(table, ("file", *_CORNERS)):
        if not file:
            raise LabelError(f"{table}, line {line}: file is empty")
        boxes[file] = _box(box, table, line)
    return boxes


def read_cells(
    table: Path, columns: Sequence[str], *, needed: Sequence[str] | None = None
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Number of each line of a CSV, and its cells in some columns: empty where the line or the table lacks them.

    Args:
        table: a CSV whose first line names its columns.
        columns: which, at least two.
        needed: those that the table must have; all of them where None.

    Raises:
        LabelError: the file is no CSV, or lacks a column that is needed.
        ValueError: there is no such file.
    """
    needed = columns if needed is None else needed
    names = ",".join(needed)
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            missing = [name for name in needed if name not in header]
            if missing:
                raise LabelError(f"{table} lacks the column {missing[0]!r}: its first line must name {names}")
            width = len(header)
            chosen = itemgetter(*(header.index(name) if name in header else width for name in columns))
            padding = [""] * (width + 1)  # for lines cut short, and for columns that the table lacks
            for row in reader:
                if row:
                    yield reader.line_num, chosen(row[:width] + padding)
    except FileNotFoundError:
        raise ValueError(f"{table} does not exist") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"{table} is no CSV in UTF-8 ({error}): give a folder, or a table {names}") from None


def columns_of(table: Path) -> tuple[str, ...]:
    """What the first line of a CSV names; nothing where there is no such file, or it is no CSV."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            return tuple(next(csv.reader(file), []))
    except (OSError, UnicodeDecodeError, csv.Error):
        return ()


def _box(cells: Sequence[str], table: Path, line: int) -> Box:
    try:
        x1, y1, x2, y2 = (float(cell) for cell in cells)
    except ValueError:
        raise LabelError(f"{table}, line {line}: x1,y1,x2,y2 are not four numbers") from None
    return x1, y1, x2, y2
