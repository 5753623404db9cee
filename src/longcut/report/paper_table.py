"""A paper's table with our runs beside what was published: read from the runs' folders, whatever there is of them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from longcut.recipes.paper_table import PaperTable, Published, Row, runs_of
from longcut.report.rules import in_order, is_oracle, rule_title
from longcut.report.runs import read_run
from longcut.report.text_table import aligned, markdown

FORMATS = ("text", "markdown", "csv")
_DATASET = "test"
_FIELDS = ("row", "preset", "column", "metric", "selection", "mean", "std", "seeds", "values")
_PUBLISHED = ("published", "published_std", "source")


@dataclass(frozen=True, slots=True)
class Measured:
    """The runs of a cell under one selection rule."""

    seeds: tuple[int, ...]
    values: tuple[float, ...]
    """In [0, 1]."""

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return fmean(self.values)

    @property
    def std(self) -> float | None:
        """Standard deviation over the seeds (ddof=1), None for a single one."""
        return stdev(self.values) if len(self.values) > 1 else None


Cells = Mapping[tuple[str, str], Mapping[str, Measured]]
"""What was measured, by the keys of row and column, and then by selection rule."""


def read_cells(table: PaperTable, out: Path, seeds: Sequence[int] = ()) -> Cells:
    """What was measured of a table's runs; a cell that has no run yet is not there.

    Args:
        table: what the cells are.
        out: folder of the table.
        seeds: the seeds to read; the table's own where none are given.

    Raises:
        ValueError: a run's results are broken; names the file.
    """
    gathered: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
    for run in runs_of(table, seeds):
        for rule, value in _values(run.folder(out), table.metric).items():
            gathered.setdefault((run.row.key, run.column.key), {}).setdefault(rule, {})[run.seed] = value
    return {
        key: {rule: Measured(tuple(found), tuple(found.values())) for rule, found in rules.items()}
        for key, rules in gathered.items()
    }


def _values(folder: Path, metric: str) -> dict[str, float]:
    """A run's values on the test split, by selection rule."""
    if not (folder / "results.jsonl").is_file():
        return {}
    rows = [
        row for row in read_run(folder).rows if (row.metric, row.dataset, row.class_name) == (metric, _DATASET, None)
    ]
    return {row.selection: row.value for row in rows if math.isfinite(row.value)}


def check_format(form: str) -> None:
    """Refuse a form that no table is printed in.

    Raises:
        ValueError: there is no such form.
    """
    if form not in FORMATS:
        raise ValueError(f"no table as '{form}': choose one of {', '.join(FORMATS)}")


def format_paper_table(table: PaperTable, cells: Cells, form: str = "text") -> str:
    """The table as text.

    Args:
        table: rows, columns and published values.
        cells: what was measured.
        form: `text` or `markdown` (percent with one decimal; a line for each selection rule and one for what was
            published, notes beneath), or `csv` (a line for each cell and selection rule, raw values).

    Raises:
        ValueError: no such form.
    """
    check_format(form)
    if form == "csv":
        return _csv(table, cells)
    sources = list(dict.fromkeys(row.source for row in table.rows if row.published))
    head = ["", "", *(column.title for column in table.columns)]
    body = [line for row in table.rows for line in _lines(row, table, cells, sources)]
    notes = ["In percent: mean ± standard deviation over seeds (number of seeds)."]
    if any(is_oracle(rule) for rules in cells.values() for rule in rules):
        notes.append("An oracle is the checkpoint that is the best on the test set itself.")
    notes += [*(f"[{place}] {source}" for place, source in enumerate(sources, 1)), *table.notes]
    if form == "markdown":
        return f"**{table.title}**\n\n{markdown(head, body)}\n\n" + "".join(f"- {note}\n" for note in notes)
    return f"{table.title}\n\n{aligned(head, body)}\n\n" + "".join(f"{note}\n" for note in notes)


def _lines(row: Row, table: PaperTable, cells: Cells, sources: Sequence[str]) -> list[list[str]]:
    """A row's lines: what was measured under each selection rule, and what was published."""
    found = [cells.get((row.key, column.key), {}) for column in table.columns]
    rules = in_order(rule for cell in found for rule in cell) or ["last"]
    lines = [[rule_title(rule), *(_ours(cell.get(rule)) for cell in found)] for rule in rules]
    if row.published:
        published = [_theirs(row.published.get(column.key)) for column in table.columns]
        lines.append([f"published [{sources.index(row.source) + 1}]", *published])
    return [[row.title if place == 0 else "", *line] for place, line in enumerate(lines)]


def _ours(cell: Measured | None) -> str:
    if cell is None:
        return ""
    spread = "" if cell.std is None else f" ± {100 * cell.std:.1f}"
    return f"{100 * cell.mean:.1f}{spread} ({len(cell.values)})"


def _theirs(value: Published | None) -> str:
    if value is None:
        return ""
    return f"{value.mean:.1f}" if value.std is None else f"{value.mean:.1f} ± {value.std:.1f}"


def _csv(table: PaperTable, cells: Cells) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [*_FIELDS, *_PUBLISHED], lineterminator="\n")
    writer.writeheader()
    for row in table.rows:
        for column in table.columns:
            about = {"row": row.key, "preset": row.preset, "column": column.key, "metric": table.metric}
            found = cells.get((row.key, column.key), {})
            lines = [{"selection": rule, **_raw(found[rule])} for rule in in_order(found)]
            writer.writerows(about | _raw_published(row, column.key) | line for line in lines or [{}])
    return stream.getvalue()


def _raw(cell: Measured) -> dict[str, object]:
    words = {"seeds": " ".join(map(str, cell.seeds)), "values": " ".join(map(str, cell.values))}
    return {"mean": cell.mean, "std": cell.std, **words}


def _raw_published(row: Row, column: str) -> dict[str, object]:
    value = row.published.get(column)
    if value is None:
        return {}
    std = None if value.std is None else round(value.std / 100, 6)
    return {"published": round(value.mean / 100, 6), "published_std": std, "source": row.source}
