"""An audit's classes and groups as tables that a reader may sort."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longcut.evaluation.audit.result import AuditResult
from longcut.report.audit.words import NOTHING, interval, is_known
from longcut.report.words import percent

_LISTED = 1000


@dataclass(frozen=True, slots=True)
class SortTable:
    """Rows of words, then numbers.

    Attributes:
        names: heading of each column.
        num_words: how many columns hold words.
        rows: words, then a number to sort by (None: unknown) and how it is written for each further column.
        left_out: rows that are not listed.
    """

    names: tuple[str, ...]
    num_words: int
    rows: tuple[tuple[tuple[str, ...], tuple[tuple[float | None, str], ...]], ...]
    left_out: int


def class_table(result: AuditResult) -> SortTable:
    """Images, accuracy and each swap of every class; the classes of lowest accuracy where they are too many."""
    listed = _lowest(result.per_class)
    keys = [key for key in dict.fromkeys(key for row in listed for key in row) if key not in ("name", "n")]
    keys = [key for key in keys if any(is_known(row.get(key)) for row in listed)]
    titles = {effect.name: f"{effect.title}, points" for effect in result.effects} | {"accuracy": "Accuracy, %"}
    rows = tuple(((str(row["name"]),), (_count(row), *(_number(row.get(key)) for key in keys))) for row in listed)
    names = ("Class", "Images", *(titles.get(key, key) for key in keys))
    return SortTable(names, 1, rows, len(result.per_class) - len(listed))


def group_table(result: AuditResult) -> SortTable:
    """Images, accuracy and interval of each class with each value of the bias; the lowest where they are too many."""
    listed = _lowest(result.groups)
    rows = tuple(
        ((str(row["target"]), str(row["bias"])), (_count(row), _number(row["accuracy"]), _interval(row)))
        for row in listed
    )
    return SortTable(
        ("Class", "Bias", "Images", "Accuracy, %", "95 % interval"), 2, rows, len(result.groups) - len(listed)
    )


def lowest_group(result: AuditResult) -> dict[str, Any] | None:
    """The group of lowest accuracy; None where no group was measured."""
    known = [row for row in result.groups if is_known(row["accuracy"])]
    return min(known, key=lambda row: row["accuracy"], default=None)


def _lowest(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """In their own order; those of lowest accuracy where they are too many."""
    order = sorted(range(len(rows)), key=lambda i: _or_last(rows[i].get("accuracy")))
    return [rows[i] for i in sorted(order[:_LISTED])]


def _or_last(value: Any) -> float:
    return value if is_known(value) else math.inf


def _count(row: dict[str, Any]) -> tuple[float | None, str]:
    return row["n"], str(row["n"])


def _number(value: Any) -> tuple[float | None, str]:
    return (value, percent(value)) if is_known(value) else (None, NOTHING)


def _interval(row: dict[str, Any]) -> tuple[float | None, str]:
    return (row["low"] if is_known(row["low"]) else None), interval(row["low"], row["high"])
