"""The command line, from images to the report."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import SMALL, Longcut, rows_of, small
from made_images import write_images, write_masks

from longcut import __version__
from longcut.methods import ERM
from longcut.recipes.sweep import Grid

pytestmark = pytest.mark.usefixtures("one_process")

# The main job.


def test_from_images_to_the_report(tmp_path: Path, longcut: Longcut) -> None:
    write_images(tmp_path / "data" / "train")
    write_images(tmp_path / "data" / "val", count=4, seed=1)

    told = longcut("data", "segment", tmp_path / "data", "--out", tmp_path / "masks")
    assert told.code == 0, told
    assert "ok" in told.out
    challenge = tmp_path / "challenge"
    told = longcut(
        "data", "backgrounds", tmp_path / "data", "--split", "val", "--masks", tmp_path / "masks", "--out", challenge
    )
    assert told.code == 0, told
    assert "images in each variant" in told.out

    runs = [tmp_path / "erm", tmp_path / "clad"]
    for preset, out in zip(("base_small", "clad_small"), runs, strict=True):
        told = longcut(
            "train", preset, "--data", tmp_path / "data", "--masks", tmp_path / "masks", "--out", out, *SMALL
        )
        assert told.code == 0, told
        assert f"done: measure it with 'longcut evaluate {out} --data DIR'" in told.err
        assert {"settings.toml", "log.jsonl", "checkpoint.pt", "best_val.pt", "pictures"} <= {
            file.name for file in out.iterdir()
        }
        told = longcut("evaluate", out, "--data", challenge, "--adversarial")
        assert told.code == 0, told
        assert "Mixed-Rand" in told.out

    rows = [json.loads(line) for line in (runs[1] / "results.jsonl").read_text().splitlines()]
    metrics = {(row["metric"], row["dataset"]) for row in rows}
    assert {
        ("accuracy", "original"),
        ("accuracy", "only_bg_t"),
        ("bg_gap", "mixed_same-mixed_rand"),
        ("feature_consistency", "original~mixed_rand"),
        ("decision_consistency", "mixed_same~mixed_rand"),
        ("challenge_accuracy", "only_bg_t"),
    } <= metrics
    assert all(row["n"] > 0 and row["low"] <= row["value"] <= row["high"] for row in rows)
    gap = next(row for row in rows if row["metric"] == "bg_gap")
    means = {row["dataset"]: row["value"] for row in rows if row["metric"] == "accuracy" and row["class"] is None}
    assert gap["value"] == pytest.approx(means["mixed_same"] - means["mixed_rand"])

    told = longcut("evaluate", runs[1], "--data", challenge, "--adversarial")
    again = [json.loads(line) for line in (runs[1] / "results.jsonl").read_text().splitlines()]
    assert again == rows, "measuring again adds no row"
    assert longcut("evaluate", runs[1], "--data", challenge, "--selection", "best_val").code == 0

    told = longcut("compare", *runs)
    assert told.code == 0, told
    assert "bg_gap" in told.out.lower().replace("-", "_")
    told = longcut("report", *runs, "--out", tmp_path / "page.html")
    assert told.code == 0, told
    assert "<html" in (tmp_path / "page.html").read_text("utf-8")


def test_a_sweep_trains_measures_and_goes_on(tmp_path: Path, data: Path, longcut: Longcut) -> None:
    masks = write_masks(tmp_path / "masks", count=4)
    words = ["sweep", "clad_small", *SMALL, "--data", data, "--masks", masks, "--out", tmp_path / "sweep"]
    words += ["--vary", "weight=0.5,1.0", "--seeds", "0,1"]
    told = longcut(*words)
    assert told.code == 0, told
    names = {f"clad_small_weight={weight}_{seed}" for weight in (0.5, 1.0) for seed in (0, 1)}
    assert {file.name for file in (tmp_path / "sweep").iterdir()} == names | {"report.html", "weight.svg"}
    logs = {name: (tmp_path / "sweep" / name / "log.jsonl").stat().st_mtime_ns for name in names}
    (tmp_path / "sweep" / "clad_small_weight=0.5_1" / "results.jsonl").unlink()
    assert longcut(*words).code == 0
    assert logs == {name: (tmp_path / "sweep" / name / "log.jsonl").stat().st_mtime_ns for name in names}
    assert (tmp_path / "sweep" / "clad_small_weight=0.5_1" / "results.jsonl").exists()


def test_a_varied_path_names_one_folder() -> None:
    grid = Grid(["erm"], vary={"class_list": ["lists/a.txt", "/lists/b.txt"]})
    assert list(grid.runs()) == ["erm_class_list=lists_a.txt_0", "erm_class_list=_lists_b.txt_0"]


def test_options_come_into_the_settings(tmp_path: Path, data: Path, longcut: Longcut) -> None:
    words = ["--seed", 3, "--limit-per-class", 3, "--cache", "none", "--weights", "none"]
    assert longcut("train", "base_small", "--data", data, "--out", tmp_path / "run", *words, *SMALL[:6]).code == 0
    stored = (tmp_path / "run" / "settings.toml").read_text()
    for line in ("seed = 3", "limit_per_class = 3", 'cache = "none"', "steps = 2", 'preset = "base_small"'):
        assert line in stored
    assert "\nepochs" not in stored


def test_a_stranger_s_method_is_named_by_its_place(tmp_path: Path, data: Path, longcut: Longcut) -> None:
    told = longcut(
        "train", "longcut.methods.erm:ERM", "--data", data, "--out", tmp_path / "run", "name=convnet5", *SMALL
    )
    assert told.code == 2, "backbone.name and optimizer.name are both there"
    assert "name is ambiguous: write backbone.name or optimizer.name" in told.err
    assert longcut("train", "longcut.methods.erm:ERM", "--data", data, "--out", tmp_path / "run", *SMALL).code == 0
    told = longcut("evaluate", tmp_path / "run", "--data", data)
    assert told.code == 0, told


def test_a_method_that_needs_what_no_batch_has_is_refused_at_once(
    tmp_path: Path, data: Path, longcut: Longcut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ERM, "needs", frozenset({"masks"}))
    masks = write_masks(tmp_path / "masks", count=4)
    name = "longcut.methods.erm:ERM"
    told = longcut("train", name, "--data", data, "--masks", masks, "--out", tmp_path / "run", *SMALL)
    assert told.code == 2, told
    assert "ERM needs masks, which no batch has: there are amplified, background_targets, bias" in told.err
    assert not (tmp_path / "run").exists()


def test_weights_come_from_another_run(tmp_path: Path, data: Path, run: Path, longcut: Longcut) -> None:
    out = tmp_path / "second"
    told = longcut("train", "base_small", "--data", data, "--out", out, "--weights", run / "checkpoint.pt", *SMALL)
    assert told.code == 0, told
    assert longcut("evaluate", out, "--data", data).code == 0
    row = json.loads((out / "results.jsonl").read_text().splitlines()[0])
    assert row["starting_weights"].startswith("checkpoint.pt (sha256:")


def test_validation_measures_what_evaluation_does(tmp_path: Path, longcut: Longcut) -> None:
    """On images that are larger than the network's, which are decoded before they are cut out."""
    write_images(tmp_path / "data" / "train", count=6)
    write_images(tmp_path / "data" / "val", count=30, seed=1)
    run, data = tmp_path / "run", tmp_path / "data"
    assert longcut("train", "base_small", "--data", data, "--out", run, *small("image_size=16")).code == 0
    assert longcut("evaluate", run, "--data", data / "val").code == 0
    validated = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    assert validated["val_accuracy"] == rows_of(run)[0]["value"]


# The door.


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['longcut', '--help']\n"
        "from longcut.cli import main\n"
        "try: main()\n"
        "except SystemExit as ended: assert not ended.code\n"
        "heavy = {'torch', 'numpy', 'cv2', 'pydantic', 'matplotlib', 'timm', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "compare" in done.stdout
    # The processor's time: the clock's would tell how busy the machine is.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


def test_it_runs_as_a_module_under_its_own_name() -> None:
    done = subprocess.run([sys.executable, "-m", "longcut", "compare"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "longcut: missing argument 'RUN...'; see 'longcut compare -h'\n"


def test_version(longcut: Longcut) -> None:
    assert longcut("--version").out == f"longcut {__version__}\n"
