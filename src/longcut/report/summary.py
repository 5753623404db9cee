"""What the commands print when runs are done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from longcut.report.compare import Comparison, compare
from longcut.report.page import write_report
from longcut.report.runs import read_run
from longcut.report.sweeps import write_figures
from longcut.report.table import format_table

__all__ = ["compare_runs", "format_table", "summarise", "write_sweep"]


def compare_runs(runs: Sequence[Path]) -> Comparison:
    """The comparison of some runs' folders."""
    return compare([read_run(run) for run in runs])


def summarise(runs: Sequence[Path], page: Path, *, title: str | None = None) -> str:
    """Write the page, and return the table with the page's path beneath."""
    write_report(runs, page, title=title)
    return f"{format_table(compare_runs(runs))}\n\nreport: {page}"


def write_sweep(runs: Sequence[Path], out: Path, varied: Sequence[str]) -> str:
    """Write what a sweep gave: the page, and a figure for each thing that varied.

    Args:
        runs: folders of the runs.
        out: folder of `report.html` and `<setting>.svg`.
        varied: keys of the settings.

    Returns:
        The table, with the paths of what was written beneath.
    """
    figures = write_figures([read_run(run) for run in runs], out, varied)
    return "\n".join([summarise(runs, out / "report.html"), *(f"figure: {figure}" for figure in figures)])
