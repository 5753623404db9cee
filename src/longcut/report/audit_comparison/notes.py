"""What a reader of audits side by side must know: what does not compare, and why."""

from __future__ import annotations

from collections.abc import Sequence

from longcut.evaluation.audit.result import AuditResult, Effect
from longcut.report.audit.words import is_known

_SETTINGS = {"seed": "so other images lend to each", "least": "so shortcuts are not named by the same rule"}
"""Settings that make a difference between audits, and which."""


def known_effects(audit: AuditResult) -> dict[str, Effect]:
    """Effects that have a value and an interval, by name."""
    return {e.name: e for e in audit.effects if all(map(is_known, (e.value, e.low, e.high)))}


def alike(before: Effect, after: Effect) -> bool:
    """Whether two effects of one name are on one scale."""
    return (before.kind, before.unit) == (after.kind, after.unit)


def warned(audits: Sequence[AuditResult], labels: Sequence[str]) -> list[str]:
    """The audits' own warnings, each with the audits that it is of."""
    of: dict[str, list[str]] = {}
    for audit, label in zip(audits, labels, strict=True):
        for warning in audit.warnings:
            of.setdefault(warning, []).append(label)
    return [f"{', '.join(dict.fromkeys(names))}: {warning}" for warning, names in of.items()]


def differing(before: AuditResult, after: AuditResult, labels: tuple[str, str]) -> list[str]:
    """What does not compare: effects of one audit only, scores of another kind, masks from elsewhere, other rules."""
    first, second = known_effects(before), known_effects(after)
    notes = []
    for mine, other, label in ((first, second, labels[0]), (second, first, labels[1])):
        only = [effect.title for name, effect in mine.items() if name not in other]
        notes += [f"Measured in {label} only: {'; '.join(only)}."] * bool(only)
    notes += _unlike([(effect, second[name]) for name, effect in first.items() if name in second], labels)
    if before.masks.get("source") != after.masks.get("source"):
        where = _each(labels, before.masks.get("source"), after.masks.get("source"))
        notes.append(f"Masks differ, {where}: what rests on them does not compare like with like.")
    for key, so in _SETTINGS.items():
        values = [audit.settings.get(key) for audit in (before, after)]
        if values[0] != values[1]:
            notes.append(f"Settings differ: {key} {_each(labels, *values)}, {so}.")
    return notes


def partly(found: Sequence[tuple[str, int, int, int]], labels: tuple[str, str]) -> list[str]:
    """Which changes are on part of the images.

    Args:
        found: title, images of the change, of the first and of the later effect.
        labels: of both audits.
    """
    of: dict[int, list[str]] = {}
    for title, n, before, after in found:
        if n < max(before, after):
            of.setdefault(n, []).append(title)
    both = f"{labels[0]} and {labels[1]}"
    return [
        f"{'; '.join(titles)}: the change is that on the {n:,} images that count in both {both}."
        for n, titles in of.items()
    ]


def _unlike(pairs: Sequence[tuple[Effect, Effect]], labels: tuple[str, str]) -> list[str]:
    """Effects whose score is not of one kind, as those of images with labels and without."""
    of: dict[str, list[str]] = {}
    for before, after in pairs:
        if not alike(before, after):
            scores = [e.unit if before.kind == after.kind else f"{e.unit} ({e.kind})" for e in (before, after)]
            of.setdefault(_each(labels, *scores), []).append(before.title)
    return [f"Not compared, since the score is {where}: {'; '.join(titles)}." for where, titles in of.items()]


def _each(labels: tuple[str, str], first: object, second: object) -> str:
    return f"{first} in {labels[0]} and {second} in {labels[1]}"
