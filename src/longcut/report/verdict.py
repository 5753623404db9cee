"""What the numbers say, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longcut.report.bias_verdict import judge_bias
from longcut.report.compare import Comparison, with_baselines
from longcut.report.groups import Cell, Group
from longcut.report.rules import main_rule, rule_title
from longcut.report.words import change, overlap, points

_GAP = ("bg_gap", "mixed_same-mixed_rand")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A headline of one or two sentences, and a sentence on each method that it leaves out."""

    headline: str
    details: tuple[str, ...] = ()


def judge(comparison: Comparison) -> Verdict:
    """Say how far each method leans on backgrounds or on a bias, against the baseline, and what that costs.

    Two figures count as different where their 95 % intervals do not overlap; where they do, the words say so. Only what
    was selected by the same rule is set side by side.
    """
    measured = [group for group in comparison.groups if group.get(*_GAP) is not None]
    found = [*(_of_backgrounds(measured) if measured else ()), *judge_bias(comparison.groups)]
    return Verdict(found[0], tuple(found[1:])) if found else _without_backgrounds(comparison.groups)


def _of_backgrounds(measured: Sequence[Group]) -> list[str]:
    """The headline, and a sentence on each method that it leaves out."""
    rule = main_rule(group.selection for group in measured)
    judged = [group for group in measured if group.selection == rule]
    others = {group.name for group in measured} - {group.name for group in judged}
    unlike = [_by_another_rule(group, rule) for group in measured if group.name in others]
    pairs = with_baselines(judged, _rank)
    if not pairs:
        return [*(_alone(group) for group in sorted(judged, key=_gap_of)), *unlike]
    best, *rest = (_against(group, baseline) for group, baseline in pairs)
    return [f"{_alone(pairs[0][1])} {best}", *rest, *unlike]


def _by_another_rule(group: Group, rule: str) -> str:
    figure = f"its BG-Gap of {points(_gap(group))} cannot be set against what {rule} selected"
    return f"{group.name} was selected by another rule, {rule_title(group.selection)}: {figure}."


def _without_backgrounds(groups: Sequence[Group]) -> Verdict:
    """How far each model tells an image from its own patches, where that is what was measured."""
    missing = (
        "How far these models lean on backgrounds was not measured: it takes results on mixed_same and mixed_rand."
    )
    cosines = {group.label: cell.mean for group in groups if (cell := _patch_cosine(group)) is not None}
    if not cosines:
        return Verdict(missing)
    best, *others = sorted(cosines, key=lambda label: cosines[label])
    headline = f"{best} has a cosine of {cosines[best]:.3f} between an image and its own patches"
    if others:
        headline += f", {', '.join(f'{label} {cosines[label]:.3f}' for label in others)}"
    return Verdict(f"{headline}: the lower, the less it goes by texture.", (missing,))


def _patch_cosine(group: Group) -> Cell | None:
    found = [cell for (metric, _, name), cell in group.cells.items() if metric == "similarity_patch" and name is None]
    return found[0] if found else None


def _gap(group: Group) -> Cell:
    cell = group.get(*_GAP)
    assert cell is not None  # judge() leaves out groups without it
    return cell


def _gap_of(group: Group) -> float:
    return _gap(group).mean


def _rank(group: Group, baseline: Group) -> tuple[bool, float]:
    """What leans less than the baseline first, and of that what is best on random backgrounds."""
    ours, theirs, swapped = _gap(group), _gap(baseline), group.get("accuracy", "mixed_rand")
    less = ours.mean < theirs.mean and not overlap(ours, theirs) and not _learnt_less(group, baseline)
    return not less, -swapped.mean if swapped else 0.0


def _learnt_less(group: Group, baseline: Group) -> bool:
    ours, theirs = group.get("accuracy", "mixed_rand"), baseline.get("accuracy", "mixed_rand")
    return ours is not None and theirs is not None and ours.mean < theirs.mean


def _alone(group: Group) -> str:
    gap = _gap(group)
    if gap.low is None or gap.high is None:
        return f"{group.label} has a BG-Gap of {points(gap)}, measured without an interval."
    if gap.low <= 0 <= gap.high:
        return f"{group.label} shows no measurable reliance on backgrounds: BG-Gap {points(gap)}."
    if gap.high < 0:
        return f"{group.label} does better on random backgrounds than on fitting ones: BG-Gap {points(gap)}."
    return f"{group.label} leans on backgrounds: on random ones it loses {points(gap)}."


def _against(group: Group, baseline: Group) -> str:
    ours, theirs = _gap(group), _gap(baseline)
    if ours.hashes != theirs.hashes:
        figure = f"BG-Gap {points(ours)}"
        return f"{group.label} was measured on other images ({figure}) and cannot be set against {baseline.label}."
    return f"{group.label} loses {points(ours)}{_difference(ours, theirs, baseline.label)}{_cost(group, baseline)}."


def _difference(ours: Cell, theirs: Cell, name: str) -> str:
    if ours.low is None or ours.high is None or theirs.low is None or theirs.high is None:
        return ", and without intervals that says little"
    if overlap(ours, theirs):
        return f"; the intervals overlap, so these results do not show that it leans less or more than {name}"
    if ours.mean > theirs.mean:
        return f", more than {name}"
    if theirs.mean <= 0:
        return f", less than {name}"
    share = min(100 * (1 - ours.mean / theirs.mean), 100)
    measurable = ", which is no measurable reliance" if ours.low <= 0 else ""
    return f", {share:.0f} % less{measurable}"


def _cost(group: Group, baseline: Group) -> str:
    """What happens to accuracy, on random backgrounds and on original images."""
    places = (("on random backgrounds", "mixed_rand"), ("on original images", "original"))
    changes = [found for place in places if (found := _change(group, baseline, *place))]
    words = f"; it is {' and '.join(changes)}" if changes else ""
    if _learnt_less(group, baseline):
        words += " (a model that has learnt little has little to lose)"
    return words


def _change(group: Group, baseline: Group, where: str, dataset: str) -> str:
    ours, theirs = group.get("accuracy", dataset), baseline.get("accuracy", dataset)
    if ours is None or theirs is None or ours.hashes != theirs.hashes:
        return ""
    return change(ours, theirs, where)
