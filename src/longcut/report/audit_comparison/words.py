"""How far a model changed, in words that need no glossary."""

from __future__ import annotations

from collections.abc import Sequence

from longcut.report.audit.words import CUES
from longcut.report.audit_comparison.compare import AuditComparison, Change
from longcut.report.words import percent

_MOVED = {
    "swapped": ("grew", "shrank"),
    "alone": ("more kept", "less kept"),
    "removed": ("more lost", "less lost"),
    "measured": ("rose", "fell"),
}
_NAMED = {(True, True): "still", (True, False): "no longer", (False, True): "newly", (False, False): ""}
_ACCURACY = "accuracy"
UNSURE = "no sure change"


def moved(change: Change) -> str:
    """The verdict on a change, in the words of its kind."""
    if change.verdict == "unchanged":
        return UNSURE
    return _MOVED[change.kind][change.verdict == "shrank"]


def named(change: Change) -> str:
    """Whether a cue is named as a shortcut `still`, `no longer` or `newly`; empty where it is in neither."""
    return _NAMED[change.named]


def signed(value: float) -> str:
    """A difference in points, with its sign."""
    text = percent(value)
    return f"+{text}" if value > 0 and text != "0.0" else text


def subject(change: Change) -> str:
    """What an effect is of, as it is called in a sentence."""
    if change.cue:
        return CUES.get(change.cue, change.cue.replace("_", " "))
    return change.title[:1].lower() + change.title[1:]


def headline(comparison: AuditComparison, place: int) -> str:
    """What became of the shortcuts, in a sentence.

    Args:
        comparison: of audits.
        place: of the later one.
    """
    names = f"{comparison.labels[place]} against {comparison.labels[0]}"
    swaps = comparison.of("swapped", audit=place)
    if not swaps:
        return f"{names}: no shortcut was measured alike in both, so none can be compared."
    parts = [_reliance(verdict, [c for c in swaps if c.verdict == verdict]) for verdict in ("grew", "shrank")]
    unsure = [f"the {subject(change)}" for change in swaps if change.verdict == "unchanged"]
    parts += [f"{UNSURE} for {_list(unsure)}"] * bool(unsure)
    return f"{names}: {'; '.join(parts)}."


def further(comparison: AuditComparison, place: int) -> list[str]:
    """What else a person wants to know of a later audit: which shortcuts are named, what a cue keeps, the accuracy."""
    swaps, sentences = comparison.of("swapped", audit=place), []
    for words, start in (
        ("no longer", "No longer named a shortcut"),
        ("newly", "Named a shortcut now, and not before"),
    ):
        cues = [subject(change) for change in swaps if named(change) == words]
        sentences += [f"{start}: {_list(cues)}."] * bool(cues)
    still = [subject(change) for change in swaps if named(change) == "still"]
    sentences += [f"Named a shortcut before and after: {_list(still)}."] * bool(still)
    for verdict, more in (("grew", "more"), ("shrank", "less")):
        alone = [f"{subject(c)} {_by(c)}" for c in comparison.of("alone", audit=place) if c.verdict == verdict]
        sentences += [f"By one cue alone the model keeps {more}: {_list(alone)}."] * bool(alone)
    plain = next((c for c in comparison.of("measured", audit=place) if c.name == _ACCURACY), None)
    return sentences + ([] if plain is None else [_accuracy(plain)])


def _accuracy(change: Change) -> str:
    ends = f"{percent(change.before.value)} % before, {percent(change.after.value)} % after"
    if change.verdict == "unchanged":
        return f"Accuracy shows {UNSURE} ({ends})."
    return f"Accuracy {moved(change)} by {percent(abs(change.change))} points ({ends})."


def _reliance(verdict: str, changes: Sequence[Change]) -> str:
    if not changes:
        return f"no shortcut {verdict}"
    first, *others = changes
    sizes = [f"on the {subject(first)} {verdict} {_by(first)}", *(f"on the {subject(c)} {_by(c)}" for c in others)]
    return f"reliance {_list(sizes)}"


def _by(change: Change) -> str:
    ends = f"from {percent(change.before.value)} to {percent(change.after.value)}"
    return f"by {percent(abs(change.change))} points ({ends})"


def _list(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
