"""Runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Any

from longcut.data.challenge_layout import VARIANTS
from longcut.report.columns import GROUP_METRICS, Column, split_head
from longcut.report.groups import Cell, Group, group_runs
from longcut.report.rules import is_oracle, main_rule, rule_title
from longcut.report.runs import RunResults

MAIN = (
    *(Column("accuracy", name) for name in ("original", "only_fg", "mixed_same", "mixed_rand", "only_bg_t")),
    Column("bg_gap", "mixed_same-mixed_rand"),
)
"""What the Background Challenge is read by."""
SELF_SUPERVISED = (
    *(Column(metric, name) for name in ("test", "val", "held_out") for metric in ("linear_accuracy", "knn_accuracy")),
    *(Column(f"{head}accuracy", name) for name in ("corruptions", "textures") for head in ("", "linear_")),
    *(Column(f"{head}shape_bias", "cue_conflict") for head in ("", "linear_")),
    *(Column(f"similarity_{kind}", name) for kind in ("patch", "texture") for name in ("test", "val", "all", "train")),
)
"""What an encoder and its texture bias are read by."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Groups of runs, what is shown of them, and what a reader must know."""

    groups: tuple[Group, ...]
    columns: tuple[Column, ...]
    """The main measures, those that at least one group has."""
    further: tuple[Column, ...]
    """All other measures, but not the parts that a mean was taken over."""
    notes: tuple[str, ...]
    """Plain lines: where rows do not compare like with like, and how to read the figures."""

    @property
    def drawn(self) -> tuple[Group, ...]:
        """One group of each method, for figures: that of the rule that most were selected by, or the first."""
        rule = main_rule(group.selection for group in self.groups)
        found: dict[str, Group] = {}
        for group in self.groups:
            if group.name not in found or group.selection == rule:
                found[group.name] = group
        return tuple(found.values())

    def series(self, group: Group) -> int:
        """Number of a method, by which figures and tables give it its looks, whatever rule it was selected by."""
        return [drawn.name for drawn in self.drawn].index(group.name)


def baseline_of(group: Group, groups: Sequence[Group]) -> Group | None:
    """The plain classifier to set a group against: another ERM group, that was not trained on mixed images.

    One that was trained on the same images as the group, or else the first; None where there is none.
    """
    erm = [other for other in groups if other.method == "erm" and other is not group]
    plain = [other for other in erm if not other.label.split(" ")[0].endswith("_mr")]
    return next((other for other in plain if other.trained_on == group.trained_on), next(iter(plain), None))


def with_baselines(groups: Sequence[Group], rank: Callable[[Group, Group], Any]) -> list[tuple[Group, Group]]:
    """Each group with the plain classifier to set it against, the least of `rank` first, plain classifiers last.

    That of the first pair is no pair's group. Where there is none there is no pair.
    """
    pairs = [(group, baseline) for group in groups if (baseline := baseline_of(group, groups)) is not None]
    plain = {baseline.label for _, baseline in pairs}
    pairs.sort(key=lambda pair: (pair[0].label in plain, rank(*pair)))
    return [pair for pair in pairs if pair[0] is not pairs[0][1]]


def compare(runs: Sequence[RunResults]) -> Comparison:
    """Set runs side by side.

    Runs that differ in their seed alone are one row for each selection rule that they were measured under: mean and
    standard deviation (ddof=1). A single run stands with its 95 % interval. Of a run that was evaluated more than once
    under a rule, the rows of the weights evaluated last count.

    Raises:
        ValueError: there is no run.
    """
    if not runs:
        raise ValueError("nothing to compare: name at least one run, 'longcut compare RUN...'")
    unique = {run.folder.resolve(): run for run in runs}
    groups = group_runs(list(unique.values()))
    measured = {(metric, dataset) for g in groups for metric, dataset, name in g.cells if name is None}
    main = dict.fromkeys((*MAIN, *SELF_SUPERVISED, *_group_columns(measured)))
    columns = tuple(c for c in main if (c.metric, c.dataset) in measured)
    others = (Column(*key) for key in sorted(measured, key=_order))
    further = tuple(c for c in others if c not in columns and "/" not in c.dataset)
    return Comparison(groups, columns, further, _notes(groups, columns + further))


def _group_columns(measured: Set[tuple[str, str]]) -> list[Column]:
    """Accuracy and the measures by groups, of each data set that has groups."""
    heads = sorted((dataset, metric.removesuffix("unbiased")) for metric, dataset in measured if _is_unbiased(metric))
    return [Column(head + metric, dataset) for dataset, head in heads for metric in ("accuracy", *GROUP_METRICS)]


def _is_unbiased(metric: str) -> bool:
    return split_head(metric)[1] == "unbiased"


def _order(key: tuple[str, str]) -> tuple[bool, str, int, str]:
    metric, dataset = key
    place = VARIANTS.index(dataset) if dataset in VARIANTS else len(VARIANTS)
    return metric != "accuracy", metric, place, dataset


def _notes(groups: Sequence[Group], columns: Sequence[Column]) -> tuple[str, ...]:
    notes = [note for column in columns for note in _data_notes(groups, column)]
    notes += _rule_notes(groups)
    if len({g.starting_weights for g in groups}) > 1:
        notes.append("Starting weights differ between rows: " + _listing(groups, "starting_weights") + ".")
    if len({g.trained_on for g in groups if g.trained_on is not None}) > 1:
        notes.append("Training images differ between rows.")
    if len({g.seeds for g in groups}) > 1:
        notes.append("Seeds differ between rows.")
    shared = [group.label for group in groups if len(set(group.seeds)) < len(group.seeds)]
    notes += [f"{label}: runs share a seed, so their spread is not that of independent runs." for label in shared]
    notes += _older_rows(groups)
    return tuple(dict.fromkeys(notes))


def _rule_notes(groups: Sequence[Group]) -> list[str]:
    """Where rows were selected by several rules: which compare with which."""
    rules: dict[str, set[str]] = {}
    for group in groups:
        rules.setdefault(group.name, set()).add(group.selection)
    notes = []
    if len({frozenset(found) for found in rules.values()}) > 1:
        listed = "; ".join(f"{group.name}: {rule_title(group.selection)}" for group in groups)
        notes.append(f"Selection rules differ between rows: {listed}.")
    elif len(set().union(*rules.values())) > 1:
        notes.append("Every run was measured under several selection rules: compare rows of the same rule.")
    if any(is_oracle(group.selection) for group in groups):
        notes.append("A row selected by test accuracy is an oracle: no rule that is open to a user reaches it.")
    return notes


def _data_notes(groups: Sequence[Group], column: Column) -> list[str]:
    """Where the values of one column were not measured on the same data by the same number of runs."""
    cells = [(group, group.get(column.metric, column.dataset)) for group in groups]
    measured = [(group, cell) for group, cell in cells if cell is not None]
    notes = []
    if len({h for _, cell in measured for h in cell.hashes}) > 1:
        which = "; ".join(f"{group.label}: {_short_hashes(cell)}, n={cell.n}" for group, cell in measured)
        notes.append(f"{column.title} was measured on different data and does not compare across rows ({which}).")
    for group, cell in measured:
        if len(cell.values) < len(group.runs):
            notes.append(f"{group.label}: {column.title} was measured in {len(cell.values)} of {len(group.runs)} runs.")
    return notes


def _short_hashes(cell: Cell) -> str:
    return " and ".join(sorted("+".join(_short(part) for part in h.split("+")) or "no hash" for h in cell.hashes))


def _short(part: str) -> str:
    return part.removeprefix("sha256:")[:8]


def _listing(groups: Sequence[Group], attribute: str) -> str:
    return "; ".join(f"{group.label}: {getattr(group, attribute)}" for group in groups)


def _older_rows(groups: Sequence[Group]) -> list[str]:
    runs = {run.folder: run for group in groups for run in group.runs}.values()
    notes = []
    for run in runs:
        for selection in dict.fromkeys(row.selection for row in run.rows):
            rows = [row for row in run.rows if row.selection == selection]
            if len({row.weights_hash for row in rows}) > 1:
                notes.append(
                    f"{run.folder}: evaluated with several weights; the last (step {rows[-1].step}) are shown."
                )
            last = [row for row in rows if row.weights_hash == rows[-1].weights_hash]
            if len({(r.metric, r.dataset, r.class_name) for r in last}) < len(last):
                notes.append(f"{run.folder}: evaluated on several versions of a dataset; the last written are shown.")
    return notes
