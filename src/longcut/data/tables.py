"""CSV tables of images and of boxes."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One row of a table of images; an empty string where a column is absent."""

    path: str
    target: str
    split: str = ""
    bias: str = ""
    mask: str = ""
    box: Box | None = None


def read_image_table(table: Path) -> list[ImageRow]:
    """Read `path,target[,split,bias,mask,x1,y1,x2,y2]`.

    Raises:
        ValueError: names the file, the line and what is wrong there.
    """
    return [
        ImageRow(
            path=_text(row, "path", where),
            target=_text(row, "target", where),
            split=row.get("split") or "",
            bias=row.get("bias") or "",
            mask=row.get("mask") or "",
            box=_box(row, where) if row.get("x1") else None,
        )
        for row, where in _rows(table, ("path", "target"))
    ]


def read_boxes(table: Path) -> dict[str, Box]:
    """Read `file,x1,y1,x2,y2` (pixels, corners included) into a box for each file.

    Raises:
        ValueError: names the file, the line and what is wrong there.
    """
    return {
        _text(row, "file", where): _box(row, where) for row, where in _rows(table, ("file", "x1", "y1", "x2", "y2"))
    }


def _rows(table: Path, needed: tuple[str, ...]) -> Iterator[tuple[dict[str, str], str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in needed if name not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(
                    f"{table} lacks the column {missing[0]!r}: its first line must name {','.join(needed)}"
                )
            for row in reader:
                yield row, f"{table}, line {reader.line_num}"
    except FileNotFoundError:
        raise ValueError(f"{table} does not exist") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{table} is no CSV in UTF-8: {error}") from None


def _text(row: dict[str, str], column: str, where: str) -> str:
    value = row[column]
    if not value:
        raise ValueError(f"{where}: {column} is empty")
    return value


def _box(row: dict[str, str], where: str) -> Box:
    try:
        return float(row["x1"]), float(row["y1"]), float(row["x2"]), float(row["y2"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{where}: x1,y1,x2,y2 are not four numbers") from None
