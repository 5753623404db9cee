"""Tables with a line for each group of class and bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longcut.report.columns import HEADS, Column, dataset_title, split_head
from longcut.report.compare import Comparison
from longcut.report.groups import Cell, Group
from longcut.report.table import format_cell

_METRIC = "group_accuracy"
_LISTED = 200


@dataclass(frozen=True, slots=True)
class GroupTable:
    """Accuracy of every group of one data set."""

    title: str
    methods: tuple[Group, ...]
    """Those that were measured on it."""
    rows: tuple[tuple[str, int, tuple[tuple[str, str, bool], ...]], ...]
    """Name and images of each group; for each method the value, its spread and whether it is that method's lowest."""
    left_out: int
    """Groups beyond those that are listed; their accuracy is higher."""


def group_tables(comparison: Comparison) -> list[GroupTable]:
    """A table for each data set whose groups were measured."""
    keys = [(m, d) for g in comparison.groups for m, d, name in g.cells if split_head(m)[1] == _METRIC]
    return [_table(comparison, metric, dataset) for metric, dataset in dict.fromkeys(keys)]


def _table(comparison: Comparison, metric: str, dataset: str) -> GroupTable:
    column, of_name = Column(metric, dataset), _cells(comparison.groups, metric, dataset)
    methods = tuple(group for group in comparison.groups if any(group.label in cells for cells in of_name.values()))
    means = {name: sum(cell.mean for cell in cells.values()) / len(cells) for name, cells in of_name.items()}
    listed = set(sorted(means, key=lambda name: means[name])[:_LISTED])
    lowest = {g.label: min(cells[g.label].mean for cells in of_name.values() if g.label in cells) for g in methods}
    rows = []
    for name, cells in ((name, cells) for name, cells in of_name.items() if name in listed):
        found = [(cells.get(group.label), lowest[group.label]) for group in methods]
        shown = tuple((*format_cell(cell, column), cell is not None and cell.mean == least) for cell, least in found)
        rows.append((name, min(cell.n for cell in cells.values()), shown))
    head = split_head(metric)[0]
    title = ", ".join([dataset_title(dataset), *HEADS[head][1:]] if head else [dataset_title(dataset)])
    return GroupTable(title, methods, tuple(rows), len(of_name) - len(rows))


def _cells(groups: Sequence[Group], metric: str, dataset: str) -> dict[str, dict[str, Cell]]:
    """Name of a group of images -> label of a method -> its accuracy there."""
    found: dict[str, dict[str, Cell]] = {}
    for group in groups:
        for (m, d, name), cell in group.cells.items():
            if (m, d) == (metric, dataset) and name is not None:
                found.setdefault(name, {})[group.label] = cell
    return found
