"""`longcut table`, from MNIST to the printed table."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import Longcut, Refused

from longcut.engine.settings import parse_value
from longcut.methods import LfF
from longcut.recipes.paper_table import read_table
from longcut.recipes.table import TableJob, make_table

pytestmark = pytest.mark.usefixtures("one_process")

TINY = (
    *("steps=2", "batch_size=16", "validate_every=2", "precision=fp32", "log_every=1"),
    *("ensemble.models=1", "agreement=1", "model_steps=2", "build.valid=20"),
)


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hundred images of noise of MNIST's shape, twenty of each digit, and a hundred to test on."""
    draw = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 200), ("test", 100)):
        arrays[f"{split}_images"] = draw.integers(0, 256, (count, 28, 28), np.uint8)
        arrays[f"{split}_labels"] = np.arange(count, dtype=np.uint8) % 10
    path = tmp_path_factory.mktemp("mnist") / "mnist.npz"
    np.savez(path, **arrays)
    return path


def words_for(mnist: Path, out: Path) -> list[object]:
    """A table of two rows that share their biased models."""
    rows = ["--rows", "lff_be,disent_be", "--columns", "0.05", "--seeds", "0"]
    return ["table", "cmnist", "--source", mnist, "--out", out, *rows, *TINY]


@pytest.fixture
def words(mnist: Path, tmp_path: Path) -> list[object]:
    return words_for(mnist, tmp_path / "table")


@pytest.fixture(scope="module")
def made(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished table, which tests leave as it is."""
    out = tmp_path_factory.mktemp("made") / "table"
    overrides = {key: parse_value(value) for key, _, value in (word.partition("=") for word in TINY[:-1])}
    table = read_table("cmnist").choose(["lff_be", "disent_be"], ["0.05"])
    assert make_table(TableJob(table, mnist, out, [0], {"valid": 20}, overrides)) == []
    return out


def logs_of(out: Path) -> dict[str, int]:
    """When each run's log was last written."""
    return {log.parent.name: log.stat().st_mtime_ns for log in out.glob("runs/*/log.jsonl")}


def test_a_table_is_built_trained_and_measured_once(mnist: Path, made: Path, longcut: Longcut) -> None:
    assert {folder.name for folder in made.iterdir()} == {"data", "runs", "ensembles"}
    assert (made / "data" / "0.05" / "images.csv").is_file()
    assert len(list((made / "ensembles").iterdir())) == 1, "both rows read the same biased models"
    before = logs_of(made)
    assert set(before) == {"lff_be_cmnist_0.05_0", "disent_be_cmnist_0.05_0"}

    told = longcut(*words_for(mnist, made))
    assert told.code == 0, told
    assert logs_of(made) == before, "nothing is trained again"
    assert told.err == "", "nor measured"
    lines = [line.split() for line in told.out.splitlines()]
    for row in ("LfF + BE", "DisEnt + BE"):
        cells = next(line for line in lines if line[:3] == row.split())
        assert (cells[3], cells[5]) == ("last", "(1)"), "one seed"
        assert 0 <= float(cells[4]) <= 100
    rules = [line[0] for line in lines if line and line[0].startswith("best")]
    assert rules == ["best_val", "best_val_group", "best_test"] * 2
    assert "0.5 %" not in told.out, "columns that were not asked for"

    (made / "runs" / "lff_be_cmnist_0.05_0" / "results.jsonl").unlink()
    assert longcut(*words_for(mnist, made)).out == told.out
    assert logs_of(made) == before, "measuring does not train"


def test_what_is_there_is_printed_without_torch(made: Path) -> None:
    script = (
        "import sys; from longcut.cli import main\n"
        f"sys.argv = ['longcut', 'table', 'cmnist', '--out', {str(made)!r}, '--print', '--format', 'markdown']\n"
        "try: main()\nexcept SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| LfF + BE | last |")]
    assert len(rows) == 1
    assert rows[0].split("|")[3:6] == ["  ", "  ", "  "], "cells that were not run are empty"
    assert "(1)" in rows[0].split("|")[6]


def test_a_run_that_another_process_makes_is_left_to_it(tmp_path: Path, words: list[object], longcut: Longcut) -> None:
    runs = tmp_path / "table" / "runs"
    runs.mkdir(parents=True)
    with (runs / ".lff_be_cmnist_0.05_0.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = longcut(*words)
    assert told.code == 0, told
    assert "[1/2] lff_be_cmnist, 5 %, seed 0: left to the process that is making it" in told.err
    assert not (runs / "lff_be_cmnist_0.05_0").exists()
    assert (runs / "disent_be_cmnist_0.05_0" / "results.jsonl").exists()


def test_a_run_that_diverges_leaves_its_cell_empty(
    tmp_path: Path, words: list[object], longcut: Longcut, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = LfF.training_step
    with monkeypatch.context() as diverging:
        diverging.setattr(
            LfF,
            "training_step",
            lambda method, batch: ({"loss": sum(terms.values()) * float("nan")} for terms in sound(method, batch)),
        )
        told = longcut(*words)
    assert told.code == 2, told
    assert "lff_be_cmnist, 5 %, seed 0 is left out: the loss is not finite at step 1" in told.err
    assert told.err.endswith("longcut: runs left out since they diverged: 1; each is named above\n")
    cells = {line.partition("last")[0].strip(): line for line in told.out.splitlines() if "last" in line}
    assert "(1)" not in cells["LfF + BE"]
    assert "(1)" in cells["DisEnt + BE"]

    told = longcut(*words)
    assert told.code == 0, told
    assert "(1)" in next(line for line in told.out.splitlines() if line.startswith("LfF + BE"))


def test_what_was_cut_off_goes_on(
    tmp_path: Path, words: list[object], longcut: Longcut, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = iter([False, False])  # by the two steps of the biased model
    with monkeypatch.context() as stopping:
        stopping.setattr("longcut.engine.launch.Stopper.asked", lambda self: next(asked, True))
        told = longcut(*words, "--rows", "lff_be")
    assert told.code == 130, told
    assert told.out == ""
    assert told.err.endswith("stopped: the same command goes on\n")
    first = tmp_path / "table" / "runs" / "lff_be_cmnist_0.05_0"
    assert (first / "checkpoint.pt").exists()
    assert not (first / "results.jsonl").exists()
    told = longcut(*words, "--rows", "lff_be")
    assert told.code == 0, told
    assert "going on from step 1" in told.err
    assert (first / "results.jsonl").exists()


def test_what_cannot_be_is_refused_before_anything_is_made(
    tmp_path: Path, words: list[object], refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "did you mean 'lff'?" in refused(*words[:6], "--rows", "lf")
    assert "no table is called 'cmnst'" in refused("table", "cmnst", "--out", tmp_path / "table")
    assert "the table cmnist needs --source: MNIST" in refused("table", "cmnist", "--out", tmp_path / "table")
    assert "unknown setting 'stepz' (did you mean 'steps'?)" in refused(*words, "stepz=3")
    assert "unknown setting build.valids (did you mean 'valid'?)" in refused(*words, "build.valids=3")
    assert "build.valid = 'x': input should be a valid integer" in refused(*words[:-1], "build.valid=x")
    assert "lff_be_cmnist: unknown setting 'tau'" in refused(*words, "tau=2")
    assert "'steps' is no KEY=VALUE" in refused(*words, "steps")
    for key in ("seed", "run.seed"):
        assert f"{key} tells the table's cells apart: choose it by --seeds" in refused(*words, f"{key}=5")
    assert "build.ratio tells the table's cells apart: choose it by --columns" in refused(*words, "build.ratio=0.5")
    for key in ("severity", "data.severity"):
        line = refused("table", "bar", "--out", tmp_path / "table", "--source", tmp_path, f"{key}=1pct")
        assert f"{key} tells the table's cells apart: choose it by --columns" in line
    assert "'one' is no seed" in refused(*words, "--seeds", "one")
    assert "no table as 'pdf'" in refused(*words, "--format", "pdf")
    assert "--print changes nothing: leave steps=2 out" in refused(*words, "--print")
    assert f"{tmp_path / 'table'} is no folder" in refused("table", "cmnist", "--out", tmp_path / "table", "--print")
    bar = refused("table", "bar", "--out", tmp_path / "table", "--source", tmp_path, "--columns", "1pct")
    assert f"--source {tmp_path} is not what the table bar reads, BAR with the splits of Lee et al." in bar
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "start 'longcut table' several times" in refused(*words)
    assert not (tmp_path / "table").exists()


def test_a_folder_without_measured_runs_is_told_of(tmp_path: Path, longcut: Longcut) -> None:
    told = longcut("table", "cmnist", "--out", tmp_path, "--rows", "lff", "--print")
    assert told.code == 0
    assert told.err == f"{tmp_path} holds no measured run of these cells\n"
    assert "LfF" in told.out


def test_runs_of_other_settings_are_refused(mnist: Path, made: Path, refused: Refused) -> None:
    before, words = logs_of(made), words_for(mnist, made)
    told = refused(*words, "lr=0.5")
    assert "holds a run with other settings (optimizer.lr is 0.01 there and 0.5 here)" in told
    assert "holds Colored MNIST made with valid = 20, not 30" in refused(*words[:-1], "build.valid=30")
    assert logs_of(made) == before
