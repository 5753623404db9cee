"""Audits side by side: how far each shortcut changed from the first, and which grew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from longcut.evaluation.audit_result import AuditResult, Effect, Kind, Unit
from longcut.evaluation.guard import CHANGE, figures_of
from longcut.evaluation.intervals import Estimate
from longcut.evaluation.kept_scores import KeptScores
from longcut.evaluation.paired_change import aligned, paired_change, unpaired_change
from longcut.report.words import percent

RELIANCE = ("swapped", "alone", "removed")
"""Kinds of effects whose size says how far a model goes by a cue: growth is harm."""
_Pair = tuple[KeptScores, KeptScores]


@dataclass(frozen=True, slots=True)
class Change:
    """An effect in the first audit and in a later one."""

    audit: int
    """Place of the later one among the audits."""
    name: str
    title: str
    kind: Kind
    unit: Unit
    before: Effect
    after: Effect
    change: float
    """After minus before, on the images that count in both where it is paired."""
    low: float
    high: float
    """95 % interval of the change."""
    n: int
    paired: bool
    """Whether the interval is from the same images of both."""
    verdict: Literal["grew", "shrank", "unchanged"]
    """By whether the interval leaves out 0; of a `measured` figure only whether the number went up or down."""

    @property
    def is_reliance(self) -> bool:
        """Whether the effect is one of a shortcut, and no plain figure."""
        return self.kind in RELIANCE


@dataclass(frozen=True, slots=True)
class AuditComparison:
    """Audits, the changes from the first to each later one, and what a reader must know."""

    labels: tuple[str, ...]
    """Names of the audits, from their folders."""
    audits: tuple[AuditResult, ...]
    changes: tuple[Change, ...]
    """Of each later audit in turn, in the order of the first one's effects."""
    notes: tuple[str, ...]

    @property
    def grew(self) -> tuple[Change, ...]:
        """Reliance that grew: fixing one shortcut often feeds another."""
        return self._of("grew")

    @property
    def shrank(self) -> tuple[Change, ...]:
        """Reliance that shrank."""
        return self._of("shrank")

    @property
    def unchanged(self) -> tuple[Change, ...]:
        """Reliance of which no change is sure."""
        return self._of("unchanged")

    @property
    def measured(self) -> tuple[Change, ...]:
        """Plain figures, such as accuracy."""
        return tuple(change for change in self.changes if not change.is_reliance)

    @property
    def headlines(self) -> tuple[str, ...]:
        """A sentence on each later audit: what grew, then what shrank."""
        return tuple(self._headline(place) for place in range(1, len(self.audits)))

    def figures(self, place: int = -1) -> dict[str, float | None]:
        """What a guard can be on: the effects of a later audit by name, and their changes as `NAME.change`.

        Args:
            place: of the later audit; the last where not given.

        Returns:
            Values; None of what was measured in another of the audits only.
        """
        place %= len(self.audits)
        names = {effect.name: None for audit in self.audits for effect in audit.effects}
        changed = {f"{change.name}{CHANGE}": change.change for change in self.changes if change.audit == place}
        return {
            **figures_of(self.audits[place], names),
            **dict.fromkeys(f"{name}{CHANGE}" for name in names),
            **changed,
        }

    def _of(self, verdict: str) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.is_reliance and change.verdict == verdict)

    def _headline(self, place: int) -> str:
        parts = []
        for verdict, changes in (("grew", self.grew), ("shrank", self.shrank)):
            mine = [change for change in changes if change.audit == place]
            named = ", ".join(f"{c.title} by {percent(abs(c.change))} points" for c in mine)
            parts.append(f"{len(mine)} {verdict} ({named})" if mine else f"none {verdict}")
        left = sum(change.audit == place for change in self.unchanged)
        return f"{self.labels[place]} against {self.labels[0]}: {', '.join(parts)}, {left} without a sure change."


def compare_audits(folders: Sequence[Path]) -> AuditComparison:
    """Set audits side by side; the first is the baseline.

    Where two audits are of the same images, by path and by hash of the data, changes are measured image by image.

    Raises:
        ValueError: fewer than two folders, or one holds no audit.
    """
    if len(folders) < 2:
        raise ValueError("two audits at least are compared: 'longcut compare BEFORE AFTER...'")
    audits = tuple(AuditResult.load(folder) for folder in folders)
    labels = _labels(folders)
    changes: list[Change] = []
    notes: list[str] = []
    for place in range(1, len(folders)):
        pair, why = _pair(folders[0], folders[place], audits[0], audits[place])
        names = (labels[0], labels[place])
        notes += [f"{names[0]} and {names[1]}: {why}, so their intervals are not paired."] * (pair is None)
        notes += _differing(audits[0], audits[place], names)
        for effect in audits[0].effects:
            later = audits[place].effect(effect.name)
            if later is not None and _alike(effect, later):
                changes.append(_change(place, effect, later, pair))
    notes += [_on_both(change, labels) for change in changes if change.paired and _is_partial(change)]
    return AuditComparison(labels, audits, tuple(changes), tuple(dict.fromkeys(notes)))


def _labels(folders: Sequence[Path]) -> tuple[str, ...]:
    names = [folder.resolve().name for folder in folders]
    return tuple(str(f) if names.count(name) > 1 else name for f, name in zip(folders, names, strict=True))


def _pair(before: Path, after: Path, first: AuditResult, second: AuditResult) -> tuple[_Pair | None, str]:
    """The scores of both with their images in the same order, or why there is no such thing."""
    try:
        pair = aligned(KeptScores.load(before), KeptScores.load(after))
    except ValueError as error:
        return None, str(error)
    if pair is None:
        return None, "the images are not the same"
    if first.data.get("hash") != second.data.get("hash"):
        return None, "images of the same names differ"
    return pair, ""


def _change(place: int, before: Effect, after: Effect, pair: _Pair | None) -> Change:
    paired = None if pair is None else paired_change(before.name, *pair)
    found = paired or unpaired_change(before, after)
    return Change(
        place,
        before.name,
        before.title,
        before.kind,
        before.unit,
        before,
        after,
        found.value,
        found.low,
        found.high,
        found.n,
        paired is not None,
        _verdict(found),
    )


def _verdict(found: Estimate) -> Literal["grew", "shrank", "unchanged"]:
    if found.low > 0:
        return "grew"
    return "shrank" if found.high < 0 else "unchanged"


def _alike(before: Effect, after: Effect) -> bool:
    return (before.kind, before.unit) == (after.kind, after.unit)


def _differing(before: AuditResult, after: AuditResult, labels: tuple[str, str]) -> list[str]:
    """What does not compare: effects of one audit only, scores of another kind, masks from elsewhere."""
    notes = []
    for audit, other, label in ((before, after, labels[0]), (after, before, labels[1])):
        only = [effect.title for effect in audit.effects if other.effect(effect.name) is None]
        notes += [f"Measured in {label} only: {', '.join(only)}."] * bool(only)
    for effect in before.effects:
        later = after.effect(effect.name)
        if later is not None and not _alike(effect, later):
            kinds = " and ".join(
                f"{e.unit} ({e.kind}) in {label}" for e, label in zip((effect, later), labels, strict=True)
            )
            notes.append(f"{effect.title} is {kinds}: not compared.")
    masks = [audit.masks.get("source") for audit in (before, after)]
    if masks[0] != masks[1]:
        where = " and ".join(f"{source} in {label}" for source, label in zip(masks, labels, strict=True))
        notes.append(f"Masks differ, {where}: what rests on them does not compare like with like.")
    return notes


def _is_partial(change: Change) -> bool:
    return change.n < max(change.before.n, change.after.n)


def _on_both(change: Change, labels: Sequence[str]) -> str:
    both = f"{labels[0]} and {labels[change.audit]}"
    return f"{change.title}: the change is that on the {change.n:,} images that count in both {both}."
