"""Naming, with planted numbers: what a model takes is named, what only comes along is explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from longcut.evaluation.audit.intervals import paired_interval
from longcut.evaluation.audit.result import Effect
from longcut.evaluation.audit.step_down import Request, StepDown
from longcut.evaluation.audit.verdicts import shortcuts_of, summary_of, verdict_of

INSIDE = {"border": "background"}
CUES = ("background", "border", "colour", "texture", "file")
N = 500


def planted(effect: float, seed: int = 0, noise: float = 0.05, n: int = N) -> np.ndarray:
    """Differences whose mean is `effect`, to a rounding, with as many for as against beside it."""
    fall, by_chance = round(n * effect), round(n * noise)
    values = np.zeros(n)
    values[: fall + by_chance] = 1
    values[fall + by_chance : fall + 2 * by_chance] = -1
    return np.random.default_rng(seed).permutation(values)


def all_of(**effects: float) -> dict[str, np.ndarray]:
    return {cue: planted(effects.get(cue, 0.0), seed) for seed, cue in enumerate(CUES)}


def run(
    first: Mapping[str, np.ndarray],
    again: Mapping[tuple[str, ...], Mapping[str, float]] | None = None,
    **options: float,
) -> tuple[StepDown, list[Request]]:
    """Drive the naming: `again` has the effects that are left with some cues alike; 0 where it says nothing."""
    state, requests = StepDown.begin(first, inside=INSIDE, **options), []
    while state.request is not None:
        requests.append(state.request)
        left = (again or {}).get(state.request.neutral, {})
        state = state.after({cue: planted(left.get(cue, 0.0), 50) for cue in state.request.cues})
    return state, requests


def effects_of(
    differences: Mapping[str, np.ndarray], unit: str = "accuracy", masks: Sequence[str] = ()
) -> dict[str, Effect]:
    effects = {}
    for cue, values in differences.items():
        found = paired_interval(values[np.isfinite(values)])
        about = (f"{cue}_gap", cue.title(), cue, "swapped", unit)
        effects[cue] = Effect(*about, found.value, found.low, found.high, found.n, needs_masks=cue in masks)  # type: ignore[arg-type]
    return effects


def explained(state: StepDown) -> dict[str, str]:
    return {cue: finding.explained_by for cue, finding in state.findings.items() if finding.explained_by}


def test_nothing_is_named_where_nothing_is() -> None:
    state, requests = run(all_of())
    assert (state.named, requests, explained(state)) == ((), [], {})
    assert not any(finding.significant for finding in state.findings.values())
    assert state.num_tests == 5


def test_one_cue_is_named_at_once() -> None:
    state, requests = run(all_of(colour=0.3))
    assert (state.named, requests) == (("colour",), [])
    finding = state.findings["colour"]
    assert (finding.named, finding.explained_by, finding.left) == (True, None, None)
    assert finding.estimate.low < 0.3 < finding.estimate.high


def test_what_vanishes_is_explained() -> None:
    state, requests = run(all_of(colour=0.3, texture=0.1), {("colour",): {"texture": 0.0}})
    assert requests == [Request(("texture",), ("colour",))]
    assert (state.named, explained(state)) == (("colour",), {"texture": "colour"})


def test_what_stays_is_named_too() -> None:
    state, requests = run(all_of(colour=0.2, texture=0.3), {("texture",): {"colour": 0.15}})
    assert requests == [Request(("colour",), ("texture",))]
    assert (state.named, explained(state)) == (("texture", "colour"), {})
    left = state.findings["colour"].left
    assert left is not None
    assert left.value == pytest.approx(0.15)


def test_all_that_was_named_is_alike_in_the_next_round() -> None:
    again = {("colour",): {"texture": 0.12, "file": 0.2}, ("colour", "file"): {"texture": 0.0}}
    state, requests = run(all_of(colour=0.4, texture=0.25, file=0.2), again)
    assert [request.neutral for request in requests] == [("colour",), ("colour", "file")]
    assert requests[1].cues == ("texture",)
    assert state.named == ("colour", "file"), "by what is left, not by what was there at first"
    assert explained(state) == {"texture": "file"}


def test_the_border_is_named_where_the_background_is_not_the_larger() -> None:
    first = {**all_of(), "border": planted(0.3, 1), "background": planted(0.32, 2)}
    state, requests = run(first, {("border",): {"background": 0.0}})
    assert requests == [Request(("background",), ("border",))]
    assert (state.named, explained(state)) == (("border",), {"background": "border"})
    both, _ = run(first, {("border",): {"background": 0.2}})
    assert (both.named, explained(both)) == (("border", "background"), {})


def test_the_border_is_part_of_a_background_that_is_the_larger() -> None:
    first = {**all_of(colour=0.1), "border": planted(0.1, 1), "background": planted(0.5, 2)}
    state, requests = run(first, {("background",): {"colour": 0.1}})
    assert requests == [Request(("colour",), ("background",))], "the border is not measured again"
    assert (state.named, explained(state)) == (("background", "colour"), {"border": "background"})


def test_the_background_is_named_without_a_border() -> None:
    state, _ = run(all_of(background=0.5))
    assert state.named == ("background",)
    assert not state.findings["border"].significant


def test_border_and_background_are_compared_on_the_images_of_both() -> None:
    first = {**all_of(), "border": planted(0.1, 1), "background": planted(0.5, 1)}
    first["background"] = np.where(first["border"] == 1, first["background"], np.nan)
    assert StepDown.begin(first, inside=INSIDE).named == ("border",), "on these the border costs as much"


@pytest.mark.parametrize(("border", "named"), [(0.36, "border"), (0.24, "background"), (0.1, "background")])
def test_a_border_is_named_for_most_of_what_the_background_costs(border: float, named: str) -> None:
    """Where that is not sure, it is the background, of which every border is a part."""
    first = {**all_of(), "border": planted(border, 1), "background": planted(0.41, 2)}
    state, _ = run(first)
    assert (state.named, explained(state)) == ((named,), {"border" if named == "background" else "background": named})


def test_what_all_swaps_carry_is_named_first() -> None:
    first = {**all_of(file=0.1, colour=0.3), "border": planted(0.3, 1), "background": planted(0.4, 2)}
    state = StepDown.begin(first, inside=INSIDE, carried=("file",))
    assert state.request == Request(("background", "border", "colour"), ("file",))
    state = state.after({"background": planted(0.0), "border": planted(0.0), "colour": planted(0.2)})
    assert (state.named, explained(state)) == (("file", "colour"), {"background": "file", "border": "file"})
    assert StepDown.begin(all_of(colour=0.3), carried=("file",)).named == ("colour",), "it is not there"


def test_small_effects_do_not_count_however_sure() -> None:
    first = {cue: planted(0.015 if cue == "file" else 0.0, noise=0.0, n=4000) for cue in CUES}
    assert run(first)[0].named == ()
    assert run(first, least=0.0)[0].named == ("file",)


def test_the_more_cues_the_surer_each_must_be() -> None:
    values = np.concatenate([np.ones(6), np.zeros(94)])
    assert StepDown.begin({"colour": values}).named == ("colour",)
    assert StepDown.begin({"colour": values, **{cue: np.zeros(100) for cue in CUES[:2]}}).named == ()


def test_images_that_are_not_usable_do_not_count() -> None:
    values = np.where(np.arange(N) < 100, np.nan, planted(0.3))
    state = StepDown.begin({"colour": values, "file": np.full(N, np.nan)})
    assert state.findings["colour"].estimate.n == 400
    assert (list(state.findings), state.num_tests) == (["colour"], 1)
    assert StepDown.begin({}).findings == {}


def test_two_images_name_nothing() -> None:
    assert StepDown.begin({cue: np.ones(2) for cue in CUES}).named == ()


def test_a_false_alarm_is_rare() -> None:
    draw = np.random.default_rng(4)
    audits = draw.choice([-1.0, 0.0, 0.0, 0.0, 1.0], size=(200, 5, 100))
    alarms = [bool(StepDown.begin(dict(zip(CUES, audit, strict=True)), inside=INSIDE).named) for audit in audits]
    assert np.mean(alarms) <= 0.05


def test_steps_that_make_no_sense_are_refused() -> None:
    state = StepDown.begin(all_of(colour=0.3, texture=0.1))
    with pytest.raises(ValueError, match="texture was to be measured again with colour alike, and was not"):
        state.after({"colour": planted(0.1)})
    with pytest.raises(ValueError, match="texture was to be measured again"):
        state.after({"texture": np.full(4, np.nan)})
    with pytest.raises(ValueError, match="everything is decided"):
        StepDown.begin(all_of()).after({})
    with pytest.raises(ValueError, match=r"least is 2: .* a share from 0 to 1"):
        StepDown.begin(all_of(), least=2)


def verdicts(first: dict[str, np.ndarray], state: StepDown, **options: object) -> dict[str, str]:
    effects = effects_of(first, **options)  # type: ignore[arg-type]
    return {shortcut.cue: shortcut.verdict for shortcut in shortcuts_of(state, effects)}


def test_the_verdict_says_what_it_rests_on() -> None:
    first = all_of(background=0.34)
    found = verdicts(first, run(first)[0], masks=("background",))
    assert found["background"].startswith("Takes the background: accuracy falls by 34.0 points (95 % interval 2")
    assert found["background"].endswith(
        ", 500 images) when the background comes from another class instead of the same one. "
        "It rests on the foreground masks."
    )
    assert found["file"].startswith("No sign of the JPEG quality of the file: the fall in accuracy when")
    assert "95 % interval over all 5 cues tested, 500 images); effects above 3.8 points are ruled out." in found["file"]


def test_without_labels_it_is_agreement() -> None:
    first = all_of(colour=0.34)
    found = verdicts(first, run(first)[0], unit="agreement")["colour"]
    assert "agreement with the predictions on the unchanged images falls by 34.0 points" in found
    assert found.endswith("when the colours come from an image predicted as another class instead of the same one.")


def test_what_is_explained_says_by_what() -> None:
    first = {**all_of(colour=0.1, texture=0.12), "border": planted(0.1, 1), "background": planted(0.5, 2)}
    state, _ = run(
        first, {("background",): {"colour": 0.0, "texture": 0.1}, ("background", "texture"): {"colour": 0.0}}
    )
    found = verdicts(first, state)
    assert found["border"].startswith("Part of the background: accuracy falls by 10.0 points")
    assert found["colour"].startswith("Explained by the background: accuracy falls by 10.0 points")
    assert "points of that are left once the background is alike in all images." in found["colour"]
    assert found["texture"].endswith(", and by 10.0 points still once the background is alike in all images.")
    text = summary_of(state, effects_of(first), not_tested=("smell",))
    assert text.startswith(
        "The model takes 2 shortcuts: the background (50.0 points) and the texture (12.0 points). Acc"
    )
    assert "What swaps of the border of the image and the colours seem to cost is explained by the background." in text
    assert "No sign of the JPEG quality of the file: effects above 3.8 points are ruled out." in text
    assert text.endswith("Not tested: the smell.")


def test_a_part_that_was_measured_again_is_still_a_part() -> None:
    first = {**all_of(colour=0.6), "border": planted(0.1, 1), "background": planted(0.4, 2)}
    state, _ = run(first, {("colour",): {"border": 0.1, "background": 0.4}})
    assert (state.named, explained(state)) == (("colour", "background"), {"border": "background"})
    assert verdicts(first, state)["border"].startswith("Part of the background: ")


@pytest.mark.parametrize(
    ("values", "start"),
    [
        (-planted(0.2), "The other way round: accuracy rises by 20.0 points (95 % interval 1"),
        (planted(0.012, noise=0.0, n=4000), "Too small to count: accuracy falls by 1.2 points"),
        (np.concatenate([np.ones(6), np.zeros(94)]), "Not certain: accuracy falls by 6.0 points"),
        (np.zeros(4), "Too few images to tell: the fall in accuracy when the texture comes from another class"),
        (np.zeros(1), "Too few images to tell: the fall in accuracy"),
    ],
    ids=["negative", "small", "unsure", "few", "one"],
)
def test_what_is_no_shortcut_says_why(values: np.ndarray, start: str) -> None:
    first = {"texture": values, **{cue: np.zeros(300) for cue in CUES[:3]}}
    state, _ = run(first)
    assert state.named == ()
    found = verdict_of(state, "texture", effects_of(first)["texture"])
    assert found.startswith(start)
    assert "nan" not in found
    text = summary_of(state, effects_of(first))
    others = "the background, the border of the image or the colours"
    assert text == (
        f"No shortcut was found among the 4 cues tested. No sign of {others}: effects above 2.0 points are ruled out. "
        f"{start.partition(':')[0]}: the texture."
    )


def test_what_is_too_small_to_count_is_no_want_of_images() -> None:
    first = {"texture": planted(0.4, n=100)}
    state, _ = run(first, least=0.5)
    assert verdicts(first, state)["texture"].startswith("Too small to count: accuracy falls by 40.0 points")
    assert summary_of(state, effects_of(first)).endswith(" Too small to count: the texture.")


def test_one_cue_alone_is_said_in_the_singular() -> None:
    state = StepDown.begin({"colour": np.zeros(1)})
    effect = effects_of({"colour": np.zeros(1)})["colour"]
    assert "(95 % interval, 1 image)" in verdict_of(state, "colour", effect)
    accuracy = replace(effect, kind="measured", value=0.813, n=1500)
    text = summary_of(state, {"colour": effect}, accuracy=accuracy)
    assert text.startswith("No shortcut was found among the 1 cue tested.")
    assert text.endswith("It recognises 81.3 % of 1,500 images as they are.")
    assert summary_of(StepDown.begin({}), {}).startswith("No cue could be tested")


def test_shortcuts_come_by_rank() -> None:
    first = {**all_of(colour=0.1), "border": planted(0.3, 1), "background": planted(0.32, 2), "file": -planted(0.3)}
    state, _ = run(first, {("border",): {"background": 0.0, "colour": 0.1}})
    found = shortcuts_of(state, effects_of(first))
    assert [shortcut.cue for shortcut in found] == ["border", "colour", "background", "texture", "file"]
    assert [shortcut.named for shortcut in found] == [True, True, False, False, False]
