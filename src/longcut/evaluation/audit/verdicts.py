"""What the naming of shortcuts says, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

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
_WhyNot = Literal["clear", "small", "reverse", "unsure", "vague"]
_STARTS: dict[_WhyNot, str] = {
    "small": "Too small to count",
    "reverse": "The other way round",
    "unsure": "Not certain",
    "vague": "Too few images to tell",
}
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
    """Cues that are no shortcut, a sentence for each reason."""
    rest: dict[_WhyNot, list[Finding]] = {}
    for finding in state.ranked:
        if not finding.named and finding.explained_by is None:
            rest.setdefault(_why_not(state, finding, effects[finding.cue]), []).append(finding)
    sentences = []
    if clear := rest.get("clear"):
        most = max(max(f.estimate.high for f in clear), state.least)
        words = f"effects above {_points(most)} points are ruled out"
        sentences.append(f"No sign of {_list([_the(f.cue) for f in clear], 'or')}: {words}.")
    sentences += [
        f"{start}: {_list([_the(f.cue) for f in rest[why]])}." for why, start in _STARTS.items() if why in rest
    ]
    return sentences


def _why_not(state: StepDown, finding: Finding, effect: Effect) -> _WhyNot:
    """Why a cue that was tested is no shortcut."""
    found = finding.estimate
    if found.low > 0:
        return "small"
    if found.high < 0:
        return "reverse"
    if effect.low > 0 and effect.value >= state.least:  # by itself it would count
        return "unsure"
    return "vague" if found.high >= _VAGUE else "clear"


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
    why, span = _why_not(state, finding, effect), _span(state, finding, effect)
    if why == "clear":
        most = _points(finding.estimate.high)
        return f"No sign of {_the(finding.cue)}: {span}; effects above {most} points are ruled out."
    if why == "vague":
        return f"{_STARTS[why]}: {span}."
    so = {
        "small": f", and what costs less than {_points(state.least)} points is no shortcut",
        "unsure": f"; with {_cues(state.num_tests)} tested, that can be chance",
    }.get(why, "")
    return f"{_STARTS[why]}: {_change(effect)} {_when(finding.cue, effect)}{so}."


def _span(state: StepDown, finding: Finding, effect: Effect) -> str:
    """Where an effect lies, by the interval that holds over all cues."""
    found = finding.estimate
    over = f" over all {state.num_tests} cues tested" if state.num_tests > 1 else ""
    span = f"between {_points(found.low)} and {_points(found.high)} points (95 % interval{over}, {_images(found.n)})"
    return f"the fall in {_SCORES.get(effect.unit, 'the score')} {_when(finding.cue, effect)} lies {span}"


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
