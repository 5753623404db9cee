"""The report's figures, words and page, on runs made for the purpose."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from made_runs import make_challenge, make_row, make_run, write_image, write_predictions, write_rows
from PIL import Image

from longcut.evaluation.background_challenge import paired
from longcut.evaluation.predictions import Predictions
from longcut.report import plots, sweeps
from longcut.report.compare import baseline_of, compare
from longcut.report.failures import find_failures
from longcut.report.page import write_report
from longcut.report.runs import read_run
from longcut.report.table import format_table
from longcut.report.verdict import judge

ERM = (0.70, 0.50, 0.60, 0.40, 0.30)
CLAD = (0.69, 0.55, 0.61, 0.52, 0.20)
_FIRST_THREE = (("unset", "unset", "unset"), (1, 2, 3))
HOSTILE = "<script>alert(1)</script>"


def _compare(*folders: Path):
    return compare([read_run(folder) for folder in folders])


def _cells(text: str, label: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(label))
    return re.split(r"\s{2,}", line)


def test_a_single_run_stands_with_its_interval(tmp_path):
    text = format_table(_compare(make_run(tmp_path / "erm", ERM)))
    assert _cells(text, "erm")[1:7] == [
        "70.0 [68.0, 72.0]",
        "50.0 [48.0, 52.0]",
        "60.0 [58.0, 62.0]",
        "40.0 [38.0, 42.0]",
        "30.0 [28.0, 32.0]",
        "20.0 [18.0, 22.0]",
    ]
    assert _cells(text, "erm")[7:] == ["0", "100", "last", "from scratch"]


def test_several_seeds_give_mean_and_standard_deviation(tmp_path):
    runs = [make_run(tmp_path / f"{s}", (o, 0.5, 0.6, 0.4, 0.3), seed=s) for s, o in enumerate((0.60, 0.64, 0.71))]
    comparison = _compare(*runs)
    mean = (0.60 + 0.64 + 0.71) / 3
    std = math.sqrt(((0.60 - mean) ** 2 + (0.64 - mean) ** 2 + (0.71 - mean) ** 2) / 2)
    (group,) = comparison.groups
    cell = group.get("accuracy", "original")
    assert (cell.mean, cell.std) == pytest.approx((mean, std))
    assert cell.high - cell.mean == pytest.approx(4.302653 * std / math.sqrt(3))
    assert _cells(format_table(comparison), "erm")[1] == "65.0 ± 5.6"
    assert _cells(format_table(comparison), "erm")[7] == "0, 1, 2"


@pytest.mark.parametrize(("runs", "quantile"), [(2, 12.706), (16, 2.131), (17, 2.120), (31, 2.042), (121, 1.980)])
def test_the_interval_over_seeds_is_student_s_however_many_there_are(tmp_path, runs, quantile):
    for seed in range(runs):
        make_run(tmp_path / f"{seed}", (0.60 + 0.01 * (seed % 2), 0.5, 0.6, 0.4, 0.3), seed=seed)
    (group,) = _compare(*tmp_path.iterdir()).groups
    cell = group.get("accuracy", "original")
    assert len(cell.values) == runs
    assert (cell.high - cell.mean) * math.sqrt(runs) / cell.std == pytest.approx(quantile, abs=5e-4)


def test_tables_for_programs_hold_raw_values(tmp_path):
    comparison = _compare(make_run(tmp_path / "erm", (1 / 3, 0.5, 0.6, 0.4, 0.3)))
    lines = list(csv.DictReader(io.StringIO(format_table(comparison, "csv"))))
    original = next(line for line in lines if line["dataset"] == "original")
    assert float(original["mean"]) == 1 / 3
    assert (original["std"], original["n"], original["data_hash"]) == ("", "100", "sha256:original")
    rows = json.loads(format_table(comparison, "json"))["rows"]
    assert next(row for row in rows if row["dataset"] == "original")["values"] == [1 / 3]


def test_a_table_wider_than_the_terminal_is_broken_by_columns(tmp_path, monkeypatch):
    comparison = _compare(make_run(tmp_path / "erm", ERM), make_run(tmp_path / "clad", CLAD, preset="clad"))
    whole = format_table(comparison)
    monkeypatch.setenv("COLUMNS", "60")
    assert format_table(comparison) == whole, "files and pipes hold it as it is"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    *tables, notes = format_table(comparison).split("\n\n")
    lines = [table.splitlines() for table in tables]
    assert all(max(map(len, table)) <= 60 for table in lines)
    assert [[line.split()[0] for line in table[2:]] for table in lines] == [["erm", "clad"]] * len(tables)
    values = [[cell for table in lines for cell in re.split(r"\s{2,}", table[row])[1:]] for row in (2, 3)]
    assert values == [_cells(whole, "erm")[1:], _cells(whole, "clad")[1:]]
    assert notes == whole.split("\n\n")[-1]


def test_markdown_keeps_names_in_their_cells(tmp_path):
    table = format_table(_compare(make_run(tmp_path / "erm", ERM, preset="a|b<i>")), "markdown")
    assert "| a\\|b&lt;i> | 70.0 [68.0, 72.0] |" in table
    again = make_run(tmp_path / "again", ERM, preset="a|b<i>")
    table = format_table(_compare(tmp_path / "erm", again), "markdown")
    assert "- a|b&lt;i>: runs share a seed" in table
    with pytest.raises(ValueError, match="no table as 'xml': choose one of text, markdown, csv, json, html"):
        format_table(_compare(tmp_path / "erm"), "xml")


def test_further_measures_stand_beneath(tmp_path):
    run = make_run(tmp_path / "erm", ERM)
    rows = [
        make_row("feature_consistency", "original~mixed_rand", 0.8125, low=None, high=None),
        make_row("accuracy", "photos", 0.5),
    ]
    with (run / "results.jsonl").open("a") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    comparison = _compare(run)
    assert [c.title for c in comparison.further] == ["Accuracy, photos", "Feature consistency, Original~Mixed-Rand"]
    assert "0.812" in format_table(comparison)
    assert "81.2" not in format_table(comparison)


def test_rows_on_other_data_are_named(tmp_path):
    erm = make_run(tmp_path / "erm", ERM)
    clad = make_run(tmp_path / "clad", CLAD, method="clad", preset="clad", data_hash="sha256:other")
    for form in ("text", "markdown", "html", "json"):
        assert "Mixed-Rand was measured on different data" in format_table(_compare(erm, clad), form)
    assert "cannot be set against erm" in judge(_compare(erm, clad)).headline
    assert _compare(erm).notes == ()


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"selection": "best_val"}, "Selection rules differ between rows: erm: last; clad: best_val."),
        ({"starting_weights": "in1k.safetensors"}, "Starting weights differ between rows"),
        ({"seed": 3}, "Seeds differ between rows."),
        ({"selection": "best_test (oracle)"}, "is an oracle"),
    ],
)
def test_what_differs_between_rows_is_said(tmp_path, changes, note):
    runs = make_run(tmp_path / "erm", ERM), make_run(tmp_path / "clad", CLAD, method="clad", preset="clad", **changes)
    assert note in format_table(_compare(*runs))


def test_a_label_has_the_part_of_a_path_that_differs(tmp_path):
    folders = ["/sets/birds/0.01", "/sets/birds/0.05/old", None]
    runs = [make_run(tmp_path / f"{i}", CLAD, method="clad", preset="clad") for i in range(3)]
    for run, folder in zip(runs, folders, strict=True):
        with (run / "settings.toml").open("a") as settings:
            settings.write(f'[paths]\ndata = "{folder}"\n' if folder else "")
    labels = [group.label for group in _compare(*runs).groups]
    assert labels == ["clad (data=0.01)", "clad (data=0.05/old)", "clad (data=unset)"]


@pytest.mark.parametrize(
    ("before", "after", "labels"),
    [
        ("weight = 1.0", "weight = 2.0", ["clad (weight=1.0)", "clad (weight=2.0)"]),
        ("[run]", "[run]\ndata = 'birds'", ["clad (data=unset)", "clad (data=birds)"]),
        ("[run]", "[run]\na = 1\nb = 2\nc = 3\nd = 4", None),
    ],
)
def test_runs_with_other_settings_are_not_averaged(tmp_path, before, after, labels):
    runs = [make_run(tmp_path / f"{seed}", CLAD, method="clad", preset="clad", seed=seed) for seed in range(3)]
    settings = runs[2] / "settings.toml"
    settings.write_text(settings.read_text().replace(before, after))
    groups = _compare(*runs).groups
    assert [g.seeds for g in groups] == [(0, 1), (2,)]
    assert [g.label for g in groups] == (
        labels or [f"clad (a={a}, b={b}, c={c}, and 1 more)" for a, b, c in _FIRST_THREE]
    )


def test_of_one_run_the_last_weights_count(tmp_path):
    run = make_run(tmp_path / "erm", ERM)
    older = [make_row("accuracy", name, 0.2, weights_hash="old", step=1) for name in ("original", "only_fg")]
    write_rows(
        run, [*older, make_row("accuracy", "original", 0.8), make_row("accuracy", "original", 0.9, data_hash="new")]
    )
    comparison = _compare(run)
    assert comparison.groups[0].get("accuracy", "original").values == (0.9,)
    assert comparison.groups[0].get("accuracy", "only_fg") is None
    assert [note.split(": ")[1] for note in comparison.notes] == [
        "evaluated with several weights; the last (step 10) are shown.",
        "evaluated on several versions of a dataset; the last written are shown.",
    ]


def test_a_run_named_twice_counts_once(tmp_path):
    run = make_run(tmp_path / "erm", ERM)
    assert _compare(run, run).groups[0].seeds == (0,)


def test_a_folder_without_results_says_how_to_go_on(tmp_path):
    with pytest.raises(ValueError, match=r"^\S+ has no results: make them with 'longcut evaluate \S+ --data DIR'$"):
        read_run(tmp_path)
    (tmp_path / "results.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="has no results"):
        read_run(tmp_path)
    with pytest.raises(ValueError, match="there is no such folder"):
        read_run(tmp_path / "none")
    with pytest.raises(ValueError, match="name at least one run"):
        compare([])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"metric": "accuracy", "data', "no complete JSON object"),
        ("[1, 2]", "no complete JSON object"),
        ('{"metric": "accuracy", "dataset": "original", "n": 3, "method": "erm"}', "'value' is missing"),
        (json.dumps(make_row("accuracy", "original", 0.5, n="many")), "'n' is 'many', not of type int"),
        (b"\xff\xfe".decode("latin-1"), "no complete JSON object"),
    ],
)
def test_a_broken_row_is_refused_by_file_and_line(tmp_path, line, reason):
    results = make_run(tmp_path / "erm", ERM) / "results.jsonl"
    results.write_bytes(results.read_bytes() + line.encode("latin-1"))
    with pytest.raises(ValueError, match=r"results\.jsonl, line 7: " + re.escape(reason)) as refusal:
        read_run(tmp_path / "erm")
    assert "\n" not in str(refusal.value)


def test_a_log_may_end_in_the_middle_of_a_line_but_not_break_before(tmp_path):
    log = make_run(tmp_path / "erm", ERM) / "log.jsonl"
    whole = log.read_text()
    log.write_text(whole + '{"step": 11, "lo')
    assert len(read_run(tmp_path / "erm").log) == 10
    log.write_text('{"step": 0, "lo\n' + whole)
    with pytest.raises(ValueError, match=r"log\.jsonl, line 1"):
        read_run(tmp_path / "erm")


def test_tables_are_made_without_plots():
    code = "import sys, longcut.report.compare; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_clear_effect_is_stated_with_its_cost(tmp_path):
    runs = make_run(tmp_path / "erm", ERM), make_run(tmp_path / "clad", CLAD, method="clad", preset="clad")
    assert judge(_compare(*runs)).headline == (
        "erm leans on backgrounds: on random ones it loses 20.0 points (95 % interval 18.0 to 22.0). "
        "clad loses 9.0 points (95 % interval 7.0 to 11.0), 55 % less; it is 12.0 points better on random backgrounds "
        "and 1.0 points worse on original images (the intervals overlap)."
    )


@pytest.mark.parametrize(
    ("accuracies", "words"),
    [
        ((0.70, 0.5, 0.59, 0.40, 0.3), "clad loses 19.0 points .*the intervals overlap, so these results do not show"),
        ((0.70, 0.5, 0.70, 0.42, 0.3), "clad loses 28.0 points .*, more than erm; .*as good on original images"),
        ((0.70, 0.5, 0.60, 0.59, 0.3), "clad loses 1.0 points .*, 95 % less, which is no measurable reliance"),
        ((0.15, 0.1, 0.12, 0.11, 0.1), r"a model that has learnt little has little to lose"),
    ],
)
def test_an_unclear_effect_is_not_claimed(tmp_path, accuracies, words):
    runs = make_run(tmp_path / "erm", ERM), make_run(tmp_path / "clad", accuracies, method="clad", preset="clad")
    assert re.search(words, judge(_compare(*runs)).headline)


def test_a_method_is_set_beside_the_plain_classifier_of_its_own_training_images(tmp_path):
    runs = [("erm", "old", ERM), ("erm", "new", (0.7, 0.5, 0.6, 0.5, 0.3)), ("clad", "new", CLAD)]
    folders = [make_run(tmp_path / f"{name}_{data}", a, method=name, preset=name) for name, data, a in runs]
    for folder, (_, data, _) in zip(folders, runs, strict=True):
        (folder / "settings.toml").write_text(f'[paths]\ndata = "{data}"\n')
    verdict = judge(_compare(*folders))
    assert verdict.headline.startswith("erm (data=new) ")
    assert "leans less or more than erm (data=new)" in verdict.headline
    assert verdict.details[0].startswith("erm (data=old) loses 20.0 points")


def test_no_reliance_and_no_measurement_are_said(tmp_path):
    even = _compare(make_run(tmp_path / "even", (0.7, 0.5, 0.6, 0.595, 0.3)))
    assert judge(even).headline.startswith("erm shows no measurable reliance on backgrounds: BG-Gap 0.5 points")
    write_rows(tmp_path / "even", [make_row("accuracy", "photos", 0.5)])
    assert "was not measured" in judge(_compare(tmp_path / "even")).headline


def test_a_model_that_was_trained_on_mixed_images_is_no_baseline(tmp_path):
    mixed = make_run(tmp_path / "mr", CLAD, preset="base_mr")
    plain = make_run(tmp_path / "plain", ERM, preset="base_in9")
    groups = _compare(mixed, plain).groups
    assert [baseline_of(group, groups) for group in groups] == [groups[1], None]


def test_failures_pair_the_same_foreground(tmp_path):
    run, root = make_run(tmp_path / "erm", ERM), tmp_path / "challenge"
    make_challenge(root, run, ["dog", "bird", "fish"])
    failures = find_failures(_compare(run).groups[0], "mixed_same", 4)
    assert [(f.target, f.predicted) for f in failures] == [
        ("dog", "bird"),
        ("bird", "fish"),
        ("fish", "dog"),
        ("dog", "bird"),
    ]
    first = failures[0]
    assert first.swapped_image.name.startswith("fg_0_3_bg_")
    assert first.reference_image.name.startswith("fg_0_3_bg_")
    assert first.confidence == pytest.approx(math.e**4 / (math.e**4 + 2))


def test_failures_pair_by_the_names_that_measures_pair_by(tmp_path):
    run, files = make_run(tmp_path / "erm", ERM), {"original": "val/a/fg_1.png", "mixed_rand": "val/a/fg_fg_1_bg_2.png"}
    for guess, (variant, file) in enumerate(files.items()):
        write_predictions(run, variant, tmp_path, [file], [0], [guess], ["dog", "bird"])
    (failure,) = find_failures(_compare(run).groups[0], "original", 9)
    assert failure.swapped_image.name == "fg_fg_1_bg_2.png"
    whole = [Predictions.load(run / "predictions" / f"{variant}.npz") for variant in files]
    assert [len(places) for places in paired(*whole)] == [1, 1]


def test_only_what_was_right_before_is_a_failure(tmp_path):
    run = make_run(tmp_path / "erm", ERM)
    paths = ["a/1.png", "a/2.png", "a/3.png"]
    write_predictions(run, "original", tmp_path, paths, [0, 0, 0], [0, 1, 0], ["dog", "bird"])
    write_predictions(run, "mixed_rand", tmp_path, paths, [0, 0, 0], [0, 1, 1], ["dog", "bird"])
    failures = find_failures(_compare(run).groups[0], "original", 9)
    assert [f.swapped_image.name for f in failures] == ["3.png"]
    assert find_failures(_compare(run).groups[0], "mixed_same", 9) == []


def test_the_manifest_knows_foregrounds_that_names_do_not_tell(tmp_path):
    run, root = make_run(tmp_path / "erm", ERM), tmp_path / "challenge"
    (root / "mixed_rand" / "val").mkdir(parents=True)
    files = {"original": "a/x_bg_1.png", "mixed_rand": "a/fg_x_bg_1_bg_y.png"}
    for variant, file in files.items():
        guess = 0 if variant == "original" else 1
        write_predictions(run, variant, root / variant / "val", [file], [0], [guess], ["dog", "bird"])
    assert find_failures(_compare(run).groups[0], "original", 9) == []
    (root / "manifest.csv").write_text(
        "variant,file,foreground,foreground_class,background,background_class\n"
        "original,original/val/a/x_bg_1.png,photos/a/x_bg_1.jpeg,dog,photos/a/x_bg_1.jpeg,dog\n"
        "mixed_rand,mixed_rand/val/a/fg_x_bg_1_bg_y.png,photos/a/x_bg_1.jpeg,dog,photos/b/y.jpeg,bird\n"
    )
    (failure,) = find_failures(_compare(run).groups[0], "original", 9)
    assert failure.background == "bird"


def test_foregrounds_of_one_name_are_told_apart_by_the_manifest(tmp_path):
    """Of `2010/1.jpg`, right on both, and `2011/1.jpg`, wrong on both, none was right before and wrong after."""
    run, root = make_run(tmp_path / "erm", ERM), tmp_path / "challenge"
    (root / "mixed_rand" / "val").mkdir(parents=True)
    rows = ["variant,file,foreground,foreground_class,background,background_class"]
    for variant, files in {"original": ["1", "1_2"], "mixed_rand": ["fg_1_bg_y", "fg_1_2_bg_y"]}.items():
        paths = [f"a/{file}.png" for file in files]
        write_predictions(run, variant, root / variant / "val", paths, [0, 0], [0, 1], ["dog", "bird"])
        rows += [f"{variant},{variant}/val/{p},{y}/1.jpg,a,y.jpg,b" for p, y in zip(paths, (2010, 2011), strict=True)]
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    assert find_failures(_compare(run).groups[0], "original", 9) == []


@pytest.mark.parametrize("kept", [-40, 0, 4, None], ids=["cut short", "empty", "its first bytes", "other bytes"])
def test_broken_predictions_are_named(tmp_path, kept):
    run = make_run(tmp_path / "erm", ERM)
    make_challenge(tmp_path / "challenge", run, ["dog", "bird"])
    file = run / "predictions" / "mixed_rand.npz"
    file.write_bytes(b"no archive" if kept is None else file.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"mixed_rand\.npz holds no whole predictions"):
        write_report([run], tmp_path / "report.html")


def test_plots_are_reproducible_and_well_formed(tmp_path):
    runs = (
        make_run(tmp_path / "erm", ERM, classes=["$dog_1$", "_bird", "鳥"]),
        make_run(tmp_path / "b", CLAD, preset="_b"),
    )
    comparison = _compare(*runs)
    drawn = [
        plots.plot_same_against_rand(comparison),
        plots.plot_gaps(comparison),
        plots.plot_variants(comparison),
        plots.plot_classes(comparison, ["$dog_1$", "_bird", "鳥"], "mixed_rand"),
        plots.plot_curves(comparison),
    ]
    for svg in drawn:
        ElementTree.fromstring(svg)
        assert "currentColor" in svg
        assert len(svg) < 60_000
    assert "$dog_1$" in drawn[3]
    assert "鳥" in drawn[3]
    assert "_b" in drawn[0]
    assert plots.plot_variants(comparison) == drawn[2]
    assert plots.plot_curves(comparison, "no such term") == ""


def test_a_sweep_is_drawn_over_its_setting():
    points = [sweeps.SweepPoint(x, "Original", 0.6 + x / 10 + seed / 100) for x in (0.1, 1.0, 4.0) for seed in range(2)]
    svg = sweeps.plot_sweep([*points, sweeps.SweepPoint(1.0, "Mixed-Rand", 0.5)], name="temperature")
    ElementTree.fromstring(svg)
    assert all(text in svg for text in ("temperature", "Mixed-Rand", ">0.1<", ">4<"))
    with pytest.raises(ValueError, match="nothing to draw over weight"):
        sweeps.plot_sweep([], name="weight")


def _swept(folder: Path, settings: str) -> Path:
    make_run(folder, ERM)
    (folder / "settings.toml").write_text(settings)
    return folder


def test_a_setting_of_a_sweep_is_found_by_its_section(tmp_path):
    table = '[backbone]\nname = "resnet10"\n[optimizer]\nname = "sgd"\nmomentum = 0.8\n[method.moco]\nmomentum = 0.99\n'
    run = read_run(_swept(tmp_path / "moco", table))
    keys = ("method.momentum", "optimizer.momentum", "optimizer.name", "schedule.name", "momentum")
    assert [sweeps.setting_of(run, key) for key in keys] == [0.99, 0.8, "sgd", None, 0.8]


def test_two_settings_of_one_name_are_drawn_in_two_figures(tmp_path):
    table = "[optimizer]\nlr = 0.1\nmomentum = {0}\n[method.moco]\nmomentum = {1}\n"
    runs = [
        read_run(_swept(tmp_path / f"{i}", table.format(*momentums)))
        for i, momentums in enumerate([(0.8, 0.99), (0.8, 0.5)])
    ]
    without = read_run(_swept(tmp_path / "timm", ""))
    varied = ["optimizer.momentum", "method.momentum", "optimizer.lr"]
    figures = sweeps.write_figures([*runs, without], tmp_path, varied)
    names = ["optimizer.momentum.svg", "method.momentum.svg", "lr.svg", "preset.svg"]
    assert [file.name for file in figures] == names
    assert all(f">{x}<" in figures[1].read_text() for x in ("0.5", "0.99"))


def test_each_panel_of_a_sweep_is_a_plot_and_what_is_no_number_keeps_its_order():
    points = [sweeps.SweepPoint(x, "linear probe", 0.5, "Accuracy") for x in ("[16, 72]", "[16, 16]")]
    points += [sweeps.SweepPoint(x, "patch", 0.2, sweeps.COSINES) for x in ("[16, 72]", "[16, 16]")]
    svg = sweeps.plot_sweep(points, name="size_range")
    ElementTree.fromstring(svg)
    assert all(text in svg for text in (">Accuracy<", ">Cosine to the query<", "linear probe", "patch"))
    assert svg.index("[16, 72]") < svg.index("[16, 16]")


def test_without_a_challenge_the_verdict_is_on_patches(tmp_path):
    for name, cosine in (("plain", 0.5), ("patch", 0.4)):
        (tmp_path / name).mkdir()
        rows = [
            make_row("similarity_patch", "train", cosine, preset=name),
            make_row("knn_accuracy", "val", 0.6, preset=name),
        ]
        write_rows(tmp_path / name, rows)
    comparison = compare([read_run(tmp_path / name) for name in ("plain", "patch")])
    verdict = judge(comparison)
    expected = "patch has a cosine of 0.400 between an image and its own patches, plain 0.500"
    assert verdict.headline.startswith(expected)
    assert "backgrounds was not measured" in verdict.details[0]
    assert "kNN accuracy, val" in format_table(comparison)


def test_texture_accuracy_is_drawn_against_standard_accuracy(tmp_path):
    runs = []
    for name, accuracy, texture in (("a", 0.8, 0.3), ("b", 0.7, 0.2), ("c", 0.9, None)):
        rows = [make_row("linear_accuracy", "val", accuracy)]
        rows += [make_row("linear_accuracy", "textures", texture)] if texture else []
        (tmp_path / name).mkdir()
        write_rows(tmp_path / name, rows)
        runs.append(read_run(tmp_path / name))
    svg = sweeps.plot_texture_against_standard(runs)
    ElementTree.fromstring(svg)
    assert ">a<" in svg
    assert ">c<" not in svg, "it was not measured on textures"
    assert sweeps.plot_texture_against_standard(runs[::2]) == ""


class _Balance(HTMLParser):
    VOID = frozenset({"meta", "link", "img", "br", "input", "path", "use", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.pictures: list[dict[str, str | None]] = []

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.ids += [named["id"]] if "id" in named else []
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        if tag == "img":
            self.pictures.append(named)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.ids += [dict(attrs)["id"]] if "id" in dict(attrs) else []

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("page")
    classes = ["dog", HOSTILE, "fish & chips"]
    erm = make_run(folder / "erm", ERM, classes=classes)
    clad = make_run(folder / "clad", CLAD, classes=classes, method="clad", preset="clad\"'<b>")
    with (clad / "settings.toml").open("a") as settings:
        settings.write("[data]\nimage_size = 66\n")
    for run in (erm, clad):
        make_challenge(folder / "challenge", run, classes)
    (clad / "pictures").mkdir()
    Image.fromarray(np.zeros((132, 264, 3), np.uint8)).save(clad / "pictures" / "batch.jpg")
    return write_report([erm, clad], folder / "out" / "report.html", title=HOSTILE).read_text(encoding="utf-8")


def test_the_page_is_whole_and_small(page):
    parser = _Balance()
    parser.feed(page)
    assert parser.open == []
    assert len(set(parser.ids)) == len(parser.ids)
    assert parser.headings[0] == 1
    assert all(after - before <= 1 for before, after in zip(parser.headings, parser.headings[1:], strict=False))
    assert len(parser.pictures) == 1 + 2 * 2 * 24
    (batch,) = (picture["alt"] for picture in parser.pictures if picture.get("class") == "grid")
    assert batch.endswith(": the images in the upper row, what was made of them below")
    assert all(picture["src"].startswith("data:image/webp;base64,") and picture["alt"] for picture in parser.pictures)
    assert len(page) < 2_000_000


def test_the_page_asks_for_nothing(page):
    assert not re.search(r"""https?:|["'(]//""", page)
    assert not re.search(r"""\b(src|href)\s*=\s*["'](?!data:|#)|url\((?!["']?#)|@import""", page)


def test_the_page_escapes_names(page):
    assert HOSTILE not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 5
    assert "clad\"'<b>" not in page
    assert page.count("<script>") == 1


def test_an_older_page_is_replaced_and_a_folder_refused(tmp_path):
    run = make_run(tmp_path / "erm", ERM)
    (tmp_path / "report.html").write_text("older")
    assert write_report([run], tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["erm", "report.html"]
    with pytest.raises(ValueError, match=r"is a folder: name the page itself"):
        write_report([run], tmp_path)


def test_pictures_that_are_gone_are_counted(tmp_path):
    run = make_run(tmp_path / "erm", ERM)
    make_challenge(tmp_path / "challenge", run, ["dog", "bird"], images=2)
    next((tmp_path / "challenge" / "mixed_rand" / "val" / "class_0").iterdir()).unlink()
    page = write_report([run], tmp_path / "report.html").read_text(encoding="utf-8")
    assert "2 pairs are not shown" in page
    assert page.count('<li class="card"') == 6


def test_large_pictures_are_made_small(tmp_path):
    run = make_run(tmp_path / "erm", ERM)
    make_challenge(tmp_path / "challenge", run, ["dog", "bird"], images=1)
    for path in (tmp_path / "challenge").rglob("*.png"):
        write_image(path, seed=1, size=500)
    page = write_report([run], tmp_path / "report.html", examples=1).read_text(encoding="utf-8")
    assert re.findall(r'<img src="[^"]*" width="(\d+)"', page) == ["112", "112"]


def test_pictures_stop_where_the_page_would_grow_too_large(tmp_path, monkeypatch):
    runs = make_run(tmp_path / "erm", ERM), make_run(tmp_path / "clad", CLAD, method="clad", preset="clad")
    for run in runs:
        make_challenge(tmp_path / "challenge", run, ["dog", "bird"])
    monkeypatch.setattr("longcut.report.page._FAILURE_BYTES", 16_000)
    page = write_report(runs, tmp_path / "report.html").read_text(encoding="utf-8")
    shown = re.findall(r'<li class="card" data-run="(\w+)"', page)
    assert 4 <= len(shown) < 32
    assert abs(shown.count("erm") - shown.count("clad")) <= 1
    assert sum(map(len, re.findall(r"data:image/webp;base64,[^\"]*", page))) <= 16_000


def test_a_file_among_runs_says_how_to_name_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "report.html").touch()
    with pytest.raises(ValueError, match=r"report\.html is a file, no run: name folders alone"):
        read_run(tmp_path / "report.html")
