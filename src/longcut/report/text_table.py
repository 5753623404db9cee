"""Rows of text as a table, for a terminal or in Markdown."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence

Render = Callable[[Sequence[str], Sequence[Sequence[str]]], str]
"""Head and rows to a table: `aligned` or `markdown`."""


def terminal_width() -> int | None:
    """Characters in a line of the terminal that is printed to; None where that is a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None) -> str:
    """Columns padded to one width each, with a line beneath the head.

    Args:
        head: of the columns.
        rows: as many cells each.
        width: characters that a line may have; what is wider stands in several tables, the first column in each.
    """
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    tables = []
    for columns in _columns_that_fit(widths, width):
        lines = ["  ".join(row[i].ljust(widths[i]) for i in columns).rstrip() for row in [head, *rows]]
        tables.append("\n".join([lines[0], "-" * max(len(line) for line in lines), *lines[1:]]))
    return "\n\n".join(tables)


def _columns_that_fit(widths: Sequence[int], width: int | None) -> list[list[int]]:
    """The columns of each table: the first, and as many of the others as fit beside it, one at least."""
    tables = [[0]]
    for i in range(1, len(widths)):
        if width is not None and len(tables[-1]) > 1 and sum(widths[j] + 2 for j in tables[-1]) + widths[i] > width:
            tables.append([0])
        tables[-1].append(i)
    return tables


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, whose cells can hold any text."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"

    return "\n".join([line(head), "|" + " --- |" * len(head), *(line(row) for row in rows)])


def prose(lines: Sequence[str], render: Render) -> str:
    """Lines beside a table, in which no name is taken for HTML where that would be rendered."""
    text = "\n".join(lines)
    return text.replace("<", "&lt;") if render is markdown else text
