"""Figures in sentences."""

from __future__ import annotations

from longcut.report.groups import Cell


def overlap(a: Cell, b: Cell) -> bool:
    """Whether two 95 % intervals overlap, or one is not known: then the values do not count as different."""
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return True
    return a.low <= b.high and b.low <= a.high


def points(cell: Cell) -> str:
    """A difference, with its interval."""
    return _with_interval(cell, "points")


def share(cell: Cell) -> str:
    """A share of images, with its interval."""
    return _with_interval(cell, "%")


def percent(value: float) -> str:
    """A number with one decimal."""
    text = f"{100 * value:.1f}"
    return "0.0" if text == "-0.0" else text.replace("-", "\u2212")


def change(ours: Cell, theirs: Cell, where: str) -> str:
    """How much better or worse a value is than another."""
    text = f"{100 * (ours.mean - theirs.mean):+.1f}"
    if float(text) == 0:
        return f"as good {where}"
    unsure = " (the intervals overlap)" if overlap(ours, theirs) else ""
    return f"{text[1:]} points {'better' if text[0] == '+' else 'worse'} {where}{unsure}"


def _with_interval(cell: Cell, unit: str) -> str:
    value = f"{percent(cell.mean)} {unit}"
    if cell.low is None or cell.high is None:
        return value
    return f"{value} (95 % interval {percent(cell.low)} to {percent(cell.high)})"
