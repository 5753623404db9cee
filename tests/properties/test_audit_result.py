"""An audit's record: what is written is what is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from longcut.evaluation.audit.result import FILE, AuditResult, Effect, Flip, NotRun, Shortcut

EFFECT = Effect(
    "bg_gap", "Background swap", "background", "swapped", "accuracy", 0.3, 0.2, 0.4, 10, 0.9, 0.6, True, "rough"
)
PLAIN = Effect("ece", "Calibration error", "calibration", "measured", "error", 0.1, 0.05, 0.2, 10)
RESULT = AuditResult(
    title="ERM <on> “bar”",
    model={"name": "run:erm", "num_classes": 3, "mean": [0.1, 0.2, 0.3]},
    data={"path": "bar", "classes": ["a", "b"], "labelled": True},
    masks={"source": "given", "count": 10},
    summary="The model takes a shortcut.",
    warnings=("few images",),
    shortcuts=(
        Shortcut("background", EFFECT, True, None, "Takes it."),
        Shortcut("border", PLAIN, False, "background", ""),
    ),
    effects=(EFFECT, PLAIN),
    per_class=({"name": "a", "n": 5, "accuracy": 0.8, "bg_gap": 0.1},),
    groups=({"target": "a", "bias": "b", "n": 3, "accuracy": 0.5, "low": 0.1, "high": 0.9},),
    flips=(Flip("background", "bg_gap", "a/1.jpg", None, "a", 0.9, "b", 0.6, "o.jpg", "v.jpg"),),
    not_run=(NotRun("corruptions", "not asked for"),),
    settings={"seed": 0, "suites": ["core"]},
    versions={"torch": "2.11", "commit": None},
)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    assert RESULT.save(tmp_path / "audit") == tmp_path / "audit" / FILE
    assert AuditResult.load(tmp_path / "audit") == RESULT


def test_the_least_is_loaded_too(tmp_path: Path) -> None:
    least = AuditResult("", {}, {}, {}, "", (), (), ())
    least.save(tmp_path)
    assert AuditResult.load(tmp_path) == least


def test_what_it_found_is_looked_up() -> None:
    assert RESULT.effect("ece") == PLAIN
    assert RESULT.effect("nothing") is None
    assert [shortcut.cue for shortcut in RESULT.named] == ["background"]


def test_a_folder_without_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no audit: make one with 'longcut audit MODEL IMAGES --out"):
        AuditResult.load(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.4, 0.99])
def test_a_damaged_one_is_refused(tmp_path: Path, share: float) -> None:
    file = RESULT.save(tmp_path)
    text = file.read_text("utf-8")
    file.write_text(text[: int(share * len(text))], "utf-8")
    with pytest.raises(ValueError, match=r"audit.json is damaged: run the audit again"):
        AuditResult.load(tmp_path)


@pytest.mark.parametrize("change", [{"format": 99}, {"format": None}])
def test_one_of_another_format_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    file = RESULT.save(tmp_path)
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **change}), "utf-8")
    with pytest.raises(ValueError, match="is of another version of longcut: run the audit again"):
        AuditResult.load(tmp_path)
