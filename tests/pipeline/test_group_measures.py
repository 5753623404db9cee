"""Measures by groups and selection rules, from a biased set to the table and the page."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import SMALL, Longcut, Refused, rows_of, small
from made_runs import make_challenge, make_row, make_run, write_image, write_rows

from longcut.engine.run_folder import CHECKPOINTS
from longcut.engine.settings import parse_value, resolve
from longcut.evaluation.predictions import Predictions
from longcut.recipes import evaluating
from longcut.recipes.inputs import Inputs
from longcut.recipes.measures import MEASURES, Sources
from longcut.recipes.models import kept_selections
from longcut.recipes.training import train_run
from longcut.report.compare import Comparison, compare
from longcut.report.page import write_report
from longcut.report.runs import read_run
from longcut.report.sweeps import points_of
from longcut.report.table import format_table
from longcut.report.verdict import judge

pytestmark = pytest.mark.usefixtures("one_process")

HOSTILE = "<b>wet</b>"
BIRDS, PLACES = ("land", HOSTILE), ("land", HOSTILE)
TEST = {("land", "land"): 5, ("land", HOSTILE): 4, (HOSTILE, HOSTILE): 6, (HOSTILE, ""): 3}
"""Images of each group of the test split; one group has none, and three images have no bias label."""


@pytest.fixture(scope="module")
def biased(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that kept a checkpoint by every rule, and its data: a CSV of tiny images."""
    folder = tmp_path_factory.mktemp("biased")
    train = {(bird, place): 6 if bird == place else 1 for bird in BIRDS for place in PLACES}
    rows = []
    for split, groups in (("train", train), ("test", TEST)):
        for (bird, place), count in groups.items():
            for _ in range(count):
                path = f"{split}/{len(rows)}.png"
                write_image(folder / "data" / path, seed=len(rows))
                rows.append((path, bird, split, place))
    with (folder / "data" / "birds.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "target", "split", "bias"), *rows])
    changes = {key: parse_value(value) for key, _, value in (word.partition("=") for word in SMALL)}
    run = folder / "run"
    train_run(resolve("base_small", changes | {"lr": 0.05}), Inputs(folder / "data" / "birds.csv"), run)
    train_run(resolve("base_small", changes | {"run.seed": 1}), Inputs(folder / "data" / "birds.csv"), folder / "other")
    for rule, file in CHECKPOINTS.items():
        source = folder / "other" if rule == "best_val_group" else run
        if rule != "last":
            shutil.copy(source / CHECKPOINTS["last"], run / file)
    return folder


@pytest.fixture
def run(biased: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(biased / "run", tmp_path / "run"))


@pytest.fixture
def table(biased: Path) -> Path:
    return biased / "data" / "birds.csv"


def compared(*folders: Path) -> Comparison:
    return compare([read_run(folder) for folder in folders])


# Measuring.


def test_every_kept_checkpoint_is_measured_and_the_images_are_decoded_once(
    run: Path, table: Path, longcut: Longcut, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"open_images": 0, "predict": 0}

    def counted(name: str) -> Any:
        inner = getattr(evaluating, name)

        def call(*args: Any, **options: Any) -> Any:
            counts[name] += 1
            return inner(*args, **options)

        return call

    for name in counts:
        monkeypatch.setattr(evaluating, name, counted(name))
    told = longcut("evaluate", run, "--data", table, "--selection", "all")
    assert told.code == 0, told
    assert counts == {"open_images": 1, "predict": 2}, "three of the four checkpoints are of the same weights"
    rows = rows_of(run)
    assert {row["selection"] for row in rows} == set(CHECKPOINTS) == set(kept_selections(run))
    weights = {row["selection"]: row["weights_hash"] for row in rows}
    assert weights["last"] == weights["best_val"] == weights["best_test"] != weights["best_val_group"]
    assert len({len([row for row in rows if row["selection"] == rule]) for rule in CHECKPOINTS}) == 1
    assert longcut("evaluate", run, "--data", table, "--selection", "all").code == 0
    assert rows_of(run) == rows, "measuring again adds no row"

    assert "test: 3 of 18 images have no bias label and are in no group" in told.err
    assert f"test: 1 of 4 groups have no image and count in no mean: {HOSTILE}/land" in told.err
    assert told.err.count("count in no mean") == 1, "it is the same for all of them"
    for label in ("base_small (last)", "base_small (best_val)", "base_small (best_test, oracle)"):
        assert label in told.out
    for title in ("Class-balanced, test", "Unbiased, test", "Conflicting, test", "Bias gap, test", "Worst group, test"):
        assert title in told.out
    assert "is an oracle" in told.out


@pytest.mark.parametrize("rule", ["last", "best_val_group"])
def test_rows_are_what_plain_loops_find_in_the_predictions(run: Path, table: Path, longcut: Longcut, rule: str) -> None:
    assert longcut("evaluate", run, "--data", table, "--selection", rule).code == 0
    name = "test.npz" if rule == "last" else f"test.{rule}.npz"
    said = Predictions.load(run / "predictions" / name)
    assert said.bias is not None
    groups: dict[str, list[bool]] = {}
    for path, logits, target in zip(said.paths, said.logits.tolist(), said.targets.tolist(), strict=True):
        bird, place = label_of(table, path)
        if place:
            groups.setdefault(f"{bird}/{place}", []).append(logits.index(max(logits)) == target)
    assert {name: len(found) for name, found in groups.items()} == {
        f"{bird}/{place}": count for (bird, place), count in TEST.items() if place
    }
    shares = {name: sum(found) / len(found) for name, found in groups.items()}
    rows = rows_of(run)
    assert {r["class"]: r["value"] for r in rows if r["metric"] == "group_accuracy"} == pytest.approx(shares)
    whole = {row["metric"]: row for row in rows if row["class"] is None}
    aligned = (shares["land/land"] + shares[f"{HOSTILE}/{HOSTILE}"]) / 2
    conflicting = shares[f"land/{HOSTILE}"]
    assert {name: row["value"] for name, row in whole.items()} == pytest.approx(
        {
            "accuracy": said.correct.mean(),
            "class_balanced": (said.correct[said.targets == 1].mean() + said.correct[said.targets == 0].mean()) / 2,
            "unbiased": sum(shares.values()) / 3,
            "worst_group": min(shares.values()),
            "bias_aligned": aligned,
            "bias_conflicting": conflicting,
            "bias_gap": aligned - conflicting,
            "bias_aligned_samples": np.mean([*groups["land/land"], *groups[f"{HOSTILE}/{HOSTILE}"]]),
            "bias_conflicting_samples": conflicting,
        }
    )
    assert whole["unbiased"]["n"] == 15
    assert whole["unbiased"]["data_hash"].startswith(whole["accuracy"]["data_hash"] + "+sha256:")


def label_of(table: Path, path: str) -> tuple[str, str]:
    with table.open(newline="", encoding="utf-8") as file:
        (found,) = (row for row in csv.DictReader(file) if row["path"] == path)
    return found["target"], found["bias"]


def test_without_bias_labels_there_is_accuracy_alone(run: Path, table: Path, tmp_path: Path, longcut: Longcut) -> None:
    lines = [line.rpartition(",")[0] for line in table.read_text("utf-8").splitlines()]
    plain = tmp_path / "plain.csv"
    plain.write_text("\n".join(lines).replace("train/", f"{table.parent}/train/"), "utf-8")
    (tmp_path / "test").symlink_to(table.parent / "test")
    assert longcut("evaluate", run, "--data", plain).code == 0
    assert {row["metric"] for row in rows_of(run)} == {"accuracy"}


def test_a_sweep_s_measure_takes_every_rule(run: Path, table: Path) -> None:
    sources = Sources(table)
    MEASURES["selections"](str(run), run, sources, lambda line: None)
    assert {row["selection"] for row in rows_of(run)} == set(CHECKPOINTS)
    assert sources.read_by("selections") == {"data": str(table), "test": None}


def test_a_run_is_measured_on_the_severity_that_it_was_trained_on(tmp_path: Path, longcut: Longcut) -> None:
    digits = tmp_path / "digits"
    for place, (target, bias) in enumerate(itertools.product((0, 1), repeat=2)):
        part = "align" if target == bias else "conflict"
        for folder in (f"1pct/{part}/{target}", f"5pct/{part}/{target}", "test"):
            write_image(digits / folder / f"{place}_{target}_{bias}.png", seed=place)
    words = ["--data", digits]
    changes = small("batch_size=2", "severity=1pct")
    told = longcut("train", "base_small", *words, "--out", tmp_path / "run", *changes)
    assert told.code == 0, told
    assert longcut("evaluate", tmp_path / "run", *words).code == 0
    whole = {row["metric"]: row["n"] for row in rows_of(tmp_path / "run") if row["class"] is None}
    assert (whole["accuracy"], whole["bias_conflicting"]) == (4, 2)
    plain = digits / "1pct" / "align"
    assert longcut("evaluate", tmp_path / "run", "--data", plain).code == 0, "there is no severity to choose"


def test_what_is_of_one_checkpoint_is_refused_for_all(
    run: Path, table: Path, tmp_path: Path, refused: Refused, biased: Path
) -> None:
    words = ["evaluate", run, "--selection", "all", "--data", table]
    assert "--head is of one checkpoint: name it with --selection" in refused(*words, "--head", "linear")
    assert "--suite is of one checkpoint" in refused(*words, "--suite", "corruptions")
    assert "--consistency-with is of one checkpoint" in refused(*words, "--consistency-with", run)
    nowhere = ["evaluate", tmp_path / "nowhere", "--selection", "all", "--data", table]
    assert "nowhere holds no checkpoint of a run" in refused(*nowhere)
    models = [evaluating.open_model(str(biased / name))[0] for name in ("run", "other")]
    with pytest.raises(ValueError, match=r"other is another run than .*run: measure them one by one"):
        evaluating.evaluate_all(models, table, tmp_path / "out")


# Showing.

GROUPS = ("landbird/land", "landbird/water", "waterbird/land", "waterbird/water")


def made_biased_run(folder: Path, shares: list[float], **changes: Any) -> Path:
    """A run whose four groups have 100 images each and these accuracies."""
    aligned, conflicting = (shares[0] + shares[3]) / 2, (shares[1] + shares[2]) / 2
    changes = {"data_hash": "sha256:birds", **changes}
    values = {
        "accuracy": sum(shares) / 4,
        "class_balanced": sum(shares) / 4,
        "unbiased": sum(shares) / 4,
        "bias_aligned": aligned,
        "bias_conflicting": conflicting,
        "bias_gap": aligned - conflicting,
        "worst_group": min(shares),
    }
    rows = [make_row(metric, "test", value, **changes) for metric, value in values.items()]
    rows += [
        make_row("group_accuracy", "test", share, **changes, **{"class": name})
        for name, share in zip(GROUPS, shares, strict=True)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    former = (folder / "results.jsonl").read_text("utf-8") if (folder / "results.jsonl").exists() else ""
    write_rows(folder, [*map(json.loads, former.splitlines()), *rows])
    return folder


ERM, LFF = [0.99, 0.70, 0.45, 0.90], [0.90, 0.80, 0.75, 0.85]


def both_rules(tmp_path: Path) -> tuple[Path, Path]:
    """ERM and another method, each by the last step and by the test split."""
    for rule, more in (("last", 0.0), ("best_test", 0.05)):
        for name, shares in (("erm", ERM), ("lff", LFF)):
            moved = [min(share + more, 1.0) for share in shares]
            made_biased_run(tmp_path / name, moved, method=name, preset=name, selection=rule)
    return tmp_path / "erm", tmp_path / "lff"


def test_a_run_has_a_line_for_each_rule(tmp_path: Path) -> None:
    comparison = compared(*both_rules(tmp_path))
    assert [group.label for group in comparison.groups] == [
        "erm (last)",
        "erm (best_test, oracle)",
        "lff (last)",
        "lff (best_test, oracle)",
    ]
    titles = ["Accuracy, test", "Class-balanced, test", "Unbiased, test", "Aligned, test", "Conflicting, test"]
    assert [column.title for column in comparison.columns] == [*titles, "Bias gap, test", "Worst group, test"]
    assert comparison.notes[0] == "Every run was measured under several selection rules: compare rows of the same rule."
    markdown = format_table(comparison, "markdown")
    line = next(line for line in markdown.splitlines() if line.startswith("| lff (best_test, oracle)"))
    cells = [cell.strip() for cell in line.split("|")]
    assert cells[2] == "87.5 [85.5, 89.5]"
    assert cells[8] == "80.0 [78.0, 82.0]"
    assert cells[11] == "best_test (oracle)"
    records = list(csv.DictReader(io.StringIO(format_table(comparison, "csv"))))
    worst = {(r["label"], r["selection"]): float(r["mean"]) for r in records if r["metric"] == "worst_group"}
    assert worst["erm (last)", "last"] == 0.45
    assert worst["erm (best_test, oracle)", "best_test"] == pytest.approx(0.5)
    assert {r["class"] for r in records if r["metric"] == "group_accuracy"} == set(GROUPS)
    assert len(json.loads(format_table(comparison, "json"))["rows"]) == 4 * 11


def test_seeds_are_averaged_within_a_rule(tmp_path: Path) -> None:
    folders = []
    for seed, (rule, more) in itertools.product(range(3), (("last", 0.0), ("best_val", 0.1))):
        shares = [0.8, 0.5, 0.40 + 0.01 * seed + more, 0.8]
        folders.append(made_biased_run(tmp_path / str(seed), shares, seed=seed, selection=rule, method="erm"))
    groups = {group.selection: group for group in compared(*folders).groups}
    assert {rule: group.seeds for rule, group in groups.items()} == {"last": (0, 1, 2), "best_val": (0, 1, 2)}
    for rule, mean in (("last", 0.41), ("best_val", 0.5)):
        cell = groups[rule].get("worst_group", "test")
        assert cell is not None
        assert cell.mean == pytest.approx(mean)
    assert groups["last"].get("worst_group", "test").std == pytest.approx(0.01)
    assert {group.name for group in groups.values()} == {"erm"}


def test_the_verdict_sets_only_rows_of_one_rule_side_by_side(tmp_path: Path) -> None:
    verdict = judge(compared(*both_rules(tmp_path)))
    assert verdict.headline == (
        "Selected by last: erm recognises 45.0 % (95 % interval 43.0 to 47.0) of its worst group (waterbird/land) and "
        "76.0 % of all images. It leans on the bias: on images that go against it, it loses 37.0 points "
        "(95 % interval 35.0 to 39.0). lff recognises 75.0 % (95 % interval 73.0 to 77.0) of its worst group "
        "(waterbird/land), 30.0 points more than erm; on images that go against the bias it loses 10.0 points "
        "(95 % interval 8.0 to 12.0), 27.0 points less than erm; it is 6.5 points better on all images."
    )
    (oracle,) = verdict.details
    assert oracle.startswith("Selected by best_test (oracle): erm recognises 50.0 %")
    assert "lff recognises 80.0 %" in oracle


def test_the_verdict_sets_a_method_beside_the_plain_classifier_of_its_own_training_images(tmp_path: Path) -> None:
    runs = [("erm", "0.01", ERM), ("erm", "0.05", [0.99, 0.80, 0.60, 0.95]), ("lff", "0.05", LFF), ("jtt", "0.01", LFF)]
    folders = [
        made_biased_run(tmp_path / f"{name}_{data}", shares, method=name, preset=name) for name, data, shares in runs
    ]
    for folder, (_, data, _) in zip(folders, runs, strict=True):
        (folder / "settings.toml").write_text(f'[paths]\ndata = "{data}"\n')
    comparison = compared(*folders)
    assert "Training images differ between rows." in comparison.notes
    verdict = judge(comparison)
    said = " ".join([verdict.headline, *verdict.details])
    assert verdict.headline.startswith("erm (data=0.05) recognises 60.0 %")
    assert re.search(r"lff recognises 75\.0 % [^,]*, 15\.0 points more than erm \(data=0\.05\)", verdict.headline)
    assert re.search(r"jtt recognises 75\.0 % [^,]*, 30\.0 points more than erm \(data=0\.01\)", said)
    assert re.search(r"erm \(data=0\.01\) recognises 45\.0 % [^,]*, 15\.0 points less than erm \(data=0\.05\)", said)
    assert "Training images" not in " ".join(compared(*folders[:1], *folders[3:]).notes)


@pytest.mark.parametrize(
    ("shares", "changes", "words"),
    [
        (LFF, {"data_hash": "sha256:others"}, "lff was measured on other images (worst group 75.0 % .* cannot be set"),
        ([0.9, 0.8, 0.46, 0.9], {}, r"46\.0 % .*, 1\.0 points more than erm \(the intervals overlap\)"),
        (LFF, {"selection": "best_val"}, "^Selected by best_val: lff recognises .*It leans on the bias"),
    ],
)
def test_the_verdict_claims_no_more_than_was_measured(
    tmp_path: Path, shares: list[float], changes: dict[str, Any], words: str
) -> None:
    erm = made_biased_run(tmp_path / "erm", ERM)
    lff = made_biased_run(tmp_path / "lff", shares, method="lff", preset="lff", **changes)
    verdict = judge(compared(erm, lff))
    sentences = [verdict.headline, *verdict.details]
    assert any(re.search(words.replace("(worst", r"\(worst"), sentence) for sentence in sentences), sentences


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ([0.80, 0.80, 0.79, 0.80], "It shows no measurable reliance on the bias: bias gap 0.5 points"),
        ([0.70, 0.80, 0.80, 0.70], "It does better on images that go against the bias"),
    ],
)
def test_a_gap_that_is_none_is_called_so(tmp_path: Path, shares: list[float], words: str) -> None:
    assert words in judge(compared(made_biased_run(tmp_path / "erm", shares))).headline


def test_backgrounds_are_judged_within_a_rule_too(tmp_path: Path) -> None:
    erm = make_run(tmp_path / "erm", (0.7, 0.5, 0.6, 0.4, 0.3))
    clad = make_run(tmp_path / "clad", (0.7, 0.5, 0.6, 0.5, 0.3), method="clad", preset="clad", selection="best_test")
    made_biased_run(erm, ERM)
    verdict = judge(compared(erm, clad))
    assert verdict.headline.startswith("erm leans on backgrounds")
    assert "clad" not in verdict.headline
    assert verdict.details[0] == (
        "clad was selected by another rule, best_test (oracle): its BG-Gap of 10.0 points (95 % interval 8.0 to 12.0) "
        "cannot be set against what last selected."
    )
    assert verdict.details[1].startswith("erm recognises 45.0 %")


def test_a_linear_probe_s_groups_are_shown_as_such(tmp_path: Path) -> None:
    run = made_biased_run(tmp_path / "moco", LFF, method="moco", preset="moco")
    rows = rows_of(run)
    write_rows(run, [{**row, "metric": f"linear_{row['metric']}"} for row in rows])
    comparison = compared(run)
    assert "Linear worst group, test" in [column.title for column in comparison.columns]
    assert judge(comparison).headline.startswith("moco recognises 75.0 %")
    assert "test, by a linear probe" in write_report([run], tmp_path / "page.html").read_text("utf-8")


def test_the_page_lists_every_group_escaped(run: Path, table: Path, tmp_path: Path, longcut: Longcut) -> None:
    assert longcut("evaluate", run, "--data", table, "--selection", "all").code == 0
    assert longcut("report", run, "--out", tmp_path / "page.html").code == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert HOSTILE not in page
    section = page[page.index('<h2 id="groups">Group by group</h2>') :]
    section = section[: section.index("</section>")]
    wet = "&lt;b&gt;wet&lt;/b&gt;"
    assert re.findall(r'<tr><th scope="row">(.*?)</th>\n<td class="number">(\d+)</td>', section) == [
        (f"{wet}/{wet}", "6"),
        (f"land/{wet}", "4"),
        ("land/land", "5"),
    ]
    assert section.count("<strong>") >= 4, "the lowest of each rule"
    assert "best_test (oracle)" in page
    assert page.count("<dt>Worst group</dt>") == 1
    assert 'class="curves"' in page
    assert 'id="figures">With the shortcut, and without</h2>' in page
    assert 'aria-label="Accuracy of each method with the bias and against it"' in page


def test_a_run_under_several_rules_is_one_curve_and_one_picture(tmp_path: Path) -> None:
    erm, _ = both_rules(tmp_path)
    (erm / "log.jsonl").write_text("".join(f'{{"step": {step}, "loss": 1.0}}\n' for step in range(1, 5)))
    write_image(erm / "pictures" / "batch.jpg", seed=0, size=64)
    page = write_report([erm], tmp_path / "page.html").read_text("utf-8")
    assert page.count('<img class="grid"') == 1
    assert 'alt="First training batch of erm: the images"' in page
    assert "The first batch as training saw it.<" in page
    curves = page[page.index('<svg class="curves"') :]
    assert curves[: curves.index("</svg>")].count(">erm<") == 1


def test_failures_are_those_of_the_rule_s_own_predictions(tmp_path: Path) -> None:
    run = make_run(tmp_path / "erm", (0.7, 0.5, 0.6, 0.4, 0.3))
    make_challenge(tmp_path / "challenge", run, ["dog", "bird"], images=2)
    write_rows(run, [*rows_of(run), *({**row, "selection": "best_val"} for row in rows_of(run))])
    page = write_report([run], tmp_path / "page.html").read_text("utf-8")
    assert set(re.findall(r'<li class="card" data-run="([^"]+)"', page)) == {"erm (last)"}
    for file in list((run / "predictions").iterdir()):
        shutil.copy(file, file.with_name(f"{file.stem}.best_val.npz"))
    page = write_report([run], tmp_path / "page.html").read_text("utf-8")
    assert set(re.findall(r'<li class="card" data-run="([^"]+)"', page)) == {"erm (last)", "erm (best_val)"}


def test_a_sweep_is_drawn_by_one_rule(tmp_path: Path) -> None:
    erm, _ = both_rules(tmp_path)
    points = {(point.panel, point.metric): point.value for point in points_of(read_run(erm), 1.0)}
    assert points["Accuracy by groups", "worst group"] == 0.45
    assert points["Accuracy by groups", "conflicting"] == pytest.approx(0.575)


def test_reports_need_no_torch() -> None:
    code = "import sys, longcut.report.page, longcut.report.summary; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
