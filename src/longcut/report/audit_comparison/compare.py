"""Audits side by side: how far each shortcut changed from the first, and which grew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from longcut.evaluation.audit.guard import CHANGE, figures_of
from longcut.evaluation.audit.kept_scores import KeptScores
from longcut.evaluation.audit.paired_change import aligned, paired_change, unpaired_change
from longcut.evaluation.audit.result import AuditResult, Effect, Kind, Unit
from longcut.report.audit_comparison.notes import alike, differing, known_effects, partly, warned

Verdict = Literal["grew", "shrank", "unchanged"]
_Pair = tuple[KeptScores, KeptScores]


@dataclass(frozen=True, slots=True)
class Change:
    """An effect in the first audit and in a later one."""

    audit: int
    """Place of the later one among the audits."""
    before: Effect
    after: Effect
    change: float
    """After minus before, on the images that count in both where it is paired."""
    low: float
    high: float
    """95 % interval of the change; of a swap, one that holds together with those of all swaps that are compared."""
    n: int
    paired: bool
    """Whether the interval is from the same images of both."""
    verdict: Verdict
    """By the side of 0 that the interval lies on. A swap that grew is a shortcut that did; of other kinds it says only
    whether the number went up."""
    cue: str
    """That is swapped; empty where the effect is of no cue that was tested as a shortcut."""
    named: tuple[bool, bool]
    """Whether the first and the later audit say that the model takes the cue."""

    @property
    def name(self) -> str:
        """What a guard calls the effect."""
        return self.before.name

    @property
    def title(self) -> str:
        """For people."""
        return self.before.title

    @property
    def kind(self) -> Kind:
        """Of the effect, in both."""
        return self.before.kind

    @property
    def unit(self) -> Unit:
        """Of the effect, in both."""
        return self.before.unit


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
        """Shortcuts that grew: fixing one often feeds another."""
        return tuple(change for change in self.of("swapped") if change.verdict == "grew")

    @property
    def shrank(self) -> tuple[Change, ...]:
        """Shortcuts that shrank."""
        return tuple(change for change in self.of("swapped") if change.verdict == "shrank")

    def of(self, *kinds: Kind, audit: int | None = None) -> tuple[Change, ...]:
        """Changes of some kinds of effects.

        Args:
            kinds: `swapped`, the shortcuts; `alone`, what a cue keeps by itself; `removed`, what is lost without one,
                which is more where a model uses it more, as it should the shape; `measured`, plain figures.
            audit: place of the later audit; all where None.
        """
        return tuple(c for c in self.changes if c.kind in kinds and audit in (None, c.audit))

    def figures(self, place: int = -1, known: Iterable[str] = ()) -> dict[str, float | None]:
        """What a guard can be on: the effects of a later audit by name, and their changes as `NAME.change`.

        Args:
            place: of the later audit; the last where not given.
            known: names that an audit can have.

        Returns:
            Values; None of what was not measured in that audit, or of which there is no change.
        """
        place %= len(self.audits)
        names = dict.fromkeys([*(effect.name for audit in self.audits for effect in audit.effects), *known])
        changed = {f"{change.name}{CHANGE}": change.change for change in self.changes if change.audit == place}
        return {
            **figures_of(self.audits[place], names),
            **dict.fromkeys(f"{name}{CHANGE}" for name in names),
            **changed,
        }


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
    num_swaps = sum(before.kind == "swapped" for later in audits[1:] for before, _ in _in_both(audits[0], later))
    changes: list[Change] = []
    notes = warned(audits, labels)
    for place in range(1, len(folders)):
        pair, why = _pair(folders[0], folders[place], audits[0], audits[place])
        names = (labels[0], labels[place])
        notes += [f"{names[0]} and {names[1]}: {why}, so their intervals are not paired."] * (pair is None)
        notes += differing(audits[0], audits[place], names)
        made = _changes(place, audits[0], audits[place], pair, num_swaps)
        notes += partly([(c.title, c.n, c.before.n, c.after.n) for c in made if c.paired], names)
        changes += made
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


def _in_both(first: AuditResult, second: AuditResult) -> list[tuple[Effect, Effect]]:
    """Every effect that both audits measured, and measured alike."""
    later = known_effects(second)
    pairs = [(before, later[name]) for name, before in known_effects(first).items() if name in later]
    return [(before, after) for before, after in pairs if alike(before, after)]


def _changes(place: int, first: AuditResult, second: AuditResult, pair: _Pair | None, num_swaps: int) -> list[Change]:
    cues = {shortcut.effect.name: shortcut.cue for shortcut in (*second.shortcuts, *first.shortcuts)}
    named = [{shortcut.effect.name for shortcut in audit.named} for audit in (first, second)]
    found = []
    for before, after in _in_both(first, second):
        name, num_tests = before.name, num_swaps if before.kind == "swapped" else 1
        paired = None if pair is None else paired_change(name, *pair, num_tests)
        size = paired or unpaired_change(before, after, num_tests)
        verdict: Verdict = "grew" if size.low > 0 else "shrank" if size.high < 0 else "unchanged"
        about = (paired is not None, verdict, cues.get(name, ""), (name in named[0], name in named[1]))
        found.append(Change(place, before, after, size.value, size.low, size.high, size.n, *about))
    return found
