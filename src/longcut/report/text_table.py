"""Rows of text as a table, for a terminal or in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Render = Callable[[Sequence[str], Sequence[Sequence[str]]], str]
"""Head and rows to a table: `aligned` or `markdown`."""


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, with a line beneath the head."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]
    ]
    return "\n".join([lines[0], "-" * max(len(line) for line in lines), *lines[1:]])


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, whose cells can hold any text."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"

    return "\n".join([line(head), "|" + " --- |" * len(head), *(line(row) for row in rows)])


def prose(lines: Sequence[str], render: Render) -> str:
    """Lines beside a table, in which no name is taken for HTML where that would be rendered."""
    text = "\n".join(lines)
    return text.replace("<", "&lt;") if render is markdown else text
