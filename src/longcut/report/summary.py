"""What the commands print when runs are done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from longcut.report.compare import Comparison, compare
from longcut.report.groups import flatten
from longcut.report.page import write_report
from longcut.report.plots import SweepPoint, plot_sweep
from longcut.report.runs import read_run
from longcut.report.table import format_table

__all__ = ["compare_runs", "format_table", "summarise", "write_sweep"]

SWEPT = {
    "original": ("accuracy", "original"),
    "mixed_rand": ("accuracy", "mixed_rand"),
    "bg_gap": ("bg_gap", "mixed_same-mixed_rand"),
}
"""Metric and dataset of each line of a sweep's figure."""


def compare_runs(runs: Sequence[Path]) -> Comparison:
    """The comparison of some runs' folders."""
    return compare([read_run(run) for run in runs])


def summarise(runs: Sequence[Path], page: Path, *, title: str | None = None) -> str:
    """Write the page, and return the table with the page's path beneath."""
    write_report(runs, page, title=title)
    return f"{format_table(compare_runs(runs))}\n\nreport: {page}"


def write_sweep(runs: Sequence[Path], out: Path, varied: Sequence[str]) -> str:
    """Write what a sweep gave: the page, and a figure for each number that varied, where a challenge was measured.

    Args:
        runs: folders of the runs.
        out: folder of `report.html` and `<setting>.svg`.
        varied: keys of the settings.

    Returns:
        The table, with the page's path beneath.
    """
    for key in varied:
        name = key.rpartition(".")[2]
        points = [point for run in runs for point in _points(run, key)]
        if points:
            (out / f"{name}.svg").write_text(plot_sweep(points, name=name), "utf-8")
    return summarise(runs, out / "report.html")


def _points(run: Path, key: str) -> list[SweepPoint]:
    """The swept metrics of one run, at the value that the setting has there; none where it is no number."""
    results = read_run(run)
    value = next(v for k, v in flatten(results.settings).items() if k.rpartition(".")[2] == key.rpartition(".")[2])
    if not isinstance(value, int | float):
        return []
    rows = {(row.metric, row.dataset): row.value for row in results.rows if row.class_name is None}
    return [SweepPoint(float(value), label, rows[source]) for label, source in SWEPT.items() if source in rows]
