"""Which of several cues are named: the strongest, and then what adds to those that are named already.

Pure logic; what is measured is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from longcut.evaluation.cues.permutation import holm

NARROWEST = ("file", "aspect", "size", "border", "background", "texture", "colour")
"""The order in which cues are named that nothing else tells apart: the one that holds least of the others first.

A file's properties hold nothing of the pixels. The frame holds nothing of what it frames, and the periphery little of
the object; but without masks the middle of an image holds a good deal of its background.
"""


@dataclass(frozen=True)
class Strength:
    """How much a cue tells of the class, alone or beyond other cues.

    Attributes:
        effect: balanced accuracy minus that of permuted labels.
        p: share of permutations that do as well.
    """

    effect: float
    p: float


@dataclass(frozen=True)
class Naming:
    """What was decided.

    Attributes:
        named: cues, in the order in which they were.
        beyond: of each cue that was named after others, what it tells beyond them, its p-value corrected.
        explained_by: for each cue that is no more than chance once others are named, the one that was named last.
        p_values: of every cue alone, corrected for their number.
    """

    named: tuple[str, ...]
    beyond: Mapping[str, Strength]
    explained_by: Mapping[str, str]
    p_values: Mapping[str, float]


Beyond = Callable[[str, Sequence[str]], Strength]
"""What a cue tells beyond others."""
Alike = Callable[[str, str], bool]
"""Whether the accuracies of two cues cannot be told apart."""


def name_cues(
    alone: Mapping[str, Strength], beyond: Beyond, alike: Alike, *, level: float = 0.05, least: float = 0.02
) -> Naming:
    """Name cues, strongest first.

    Args:
        alone: what each cue tells by itself.
        beyond: what it tells beyond others.
        alike: whether two are equally strong.
        level: of the corrected p-values, each step for itself.
        least: smallest effect that is named.
    """
    p_values = holm({cue: strength.p for cue, strength in alone.items()})
    left = {cue: found for cue, found in alone.items() if p_values[cue] <= level and found.effect >= least}
    named: list[str] = []
    added: dict[str, Strength] = {}
    explained: dict[str, str] = {}
    while left:
        if named:
            tests = {cue: beyond(cue, named) for cue in left}
            corrected = holm({cue: test.p for cue, test in tests.items()})
            adding = {cue for cue in left if corrected[cue] <= level and tests[cue].effect >= least}
            explained |= {cue: named[-1] for cue in left if cue not in adding}
            left = {cue: Strength(tests[cue].effect, corrected[cue]) for cue in left if cue in adding}
            if not left:
                break
        first = _first(left, named, beyond, alike, level, least)
        if named:
            added[first] = left[first]
        named.append(first)
        del left[first]
    return Naming(tuple(named), added, explained, p_values)


def _first(
    left: Mapping[str, Strength], named: Sequence[str], beyond: Beyond, alike: Alike, level: float, least: float
) -> str:
    """The strongest; of several that cannot be told apart, one that no other accounts for."""
    strongest = max(left, key=lambda cue: (left[cue].effect, -NARROWEST.index(cue)))
    tied = [cue for cue in left if cue == strongest or alike(strongest, cue)]

    def adds(cue: str, other: str) -> bool:
        found = beyond(cue, (*named, other))
        return found.p <= level and found.effect >= least

    def yields(cue: str, other: str) -> bool:
        if adds(cue, other):
            return False
        return adds(other, cue) or NARROWEST.index(other) < NARROWEST.index(cue)

    free = [cue for cue in tied if not any(yields(cue, other) for other in tied if other != cue)]
    return max(free or tied, key=lambda cue: (left[cue].effect, -NARROWEST.index(cue)))
