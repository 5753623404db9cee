"""What an audit measured, in words that need no glossary."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

from longcut.evaluation.audit.result import Effect, Shortcut
from longcut.report.groups import flatten
from longcut.report.words import percent

NOTHING = "\u2013"
CUES = {"colour": "colours", "file": "JPEG quality"}
"""What a cue is called in a sentence, where that is not its name."""
_KINDS = {
    "swapped": "own class\u2019s less another class\u2019s",
    "removed": "lost without it",
    "alone": "kept by this alone, above chance",
    "measured": "as it is",
}
_MASKS = {
    "given": "given with the images",
    "grabcut": "cut out automatically (GrabCut)",
    "none": "none: what needs them could not run",
}
_LONGEST = 400


def heading(name: str) -> str:
    """A name of the code as people write it."""
    text = name.replace("_", " ")
    return text[:1].upper() + text[1:]


def share(value: Any) -> str:
    """A share in percent; a dash where it is not known."""
    return f"{percent(value)}\u00a0%" if is_known(value) else NOTHING


def is_known(value: Any) -> TypeGuard[float]:
    """Whether a number was measured."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def amount(effect: Effect) -> str:
    """An effect with its unit: a difference in points, a figure in percent."""
    if not is_known(effect.value):
        return NOTHING
    return f"{percent(effect.value)}\u00a0{'%' if effect.kind == 'measured' else 'points'}"


def interval(low: float | None, high: float | None) -> str:
    """From where to where, in points or percent."""
    return f"{percent(low)} to {percent(high)}" if is_known(low) and is_known(high) else NOTHING


def meaning(effect: Effect) -> str:
    """How an effect's kind is to be read."""
    return _KINDS[effect.kind]


def plainly(shortcut: Shortcut) -> str:
    """What a shortcut costs, in images out of a hundred."""
    cue, effect = CUES.get(shortcut.cue, shortcut.cue.replace("_", " ")), shortcut.effect
    count = round(100 * effect.value) if is_known(effect.value) else 0
    kept = "are recognised" if effect.unit == "accuracy" else "keep their answer"
    return (
        f"Of 100 images, {count} more {kept} when they have the {cue} of another image of their own class "
        f"than when they have the {cue} of an image of another class."
    )


def mask_facts(masks: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is known of the masks, where they come from first."""
    rest = {key: value for key, value in masks.items() if key != "source"}
    source = masks.get("source")
    return [("Source", _MASKS.get(str(source), str(source)))] * (source is not None) + [
        (heading(key.replace(".", ", ")), text) for key, text in facts(rest)
    ]


def facts(table: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A table of anything as keys and short texts."""
    return [(str(key), _text(value)) for key, value in flatten(dict(table)).items()]


def _text(value: Any) -> str:
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = ", ".join(_text(each) for each in value) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\u2026 ({len(text) - _LONGEST} characters more)"
