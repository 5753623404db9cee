"""The table of a comparison, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from longcut.report.columns import Column
from longcut.report.compare import Comparison
from longcut.report.frame import environment
from longcut.report.groups import Cell, Group
from longcut.report.rules import rule_title
from longcut.report.text_table import Render, aligned, markdown, prose, terminal_width

_FORMATS = ("text", "markdown", "csv", "json", "html")
_NOTHING = "\u2013"
_ABOUT = ("seeds", "n", "selected by", "starting weights")


def format_number(value: float, column: Column) -> str:
    """Percent (or points) with one decimal, a cosine with three."""
    text = f"{value:.3f}" if column.is_cosine else f"{100 * value:.1f}"
    return text.removeprefix("-") if float(text) == 0 else text


def format_cell(cell: Cell | None, column: Column) -> tuple[str, str]:
    """A value and its spread: standard deviation of several runs, 95 % interval of a single one."""
    if cell is None:
        return _NOTHING, ""
    value = format_number(cell.mean, column)
    if cell.std is not None:
        return value, f"± {format_number(cell.std, column)}"
    if cell.low is None or cell.high is None:
        return value, ""
    return value, f"[{format_number(cell.low, column)}, {format_number(cell.high, column)}]"


def format_table(comparison: Comparison, form: str = "text") -> str:
    """The comparison as a table.

    Args:
        comparison: what `compare` made.
        form: `text`, `markdown` or `html` (percent with one decimal, notes beneath), `csv` (a line a measure) or `json`
            (both with raw values, per class as well). Where text goes to a terminal, no table is wider than that.

    Raises:
        ValueError: no such form.
    """
    if form not in _FORMATS:
        raise ValueError(f"no table as '{form}': choose one of {', '.join(_FORMATS)}")
    if form == "csv":
        return _csv(comparison)
    if form == "json":
        return (
            json.dumps({"notes": comparison.notes, "rows": _records(comparison)}, indent=1, ensure_ascii=False) + "\n"
        )
    if form == "html":
        parts = [(f"In percent (cosines as they are); {reading(comparison)}.", comparison.columns, True)]
        if comparison.further:
            parts.append(("Further measures", comparison.further, not comparison.columns))
        tables = [(caption, columns, _body(comparison, columns, about)) for caption, columns, about in parts if columns]
        return environment().get_template("table.html").render(tables=tables, comparison=comparison, about=_ABOUT)
    return _plain(comparison, markdown if form == "markdown" else partial(aligned, width=terminal_width()))


def reading(comparison: Comparison) -> str:
    """How the spread beside a value is to be read."""
    several = any(len(group.runs) > 1 for group in comparison.groups)
    single = any(len(group.runs) == 1 for group in comparison.groups)
    parts = ["± is the standard deviation over seeds"] * several + ["[ ] is the 95 % interval of a single run"] * single
    return ", ".join(parts)


def _plain(comparison: Comparison, render: Render) -> str:
    tables = []
    for columns in (comparison.columns, comparison.further):
        if columns:
            about = columns is comparison.columns or not comparison.columns
            head = ["", *(c.title for c in columns), *(_ABOUT if about else ())]
            rows = [
                [label, *(" ".join(c).strip() for c in cells), *facts]
                for label, cells, facts in _body(comparison, columns, about)
            ]
            tables.append(render(head, rows))
    notes = [f"In percent (cosines as they are); {reading(comparison)}.", *comparison.notes]
    mark = "- " if render is markdown else ""
    return "\n\n".join(tables) + "\n\n" + prose([mark + note for note in notes], render) + "\n"


def _body(
    comparison: Comparison, columns: Sequence[Column], about: bool
) -> list[tuple[str, list[tuple[str, str]], list[str]]]:
    """Label, values with their spread, and what they rest on, for each group."""
    return [
        (
            group.label,
            [format_cell(group.get(c.metric, c.dataset), c) for c in columns],
            _facts(group, columns) if about else [],
        )
        for group in comparison.groups
    ]


def _facts(group: Group, columns: Sequence[Column]) -> list[str]:
    counts = [cell.n for c in columns if (cell := group.get(c.metric, c.dataset)) is not None]
    n = " to ".join(str(count) for count in sorted({min(counts), max(counts)})) if counts else _NOTHING
    seeds = ", ".join(_NOTHING if seed is None else str(seed) for seed in group.seeds)
    return [seeds, n, rule_title(group.selection), group.starting_weights]


def _records(comparison: Comparison) -> list[dict[str, Any]]:
    """One record for each measure of each group, with raw values."""
    return [
        {
            "label": group.label,
            "method": group.method,
            "metric": metric,
            "dataset": dataset,
            "class": name,
            "mean": cell.mean,
            "std": cell.std,
            "low": cell.low,
            "high": cell.high,
            "n": cell.n,
            "values": list(cell.values),
            "seeds": list(group.seeds),
            "selection": group.selection,
            "starting_weights": group.starting_weights,
            "data_hash": sorted(cell.hashes),
        }
        for group in comparison.groups
        for (metric, dataset, name), cell in group.cells.items()
    ]


def _csv(comparison: Comparison) -> str:
    records = _records(comparison)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({k: " ".join(map(str, v)) if isinstance(v, list) else v for k, v in record.items()})
    return stream.getvalue()
