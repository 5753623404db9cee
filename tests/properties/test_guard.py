"""Guards: what they read, when they fail, and that they never pass in silence."""

from __future__ import annotations

import pytest

from longcut.evaluation.audit.guard import Condition, check, figures_of, parse_guard
from longcut.evaluation.audit.result import AuditResult, Effect


def test_conditions_are_read() -> None:
    found = parse_guard(" bg_gap > 0.05,worst_group<=70%, ece>=1e-1 ,colour_gap.change<-.02")
    assert found == (
        Condition("bg_gap", ">", 0.05, "bg_gap > 0.05"),
        Condition("worst_group", "<=", 0.7, "worst_group<=70%"),
        Condition("ece", ">=", 0.1, "ece>=1e-1"),
        Condition("colour_gap.change", "<", -0.02, "colour_gap.change<-.02"),
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bg_gap",
        "bg_gap>",
        "bg_gap=0.05",
        "bg_gap==1",
        ">0.05",
        "bg_gap>five",
        "bg_gap>0.05;x>1",
        "a>1,",
        "a>nan",
        "a > 1 %%",
    ],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no condition: write NAME>NUMBER with >, >=, < or <=, such as"):
        parse_guard(text)


@pytest.mark.parametrize(
    ("text", "fails"),
    [("a>0.2", False), ("a>=0.2", True), ("a<0.2", False), ("a<=0.2", True), ("a>19.9%", True), ("a<0.3", True)],
)
def test_a_condition_that_holds_fails(text: str, fails: bool) -> None:
    assert bool(check(parse_guard(text), {"a": 0.2})) == fails


def test_lines_name_figure_value_and_bound() -> None:
    figures = {"bg_gap": 0.12345, "worst_group": 0.65, "ece": 0.01}
    lines = check(parse_guard("bg_gap>5%,ece>0.1,worst_group<0.7"), figures)
    assert lines == ["bg_gap is 0.1235: fails at > 0.05", "worst_group is 0.65: fails at < 0.7"]


def test_an_unknown_name_is_no_pass() -> None:
    figures = {"bg_gap": 0.0, "worst_group": 0.9}
    with pytest.raises(
        ValueError, match=r"no figure 'bg_gab' in 'bg_gab>0.05': did you mean 'bg_gap'\? there are bg_gap"
    ):
        check(parse_guard("worst_group<0.7,bg_gab>0.05"), figures)
    with pytest.raises(ValueError, match="no figure 'zzz' in 'zzz>1': there are bg_gap, worst_group"):
        check(parse_guard("zzz>1"), figures)
    with pytest.raises(ValueError, match="there are none"):
        check(parse_guard("zzz>1"), {})


@pytest.mark.parametrize("value", [None, float("nan")])
def test_what_was_not_measured_is_no_pass(value: float | None) -> None:
    with pytest.raises(ValueError, match=r"'bg_gap>0.05' cannot be checked: bg_gap was not measured"):
        check(parse_guard("bg_gap>0.05"), {"bg_gap": value})


def test_figures_are_the_effects() -> None:
    effect = Effect("bg_gap", "Background", "background", "swapped", "accuracy", 0.3, 0.2, 0.4, 10)
    result = AuditResult("", {}, {}, {}, "", (), (), (effect,))
    assert figures_of(result, ["worst_group", "bg_gap"]) == {"worst_group": None, "bg_gap": 0.3}
