"""Changes as pairs of bars on one scale, before above after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from longcut.evaluation.audit.result import Effect
from longcut.report.audit.chart import Bar, draw_effects
from longcut.report.audit_comparison.compare import Change


@dataclass(frozen=True, slots=True)
class PairOfBars:
    """A change, and its two effects on the chart's scale; the interval of the later bar is that of the change."""

    change: Change
    before: Bar
    after: Bar


@dataclass(frozen=True, slots=True)
class ChangeChart:
    """Pairs of bars on one scale.

    Attributes:
        groups: a heading, and its pairs: first the swaps, then the other changes of each suite.
        ticks: places on the scale and what is written there, in points.
        zero: place of no effect.
    """

    groups: tuple[tuple[str, tuple[PairOfBars, ...]], ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float


def draw_changes(changes: Sequence[Change]) -> ChangeChart | None:
    """The chart of all changes of effects that are differences; a figure by itself has no place on it.

    Args:
        changes: of one later audit.

    Returns:
        None where there is nothing to draw.
    """
    # Bars of a chart come back without their effects: the number of the change as their title says whose they are.
    ends = [replace(e, title=str(i)) for i, c in enumerate(changes) for e in (c.before, _with_interval(c))]
    chart = draw_effects(ends, ())
    if chart is None:
        return None
    groups = tuple(
        (name, tuple(PairOfBars(changes[int(a.title)], a, b) for a, b in zip(bars[::2], bars[1::2], strict=True)))
        for name, bars in chart.groups
    )
    return ChangeChart(groups, chart.ticks, chart.zero)


def _with_interval(change: Change) -> Effect:
    """The later effect with the interval of the change, set where the change begins: at the first effect."""
    start = change.before.value
    return replace(change.after, suite=change.before.suite, low=start + change.low, high=start + change.high)
