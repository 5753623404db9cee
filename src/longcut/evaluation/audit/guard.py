"""A guard: conditions on an audit's figures under which a check fails, such as `bg_gap>0.05,worst_group<70%`."""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from longcut.evaluation.audit.result import AuditResult

CHANGE = ".change"
"""Ends the name of a figure's change from the first audit to another: `bg_gap.change>0.02` fails where it grew by more
than two points."""
_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_FORM = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(>=|<=|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(%?)\s*")


@dataclass(frozen=True)
class Condition:
    """What must not be.

    Attributes:
        name: of a figure.
        operator: one of `>`, `>=`, `<` and `<=`.
        bound: as a share.
        text: as it was written.
    """

    name: str
    operator: str
    bound: float
    text: str

    def holds(self, value: float) -> bool:
        """Whether the check fails at a value."""
        return _OPERATORS[self.operator](value, self.bound)


def parse_guard(text: str) -> tuple[Condition, ...]:
    """Read conditions under which a check fails, with commas between them.

    Args:
        text: such as `bg_gap>0.05,worst_group<70%`; a bound with a percent sign is in percent.

    Raises:
        ValueError: names the condition that is none.
    """
    return tuple(_condition(part) for part in text.split(","))


def check(conditions: Iterable[Condition], figures: Mapping[str, float | None]) -> list[str]:
    """Lines on the conditions that hold, which is to say fail; none where all is well.

    Args:
        conditions: of the guard.
        figures: by name; None where a figure is known and was not measured.

    Raises:
        ValueError: a condition is on a figure that does not exist, or that was not measured.
    """
    failing = []
    for condition in conditions:
        if condition.name not in figures:
            raise ValueError(f"no figure {condition.name!r} in '{condition.text}': {_hint(condition.name, figures)}")
        value = figures[condition.name]
        if value is None or not math.isfinite(value):
            raise ValueError(f"'{condition.text}' cannot be checked: {condition.name} was not measured")
        if condition.holds(value):
            failing.append(f"{condition.name} is {value:.4g}: fails at {condition.operator} {condition.bound:.4g}")
    return failing


def figures_of(result: AuditResult, known: Iterable[str] = ()) -> dict[str, float | None]:
    """What a guard can be on: the value of every effect of an audit by its name.

    Args:
        result: the audit.
        known: names that an audit can have; None of those that this one has not.
    """
    return {**dict.fromkeys(known), **{effect.name: effect.value for effect in result.effects}}


def _condition(part: str) -> Condition:
    found = _FORM.fullmatch(part)
    if found is None:
        raise ValueError(
            f"'{part.strip()}' is no condition: write NAME>NUMBER with >, >=, < or <=, such as bg_gap>0.05"
        )
    name, sign, number, percent = found.groups()
    return Condition(name, sign, float(number) / (100 if percent else 1), part.strip())


def _hint(name: str, figures: Mapping[str, float | None]) -> str:
    near = difflib.get_close_matches(name, figures, n=1, cutoff=0.5)
    listed = f"there are {', '.join(sorted(figures))}" if figures else "there are none"
    return f"did you mean {near[0]!r}? {listed}" if near else listed
