"""What measures by groups say, in words: how far each method leans on a bias that is labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longcut.report.columns import HEADS, dataset_title
from longcut.report.compare import with_baselines
from longcut.report.groups import Cell, Group
from longcut.report.rules import in_order, main_rule, rule_title
from longcut.report.words import change, more, percent, points, share


def judge_bias(groups: Sequence[Group]) -> list[str]:
    """Sentences on the worst group and on what the bias decides; none where no bias was labelled.

    Methods are set against the plain classifier under the same selection rule, on the same data and by the same head.
    The first sentences are those of the rule that most methods have.
    """
    tests = list(dict.fromkeys(test for group in groups for test in _tests(group)))
    several = len(tests) > 1
    sentences = []
    for test in tests:
        measured = [group for group in groups if _worst(group, test) is not None]
        rules = [group.selection for group in measured]
        first = main_rule(rules)
        for rule in [first, *(other for other in in_order(rules) if other != first)]:
            chosen = [group for group in measured if group.selection == rule]
            place = [f"on {test.title}"] * several + [f"selected by {rule_title(rule)}"] * (len(set(rules)) > 1)
            sentences += [_placed(sentence, place) for sentence in _of_rule(chosen, test)]
    return sentences


@dataclass(frozen=True, slots=True)
class _Test:
    """A data set with groups, and what classified it."""

    dataset: str
    head: str
    """What the metrics begin with."""

    @property
    def title(self) -> str:
        """As people read it."""
        return " ".join([dataset_title(self.dataset), *HEADS.get(self.head, ())[1:]])

    def cell(self, group: Group, metric: str) -> Cell | None:
        """A measure of a method."""
        return group.get(self.head + metric, self.dataset)


def _tests(group: Group) -> list[_Test]:
    found = [(dataset, metric) for metric, dataset, name in group.cells if name is None]
    known = [f"{head}worst_group" for head in ("", *HEADS)]
    return [_Test(d, m.removesuffix("worst_group")) for d, m in found if m in known]


def _worst(group: Group, test: _Test) -> Cell | None:
    return test.cell(group, "worst_group")


def _placed(sentence: str, place: Sequence[str]) -> str:
    """A sentence with what it holds for before it."""
    where = ", ".join(place)
    return f"{where[:1].upper()}{where[1:]}: {sentence}" if place else sentence


def _of_rule(groups: Sequence[Group], test: _Test) -> list[str]:
    """The headline first: the plain classifier and what is best beside it."""
    cells = {group.name: cell for group in groups if (cell := _worst(group, test)) is not None}
    pairs = with_baselines(groups, lambda group, _: -cells[group.name].mean)
    if not pairs:
        ranked = sorted(groups, key=lambda group: -cells[group.name].mean)
        return [_alone(group, cells[group.name], test) for group in ranked]
    plain = pairs[0][1]
    best, *others = (_against(group, cells[group.name], b, cells[b.name], test) for group, b in pairs)
    return [f"{_alone(plain, cells[plain.name], test)} {best}", *others]


def _alone(group: Group, worst: Cell, test: _Test) -> str:
    name, whole = _worst_name(group, test), test.cell(group, "accuracy")
    among = f" and {percent(whole.mean)} % of all images" if whole else ""
    sentence = f"{group.name} recognises {share(worst)} of its worst group{name}{among}."
    gap = test.cell(group, "bias_gap")
    return sentence if gap is None else f"{sentence} {_gap(gap)}"


def _worst_name(group: Group, test: _Test) -> str:
    """The group with the lowest accuracy, over all seeds."""
    of_group = {
        name: cell.mean
        for (metric, dataset, name), cell in group.cells.items()
        if (metric, dataset) == (f"{test.head}group_accuracy", test.dataset) and name is not None
    }
    return f" ({min(of_group, key=lambda name: of_group[name])})" if of_group else ""


def _gap(gap: Cell) -> str:
    """What the bias decides."""
    if gap.low is None or gap.high is None:
        return f"Its bias gap is {points(gap)}, measured without an interval."
    if gap.low <= 0 <= gap.high:
        return f"It shows no measurable reliance on the bias: bias gap {points(gap)}."
    if gap.high < 0:
        return f"It does better on images that go against the bias than on those that go with it: {points(gap)}."
    return f"It leans on the bias: on images that go against it, it loses {points(gap)}."


def _against(group: Group, ours: Cell, baseline: Group, theirs: Cell, test: _Test) -> str:
    if ours.hashes != theirs.hashes:
        figure = f"worst group {share(ours)}"
        return f"{group.name} was measured on other images ({figure}) and cannot be set against {baseline.name}."
    worst = f"{share(ours)} of its worst group{_worst_name(group, test)}"
    sentence = f"{group.name} recognises {worst}, {more(ours, theirs, baseline.name)}"
    mine, other = test.cell(group, "bias_gap"), test.cell(baseline, "bias_gap")
    if mine is not None and other is not None:
        lost = f"{points(mine)}, {more(mine, other, baseline.name)}"
        sentence += f"; on images that go against the bias it loses {lost}"
    whole, before = test.cell(group, "accuracy"), test.cell(baseline, "accuracy")
    if whole is not None and before is not None:
        sentence += f"; it is {change(whole, before, 'on all images')}"
    return f"{sentence}."
