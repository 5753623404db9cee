"""What the naming of shortcuts says, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from longcut.evaluation.audit.result import Effect, Shortcut
from longcut.evaluation.audit.step_down import Finding, StepDown

_CUES = {
    "background": ("the background", "comes"),
    "border": ("the border of the image", "comes"),
    "colour": ("the colours", "come"),
    "texture": ("the texture", "comes"),
    "file": ("the JPEG quality of the file", "comes"),
}
_SCORES = {"accuracy": "accuracy", "agreement": "agreement with the predictions on the unchanged images"}
_VAGUE = 0.2
"""Where an effect of this size is not ruled out, nothing is said of a cue."""


def shortcuts_of(state: StepDown, effects: Mapping[str, Effect]) -> tuple[Shortcut, ...]:
    """Every cue that was tested: those named first, each from the largest effect.

    Args:
        state: where everything is decided.
        effects: of each cue's swap.
    """
    return tuple(
        Shortcut(f.cue, effects[f.cue], f.named, f.explained_by, verdict_of(state, f.cue, effects[f.cue]))
        for f in state.ranked
    )


def verdict_of(state: StepDown, cue: str, effect: Effect) -> str:
    """What is said of a cue, and what it rests on.

    Args:
        state: where everything is decided.
        cue: one that was tested.
        effect: of its swap.
    """
    finding = state.findings[cue]
    if finding.named:
        text = f"Takes {_the(cue)}: {_change(effect)} {_when(cue, effect)}{_still(state, finding)}."
    elif finding.explained_by is not None:
        text = _explained(state, finding, effect)
    else:
        text = _no_shortcut(state, finding, effect)
    rests = " It rests on the foreground masks." if effect.needs_masks else ""
    return text + rests + (f" {effect.note}" if effect.note else "")


def movement_of(effect: Effect) -> str:
    """How the score moves, as words: an effect above 0 is a fall.

    Args:
        effect: of a swap, or of what is removed.
    """
    falls = effect.value >= 0
    low, high = (effect.low, effect.high) if falls else (-effect.high, -effect.low)
    interval = f"95 % interval {_points(low)} to {_points(high)}, {_images(effect.n)}"
    return f"{'falls' if falls else 'rises'} by {_points(abs(effect.value))} points ({interval})"


def summary_of(
    state: StepDown,
    effects: Mapping[str, Effect],
    *,
    accuracy: Effect | None = None,
    not_tested: Sequence[str] = (),
) -> str:
    """The paragraph at the top of an audit, its verdict first.

    Args:
        state: where everything is decided.
        effects: of each cue's swap.
        accuracy: on the unchanged images, where there are labels.
        not_tested: cues that could not be tested.
    """
    sentences = [*_headline(state, effects), *_explanations(state), *_others(state, effects)]
    if accuracy is not None:
        sentences.append(f"It recognises {_points(accuracy.value)} % of {_images(accuracy.n)} as they are.")
    if not_tested:
        sentences.append(f"Not tested: {_list([_the(cue) for cue in not_tested])}.")
    return " ".join(sentences)


def _headline(state: StepDown, effects: Mapping[str, Effect]) -> list[str]:
    named = state.named
    if not state.findings:
        return ["No cue could be tested, so nothing is said of shortcuts."]
    if not named:
        return [f"No shortcut was found among the {_cues(len(state.findings))} tested."]
    first, effect = named[0], effects[named[0]]
    change = f"{_change(effect)} {_when(first, effect)}."
    size = [f"{_the(cue)} ({_points(effects[cue].value)} points)" for cue in named]
    said = f"a shortcut: {_the(first)}" if len(named) == 1 else f"{len(named)} shortcuts: {_list(size)}"
    return [f"The model takes {said}.", change[:1].upper() + change[1:]]


def _explanations(state: StepDown) -> list[str]:
    sentences = []
    for cue in state.named:
        rest = [_the(f.cue) for f in state.ranked if f.explained_by == cue]
        if rest:
            sentences.append(f"What swaps of {_list(rest)} seem to cost is explained by {_the(cue)}.")
    return sentences


def _others(state: StepDown, effects: Mapping[str, Effect]) -> list[str]:
    """Cues that are no shortcut: those without a sign, and those of which it is not certain."""
    rest = [f for f in state.ranked if not f.named and f.explained_by is None]
    unsure = [f for f in rest if _is_unsure(state, f, effects[f.cue])]
    vague = [f for f in rest if f not in unsure and f.estimate.high >= _VAGUE]
    clear = [f for f in rest if f not in unsure and f not in vague]
    sentences = []
    if clear:
        most = max(max(f.estimate.high for f in clear), state.least)
        words = f"effects above {_points(most)} points are ruled out"
        sentences.append(f"No sign of {_list([_the(f.cue) for f in clear], 'or')}: {words}.")
    if unsure:
        sentences.append(f"Not certain: {_list([_the(f.cue) for f in unsure])}.")
    if vague:
        sentences.append(f"Too few images to tell: {_list([_the(f.cue) for f in vague])}.")
    return sentences


def _still(state: StepDown, finding: Finding) -> str:
    if finding.left is None:
        return ""
    before = state.named[: state.named.index(finding.cue)]
    return f", and by {_points(finding.left.value)} points still once {_alike(before)}"


def _explained(state: StepDown, finding: Finding, effect: Effect) -> str:
    cue, by = finding.cue, finding.explained_by or ""
    fact = f"{_change(effect)} {_when(cue, effect)}"
    if finding.left is None or state.counts(finding.left):
        return f"Part of {_the(by)}: {fact}, which is not surely more than half of what the whole of {_the(by)} costs."
    left = f"between {_points(finding.left.low)} and {_points(finding.left.high)} points of that are left"
    return f"Explained by {_the(by)}: {fact}, but {left} once {_alike(state.named[: state.named.index(by) + 1])}."


def _no_shortcut(state: StepDown, finding: Finding, effect: Effect) -> str:
    cue, found = finding.cue, finding.estimate
    fact = f"{_change(effect)} {_when(cue, effect)}"
    if found.high < 0:
        return f"The other way round: {fact}."
    if found.low > 0:
        return f"Too small to count: {fact}, and what costs less than {_points(state.least)} points is no shortcut."
    if _is_unsure(state, finding, effect):
        return f"Not certain: {fact}; with {_cues(state.num_tests)} tested, that can be chance."
    over = f" over all {state.num_tests} cues tested" if state.num_tests > 1 else ""
    span = f"between {_points(found.low)} and {_points(found.high)} points (95 % interval{over}, {_images(found.n)})"
    fall = f"the fall in {_SCORES.get(effect.unit, 'the score')} {_when(cue, effect)} lies {span}"
    if found.high >= _VAGUE:
        return f"Too few images to tell: {fall}."
    return f"No sign of {_the(cue)}: {fall}; effects above {_points(found.high)} points are ruled out."


def _is_unsure(state: StepDown, finding: Finding, effect: Effect) -> bool:
    """Whether a cue by itself would count as a shortcut, and does not among all that were tested."""
    return effect.low > 0 and effect.value >= state.least and finding.estimate.low <= 0


def _change(effect: Effect) -> str:
    """Which score moves, and how far."""
    return f"{_SCORES.get(effect.unit, 'the score')} {movement_of(effect)}"


def _when(cue: str, effect: Effect) -> str:
    """Of the swap."""
    name, comes = _CUES.get(cue, (_the(cue), "comes"))
    of = "from an image predicted as another class" if effect.unit == "agreement" else "from another class"
    return f"when {name} {comes} {of} instead of the same one"


def _alike(cues: Sequence[str]) -> str:
    verb = "are" if len(cues) > 1 or _CUES.get(cues[0], ("", ""))[1] == "come" else "is"
    return f"{_list([_the(cue) for cue in cues])} {verb} alike in all images"


def _the(cue: str) -> str:
    return _CUES[cue][0] if cue in _CUES else f"the {cue.replace('_', ' ')}"


def _list(words: Sequence[str], last: str = "and") -> str:
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _cues(count: int) -> str:
    return f"{count} cue" if count == 1 else f"{count} cues"


def _images(count: int) -> str:
    return f"{count:,} image" if count == 1 else f"{count:,} images"


def _points(value: float) -> str:
    text = f"{100 * value:.1f}"
    return "0.0" if text == "-0.0" else text.replace("-", "\u2212")
