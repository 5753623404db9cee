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
    return _set_against(ours, theirs, ("better", "worse"), where, f"as good {where}")


def more(ours: Cell, theirs: Cell, name: str) -> str:
    """How much more or less a value is than that of a method."""
    return _set_against(ours, theirs, ("more", "less"), f"than {name}", f"as much as {name}")


def _set_against(ours: Cell, theirs: Cell, words: tuple[str, str], rest: str, same: str) -> str:
    text = f"{100 * (ours.mean - theirs.mean):+.1f}"
    if float(text) == 0:
        return same
    unsure = " (the intervals overlap)" if overlap(ours, theirs) else ""
    return f"{text[1:]} points {words[text[0] == '-']} {rest}{unsure}"


def _with_interval(cell: Cell, unit: str) -> str:
    value = f"{percent(cell.mean)} {unit}"
    if cell.low is None or cell.high is None:
        return value
    return f"{value} (95 % interval {percent(cell.low)} to {percent(cell.high)})"
