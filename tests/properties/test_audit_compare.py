"""Two audits side by side: paired where the images are the same, and what grew."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from longcut.evaluation.audit.effects import (
    About,
    Scores,
    alone_effect,
    consistency_effect,
    removed_effect,
    score_effect,
    swap_effect,
)
from longcut.evaluation.audit.guard import check, parse_guard
from longcut.evaluation.audit.kept_scores import FILE, KeptScores, Recipe
from longcut.evaluation.audit.result import AuditResult, Effect, Shortcut
from longcut.report.audit_comparison.chart import draw_changes
from longcut.report.audit_comparison.compare import AuditComparison, Change, compare_audits
from longcut.report.audit_comparison.table import format_audits
from longcut.report.audit_comparison.words import further, headline

N = 400
RECIPES = (
    Recipe("bg_gap", "swapped", "background_same", "background_other", "background"),
    Recipe("bg_gap_probability", "swapped", "background_same", "background_other", "background", "probability"),
    Recipe("texture_gap", "swapped", "texture_same", "texture_other"),
    Recipe("greyscale_lost", "removed", "original", "greyscale"),
    Recipe("shuffle_4_kept", "alone", "shuffle_4"),
    Recipe("accuracy", "measured", "original"),
    Recipe("consistency", "measured", "original", "background_other", "background"),
)
ECE = Effect("ece", "Calibration error", "calibration", "measured", "error", 0.1, 0.08, 0.12, N)
VARIANTS = (
    "original",
    "background_same",
    "background_other",
    "texture_same",
    "texture_other",
    "greyscale",
    "shuffle_4",
)


def kept(accuracies: Mapping[str, float], n: int = N, seed: int = 0) -> KeptScores:
    """Scores of nested decisions: an image that is right at one accuracy is right at every higher one."""
    draw = np.random.default_rng(seed)
    reference, hardness = draw.integers(0, 4, n), draw.permutation(n) / n
    variants = {}
    for name in VARIANTS:
        right = hardness < accuracies.get(name, 0.9)
        probability = np.where(right, 0.8, 0.1).astype(np.float32)
        variants[name] = Scores(
            np.where(right, reference, (reference + 1) % 4), np.full(n, 0.8, np.float32), probability
        )
    paths = tuple(f"class/{i:04d}.jpg" for i in range(n))
    return KeptScores(paths, reference, variants, {"background": np.arange(n) % 4 > 0}, RECIPES)


def effect_of(recipe: Recipe, scores: KeptScores) -> Effect:
    about, first, members = (
        About(recipe.effect, recipe.effect.replace("_", " "), ""),
        recipe.first,
        scores.members(recipe),
    )
    sides = [scores.variants[name] for name in (first, recipe.second) if name]
    if recipe.effect == "consistency":
        return consistency_effect(about, *sides, usable=members)
    makers = {"swapped": swap_effect, "removed": removed_effect, "alone": alone_effect, "measured": score_effect}
    further = {"of": recipe.of} if recipe.kind == "swapped" else {}
    return makers[recipe.kind](about, *sides, scores.reference, unit="accuracy", usable=members, **further)


def audit(folder: Path, scores: KeptScores | None, of: KeptScores | None = None, **changes: object) -> Path:
    source = scores or of
    assert source is not None
    effects = [effect_of(recipe, source) for recipe in source.recipes]
    result = AuditResult(folder.name, {}, {"hash": "sha256:1"}, {"source": "given"}, "", (), (), (*effects, ECE))
    replace(result, **changes).save(folder)  # type: ignore[arg-type]
    if scores is not None:
        scores.save(folder)
    return folder


BEFORE = {"background_other": 0.5, "texture_other": 0.85, "greyscale": 0.8, "shuffle_4": 0.4}
AFTER = {"background_other": 0.8, "texture_other": 0.7, "greyscale": 0.8, "shuffle_4": 0.6, "original": 0.91}


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [audit(tmp_path / "erm", kept(BEFORE)), audit(tmp_path / "clad", kept(AFTER))]


def of(comparison: AuditComparison, name: str) -> Change:
    return next(change for change in comparison.changes if change.name == name)


def test_what_shrank_and_what_grew_is_named(folders: list[Path]) -> None:
    found = compare_audits(folders)
    assert [change.name for change in found.shrank] == ["bg_gap", "bg_gap_probability"]
    assert [change.name for change in found.grew] == ["texture_gap"]
    assert of(found, "shuffle_4_kept").verdict == "grew"
    assert of(found, "greyscale_lost").verdict == "unchanged"
    assert [change.name for change in found.of("measured")] == ["accuracy", "consistency", "ece"]
    assert [change.name for change in found.of("alone", "removed", audit=1)] == ["greyscale_lost", "shuffle_4_kept"]
    assert found.of("swapped", audit=2) == ()
    assert found.notes == ()
    assert found.labels == ("erm", "clad")
    change = of(found, "texture_gap")
    assert change.paired
    assert (change.before.value, change.after.value) == pytest.approx((0.05, 0.2))
    assert change.change == pytest.approx(0.15)
    assert change.low < 0.15 < change.high


def test_the_change_is_after_minus_before(folders: list[Path]) -> None:
    for change in compare_audits(folders).changes:
        assert change.change == pytest.approx(change.after.value - change.before.value, abs=1e-9), change.name
        assert change.low <= change.change <= change.high
        assert change.n == change.before.n
        assert change.paired == (change.name != "ece")


def test_pairs_make_the_interval_short(folders: list[Path]) -> None:
    paired = compare_audits(folders)
    (folders[1] / FILE).unlink()
    unpaired = compare_audits(folders)
    assert not any(change.paired for change in unpaired.changes)
    assert "clad holds no scores.npz: run the audit again, so their intervals are not paired." in unpaired.notes[0]
    for name in ("texture_gap", "accuracy", "greyscale_lost"):
        one, other = of(paired, name), of(unpaired, name)
        assert one.change == pytest.approx(other.change)
        assert one.high - one.low < other.high - other.low
    before, after = of(unpaired, "bg_gap").before, of(unpaired, "bg_gap").after
    wider = 2.393980 / 1.959964  # normal quantiles for three swaps, and for one
    half = wider * np.hypot(after.high - after.value, before.value - before.low)
    assert of(unpaired, "bg_gap").high == pytest.approx(after.value - before.value + half)


def test_images_are_matched_by_path(folders: list[Path]) -> None:
    straight = compare_audits(folders)
    kept(AFTER).take(np.random.default_rng(1).permutation(N)).save(folders[1])
    assert compare_audits(folders) == straight


@pytest.mark.parametrize("rows", [np.arange(N - 1), np.arange(N) // 2], ids=["fewer", "twice"])
def test_other_images_are_not_paired(tmp_path: Path, folders: list[Path], rows: np.ndarray) -> None:
    folders[1] = audit(tmp_path / "other", kept(AFTER).take(rows))
    found = compare_audits(folders)
    assert not any(change.paired for change in found.changes)
    assert found.notes == ("erm and other: the images are not the same, so their intervals are not paired.",)


def test_images_of_another_content_are_not_paired(tmp_path: Path, folders: list[Path]) -> None:
    folders[1] = audit(tmp_path / "new", kept(AFTER), data={"hash": "sha256:2"})
    found = compare_audits(folders)
    assert not any(change.paired for change in found.changes)
    assert "images of the same names differ" in found.notes[0]


def test_images_that_count_in_one_only_are_left_out(tmp_path: Path, folders: list[Path]) -> None:
    scores = replace(kept(AFTER), usable={"background": np.arange(N) % 4 < 2})
    folders[1] = audit(tmp_path / "half", scores)
    found = compare_audits(folders)
    change = of(found, "bg_gap")
    assert (change.paired, change.n, change.before.n, change.after.n) == (True, 100, 300, 200)
    only = (
        "bg gap; bg gap probability; consistency: the change is that on the 100 images that count in both erm and half."
    )
    assert only in found.notes
    none = replace(kept(AFTER), usable={"background": np.arange(N) % 4 == 0})
    folders[1] = audit(tmp_path / "none", none)
    assert not of(compare_audits(folders), "bg_gap").paired


def test_another_recipe_is_not_paired(tmp_path: Path, folders: list[Path]) -> None:
    swapped = tuple(replace(r, usable="background") if r.effect == "texture_gap" else r for r in RECIPES)
    folders[1] = audit(tmp_path / "masked", replace(kept(AFTER), recipes=swapped))
    found = compare_audits(folders)
    assert [change.name for change in found.changes if not change.paired] == ["texture_gap", "ece"]


def test_the_same_audit_twice_changed_nothing(folders: list[Path]) -> None:
    found = compare_audits([folders[0], folders[0]])
    assert len(set(found.labels)) == 1
    assert found.grew == found.shrank == ()
    assert all(change.low < 0 < change.high and change.change == 0 for change in found.changes)


def test_what_does_not_compare_is_said(tmp_path: Path, folders: list[Path]) -> None:
    scores = kept(AFTER)
    effects = tuple(
        replace(effect_of(recipe, scores), unit="agreement") for recipe in RECIPES if recipe.kind != "measured"
    )
    folders[1] = audit(tmp_path / "unlike", scores, effects=effects, masks={"source": "grabcut"})
    found = compare_audits(folders)
    assert found.changes == ()
    assert "Measured in erm only: accuracy; consistency; Calibration error." in found.notes
    unlike = "bg gap; bg gap probability; texture gap; greyscale lost; shuffle 4 kept"
    assert f"Not compared, since the score is accuracy in erm and agreement in unlike: {unlike}." in found.notes
    assert any(note.startswith("Masks differ, given in erm and grabcut in unlike:") for note in found.notes)
    assert headline(found, 1) == "unlike against erm: no shortcut was measured alike in both, so none can be compared."
    assert format_audits(found, "csv").count("\n") == 0
    assert json.loads(format_audits(found, "json"))["rows"] == []
    assert draw_changes(found.changes) is None


def test_warnings_and_other_settings_are_told(tmp_path: Path, folders: list[Path]) -> None:
    folders[0] = audit(folders[0], kept(BEFORE), warnings=("Weights are random.",), settings={"seed": 0, "least": 0.02})
    settings = {"seed": 1, "least": 0.02}
    folders[1] = audit(tmp_path / "new", kept(AFTER), warnings=("Weights are random.", "Few."), settings=settings)
    assert compare_audits(folders).notes == (
        "erm, new: Weights are random.",
        "new: Few.",
        "Settings differ: seed 0 in erm and 1 in new, so other images lend to each.",
    )


def test_what_is_not_known_is_not_compared(tmp_path: Path, folders: list[Path]) -> None:
    unknown = [replace(effect_of(recipe, kept(AFTER)), value=float("nan")) for recipe in RECIPES[:1]]
    folders[1] = audit(tmp_path / "unknown", kept(AFTER), effects=(*unknown, ECE))
    found = compare_audits(folders)
    assert [change.name for change in found.changes] == ["ece"]
    assert "bg gap" in next(note for note in found.notes if note.startswith("Measured in erm only"))
    assert json.loads(format_audits(found, "json"), parse_constant=pytest.fail)["rows"][0]["name"] == "ece"
    with pytest.raises(ValueError, match="bg_gap was not measured"):
        check(parse_guard("bg_gap>0.05"), found.figures())


def test_several_are_set_against_the_first(tmp_path: Path, folders: list[Path]) -> None:
    third = audit(tmp_path / "third" / "clad", kept({**AFTER, "texture_other": 0.85}))
    found = compare_audits([*folders, third])
    assert found.labels == ("erm", str(folders[1]), str(third))
    assert [change.audit for change in found.changes] == [1] * 8 + [2] * 8
    assert [(change.name, change.audit) for change in found.grew] == [("texture_gap", 1)]
    assert len(json.loads(format_audits(found, "json"))["headlines"]) == 2
    assert found.figures(1)["texture_gap.change"] == pytest.approx(0.15)
    assert found.figures()["texture_gap.change"] == pytest.approx(0)


@pytest.mark.parametrize(("turned", "grows"), [(4, False), (8, True), (20, True)])
def test_a_handful_of_turned_images_is_no_change(tmp_path: Path, turned: int, grows: bool) -> None:
    former, later = ({"texture_other": 0.9 - part} for part in (0, turned / 100))
    pair = [audit(tmp_path / "former", kept(former, 100)), audit(tmp_path / "later", kept(later, 100))]
    change = of(compare_audits(pair), "texture_gap")
    assert (change.verdict == "grew", change.low > 0) == (grows, grows)


def test_all_later_audits_count_among_the_tests(tmp_path: Path) -> None:
    former = audit(tmp_path / "former", kept({}, 100))
    later = [audit(tmp_path / str(i), kept({"texture_other": 0.82}, 100)) for i in range(3)]
    assert [change.name for change in compare_audits([former, later[0]]).grew] == ["texture_gap"]
    found = compare_audits([former, *later])  # 8 of 100 images, of which chance turns one way all in 2 of 256 cases
    assert found.grew == ()
    assert of(found, "texture_gap").high > of(compare_audits([former, later[0]]), "texture_gap").high


def test_the_guard_reads_values_and_changes(tmp_path: Path, folders: list[Path]) -> None:
    figures = compare_audits(folders).figures()
    assert check(parse_guard("bg_gap>0.05,texture_gap.change>2%"), figures) == [
        "bg_gap is 0.11: fails at > 0.05",
        "texture_gap.change is 0.15: fails at > 0.02",
    ]
    without = tuple(r for r in RECIPES if r.effect != "bg_gap")
    folders[1] = audit(tmp_path / "without", replace(kept(AFTER), recipes=without))
    figures = compare_audits(folders).figures()
    for text in ("bg_gap>0.05", "bg_gap.change>0.05"):
        with pytest.raises(ValueError, match="was not measured"):
            check(parse_guard(text), figures)
    figures = compare_audits(folders).figures(known=["worst_group"])
    for text in ("worst_group<0.7", "worst_group.change<0"):
        with pytest.raises(ValueError, match="was not measured"):
            check(parse_guard(text), figures)


def test_one_audit_is_no_comparison(folders: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two audits at least"):
        compare_audits(folders[:1])
    with pytest.raises(ValueError, match="holds no audit"):
        compare_audits([folders[0], tmp_path])


def with_shortcuts(folder: Path, named: str) -> Path:
    """The audit in a folder, with its swaps as shortcuts, one of them named."""
    result = AuditResult.load(folder)
    cues = {"bg_gap": "background", "texture_gap": "texture"}
    made = [Shortcut(cue, result.effect(name), cue == named, None, "") for name, cue in cues.items()]  # type: ignore[arg-type]
    replace(result, shortcuts=tuple(made)).save(folder)
    return folder


def test_the_headline_says_what_grew_and_what_shrank(folders: list[Path]) -> None:
    found = compare_audits([with_shortcuts(folders[0], "background"), with_shortcuts(folders[1], "texture")])
    gap, far = of(found, "bg_gap"), of(found, "bg_gap_probability")
    ends = [
        f"{-100 * c.change:.1f} points (from {100 * c.before.value:.1f} to {100 * c.after.value:.1f})"
        for c in (gap, far)
    ]
    assert headline(found, 1) == (
        "clad against erm: reliance on the texture grew by 15.0 points (from 5.0 to 20.0); reliance on the background "
        f"shrank by {ends[0]} and on the bg gap probability by {ends[1]}."
    )
    kept_alone = of(found, "shuffle_4_kept")
    by = f"{100 * kept_alone.change:.1f} points (from {100 * kept_alone.before.value:.1f} to "
    assert further(found, 1) == [
        "No longer named a shortcut: background.",
        "Named a shortcut now, and not before: texture.",
        f"By one cue alone the model keeps more: shuffle 4 kept by {by}{100 * kept_alone.after.value:.1f}).",
        "Accuracy shows no sure change (90.0 % before, 91.0 % after).",
    ]
    same = compare_audits([folders[0], folders[0]])
    unsure = "no sure change for the background, the bg gap probability and the texture"
    assert headline(same, 1).endswith(f": no shortcut grew; no shortcut shrank; {unsure}.")
    assert further(same, 1)[0] == "Named a shortcut before and after: background."


def test_bars_show_the_interval_of_the_change(folders: list[Path]) -> None:
    found = compare_audits(folders)
    chart = draw_changes(found.changes)
    assert chart
    pairs = [pair for _, group in chart.groups for pair in group]
    assert [pair.change.name for pair in pairs] == [
        *("bg_gap", "bg_gap_probability", "texture_gap"),
        *("greyscale_lost", "shuffle_4_kept"),
    ]
    places = {label: place for place, label in chart.ticks}
    scale = (places["10"] - places["0"]) / 0.1
    for pair in pairs:
        change = pair.change
        assert pair.before.width == pytest.approx(scale * abs(change.before.value), abs=0.02)
        assert pair.after.width == pytest.approx(scale * abs(change.after.value), abs=0.02)
        start = chart.zero + scale * change.before.value
        assert (pair.after.low, pair.after.high) == pytest.approx(
            (start + scale * change.low, start + scale * change.high), abs=0.05
        )
        assert (pair.after.low <= start <= pair.after.high) == (change.verdict == "unchanged")


def test_tables_for_people(folders: list[Path]) -> None:
    found = compare_audits(folders)
    text, md = format_audits(found), format_audits(found, "markdown")
    lines = text.splitlines()
    assert lines[0] == headline(found, 1)
    rows = {
        start: next(line for line in lines if line.startswith(start)) for start in ("texture", "cons", "shuf", "Cal")
    }
    assert rows["texture"].split()[2:5] == ["5.0", "20.0", "+15.0"]
    assert "grew" in rows["texture"]
    assert "more kept" in rows["shuf"]
    assert "rose" in rows["cons"]
    assert "*" in rows["Cal"]
    assert "*" not in rows["cons"]
    assert "A star (*) marks what is not compared image by image." in lines
    assert "| texture gap | 5.0 | 20.0 | +15.0 |" in md


def test_tables_for_programs(folders: list[Path]) -> None:
    found = compare_audits(folders)
    rows = list(csv.DictReader(io.StringIO(format_audits(found, "csv"))))
    record = json.loads(format_audits(found, "json"))
    assert record["headlines"] == [headline(found, 1)]
    assert [entry["label"] for entry in record["audits"]] == ["erm", "clad"]
    assert len(rows) == len(record["rows"]) == len(found.changes)
    for row, entry, change in zip(rows, record["rows"], found.changes, strict=True):
        assert list(row) == list(entry)
        assert float(row["change_low"]) == entry["change_low"] == change.low
        assert (entry["name"], entry["audit"], entry["verdict"]) == (change.name, "clad", change.verdict)
    with pytest.raises(ValueError, match="no table of audits as 'xml': choose one of text, markdown, csv, json"):
        format_audits(found, "xml")


def test_scores_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = kept(BEFORE)
    written.save(tmp_path)
    read = KeptScores.load(tmp_path)
    assert (read.paths, read.recipes) == (written.paths, written.recipes)
    assert np.array_equal(read.usable["background"], written.usable["background"])
    assert read.usable["background"].dtype == bool
    assert list(read.variants) == list(VARIANTS)
    for name in VARIANTS:
        for field in ("predicted", "confidence", "probability"):
            one, other = getattr(read.variants[name], field), getattr(written.variants[name], field)
            assert one.dtype == other.dtype
            assert np.array_equal(one, other)
    replace(written, recipes=()).save(tmp_path)
    assert KeptScores.load(tmp_path).recipes == ()


@pytest.mark.parametrize("damage", ["cut", "text", "array", "keys"])
def test_damaged_scores_are_refused(tmp_path: Path, damage: str) -> None:
    file = kept(BEFORE).save(tmp_path)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:500])
    elif damage == "text":
        file.write_text("scores")
    elif damage == "array":
        with file.open("wb") as stream:
            np.save(stream, np.zeros(3))
    else:
        np.savez(file, paths=np.array(["a"]))
    with pytest.raises(ValueError, match=r"scores.npz is damaged: run the audit again"):
        KeptScores.load(tmp_path)
