"""Runs that are one method: grouped, and their values drawn together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import PurePath
from typing import Any

import numpy as np

from longcut.report.rules import in_order, rule_mark
from longcut.report.runs import Row, RunResults

_NOT_THE_METHOD = frozenset({"seed", "out", "resume", "device", "workers", "num_workers", "cache", "log_every"})
"""Keys of `[run]` in which runs of one method may differ."""
_MARKS = 3
"""How many settings a label names."""

Key = tuple[str, str, str | None]
"""Metric, dataset and class."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One measure of one group: a value for each of its runs."""

    values: tuple[float, ...]
    low: float | None
    high: float | None
    """95 % interval: of a single run as it was measured, of several from their spread (Student's t)."""
    n: int
    hashes: frozenset[str]
    """Hashes of the data that the values were measured on."""

    @property
    def mean(self) -> float:
        """Mean over the runs."""
        return float(np.mean(self.values))

    @property
    def std(self) -> float | None:
        """Standard deviation over the runs (ddof=1), None for a single one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that differ in their seed alone, under one selection rule."""

    label: str
    """Tells the groups apart; names the rule where the same runs stand under several."""
    name: str
    """The label without the rule: groups that share it are the same runs."""
    method: str
    runs: tuple[RunResults, ...]
    seeds: tuple[int | None, ...]
    selection: str
    starting_weights: str
    cells: dict[Key, Cell]

    @property
    def trained_on(self) -> str | None:
        """Where the training images are, as the command named them; None where a model was not trained here."""
        data: str | None = self.runs[0].settings.get("paths", {}).get("data")
        return data

    def get(self, metric: str, dataset: str, class_name: str | None = None) -> Cell | None:
        """The measure, None where no run has it."""
        return self.cells.get((metric, dataset, class_name))


@dataclass(frozen=True, slots=True)
class _Member:
    run: RunResults
    rows: dict[Key, Row]
    label: str
    selection: str
    starting_weights: str
    settings: dict[str, Any]


def group_runs(runs: Sequence[RunResults]) -> tuple[Group, ...]:
    """Group runs by preset (or method), selection rule, starting weights and every setting but the seed.

    Where groups would share a name, what sets them apart is added to it: `clad (weight=2)`.
    """
    members = [member for run in runs for member in _members(run)]
    gathered: dict[str, list[_Member]] = {}
    for m in members:
        gathered.setdefault(repr((m.label, m.selection, m.starting_weights, sorted(m.settings.items()))), []).append(m)
    groups = list(gathered.values())
    labels = _labels([group[0] for group in groups])
    return tuple(_make_group(label, name, group) for (label, name), group in zip(labels, groups, strict=True))


def _members(run: RunResults) -> list[_Member]:
    """One for each selection rule: the rows of the weights that were evaluated last."""
    members = []
    for selection in in_order(row.selection for row in run.rows):
        rows = [row for row in run.rows if row.selection == selection]
        last = rows[-1]
        latest = {(r.metric, r.dataset, r.class_name): r for r in rows if r.weights_hash == last.weights_hash}
        label = last.preset or last.method
        members.append(_Member(run, latest, label, selection, last.starting_weights, _what_defines(run.settings)))
    return members


def _what_defines(settings: dict[str, Any]) -> dict[str, Any]:
    flat = flatten(settings)
    return {k: v for k, v in flat.items() if not (k.startswith("run.") and k[len("run.") :] in _NOT_THE_METHOD)}


def flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _labels(members: Sequence[_Member]) -> list[tuple[str, str]]:
    """Label and name of each group, from one of its members."""
    labels = []
    for member in members:
        others = [m for m in members if m.label == member.label and m is not member]
        marks = []
        if any(m.starting_weights != member.starting_weights for m in others):
            marks.append(f"from {member.starting_weights}")
        keys = {k for m in others for k in m.settings.keys() | member.settings.keys()}
        differing = sorted(k for k in keys if any(m.settings.get(k) != member.settings.get(k) for m in others))
        marks += [_mark(key, member, others) for key in differing[:_MARKS]]
        marks += [f"and {len(differing) - _MARKS} more"] * (len(differing) > _MARKS)
        rule = [rule_mark(member.selection)] * any(m.selection != member.selection for m in others)
        labels.append((_marked(member.label, rule + marks), _marked(member.label, marks)))
    return [
        (f"{label}, {m.run.folder}", f"{name}, {m.run.folder}") if labels.count((label, name)) > 1 else (label, name)
        for (label, name), m in zip(labels, members, strict=True)
    ]


def _mark(key: str, member: _Member, others: Sequence[_Member]) -> str:
    """A setting as a label names it; of a path the part that others have not."""
    value = member.settings.get(key, "unset")
    if key.startswith("paths.") and key in member.settings:
        paths = [PurePath(m.settings[key]).parts for m in (member, *others) if key in m.settings]
        common = len(list(takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))))
        value = PurePath(*paths[0][min(common, len(paths[0]) - 1) :])
    return f"{key.rsplit('.', 1)[-1]}={value}"


def _marked(label: str, marks: Sequence[str]) -> str:
    return f"{label} ({', '.join(marks)})" if marks else label


def _make_group(label: str, name: str, members: Sequence[_Member]) -> Group:
    keys = dict.fromkeys(key for member in members for key in member.rows)
    cells = {}
    for key in keys:
        rows = [m.rows[key] for m in members if key in m.rows and math.isfinite(m.rows[key].value)]
        if rows:
            cells[key] = _make_cell(rows)
    first = members[0]
    some_row = next(iter(first.rows.values()))
    seeds = tuple(next(iter(m.rows.values())).seed for m in members)
    runs = tuple(m.run for m in members)
    return Group(label, name, some_row.method, runs, seeds, first.selection, first.starting_weights, cells)


def _make_cell(rows: Sequence[Row]) -> Cell:
    values = tuple(float(row.value) for row in rows)
    if len(values) == 1:
        low, high = rows[0].low, rows[0].high
    else:
        half = _student_quantile(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
        low, high = float(np.mean(values)) - half, float(np.mean(values)) + half
    return Cell(values, low, high, min(row.n for row in rows), frozenset(row.data_hash for row in rows))


def _student_quantile(degrees: int) -> float:
    """97.5 % quantile of Student's t."""
    from scipy.special import stdtrit  # of several runs alone: a report of one starts without it

    return float(stdtrit(degrees, 0.975))
