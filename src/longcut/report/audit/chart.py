"""Effects as bars: their places on one scale, in percent of its width, which a template draws."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from longcut.evaluation.audit.result import Effect
from longcut.report.audit.words import amount, heading, interval, is_known, meaning

_STEPS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0)
_TICKS = 8
_SWAPS = "Swaps: what names a shortcut"


@dataclass(frozen=True, slots=True)
class Bar:
    """An effect on the chart's scale.

    Attributes:
        title: for people.
        meaning: how its kind is to be read.
        needs_masks: whether it rests on foreground masks.
        named: whether it is that of a shortcut that the audit names.
        amount: the effect, with its unit.
        interval: from where to where.
        start: left end of the bar, in percent of the scale's width.
        width: of the bar.
        low: left end of the interval.
        high: right end of it.
    """

    title: str
    meaning: str
    needs_masks: bool
    named: bool
    amount: str
    interval: str
    start: float
    width: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars on one scale.

    Attributes:
        groups: a heading, and its bars: first the swaps, which name shortcuts, then the other changes of each suite.
        ticks: places on the scale and what is written there, in points.
        zero: place of no effect.
    """

    groups: tuple[tuple[str, tuple[Bar, ...]], ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float


def draw_effects(effects: Sequence[Effect], named: Collection[str]) -> Chart | None:
    """The chart of all effects that are differences, suite by suite; a figure by itself has no place on it.

    Args:
        effects: in their order.
        named: names of the effects of named shortcuts.

    Returns:
        None where there is nothing to draw.
    """
    drawn = [e for e in effects if e.kind != "measured" and all(map(is_known, (e.value, e.low, e.high)))]
    if not drawn:
        return None
    marks = _marks(min(0.0, *(min(e.low, e.value) for e in drawn)), max(0.0, *(max(e.high, e.value) for e in drawn)))
    first, last = marks[0], marks[-1]

    def place(value: float) -> float:
        return round(100 * (value - first) / (last - first), 2)

    groups: dict[str, list[Bar]] = {_SWAPS: []}
    for e in drawn:
        bar = _bar(e, e.name in named, [place(value) for value in (0.0, e.value, e.low, e.high)])
        groups.setdefault(_SWAPS if e.kind == "swapped" else heading(e.suite), []).append(bar)
    shown = tuple((name, tuple(bars)) for name, bars in groups.items() if bars)
    return Chart(shown, tuple((place(mark), _label(mark)) for mark in marks), place(0.0))


def _bar(effect: Effect, named: bool, places: Sequence[float]) -> Bar:
    zero, value, low, high = places
    texts = (amount(effect), interval(effect.low, effect.high))
    start, width = min(zero, value), abs(value - zero)
    return Bar(effect.title, meaning(effect), effect.needs_masks, named, *texts, start, round(width, 2), low, high)


def _marks(low: float, high: float) -> list[float]:
    """Round numbers from below the lowest to above the highest value; at least two."""
    span = max(high - low, 0.05)
    step = next((step for step in _STEPS if span / step <= _TICKS), _STEPS[-1])
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [k * step for k in range(first, max(last, first + 1) + 1)]


def _label(mark: float) -> str:
    return f"{100 * mark:.3g}".replace("-", "\u2212")
