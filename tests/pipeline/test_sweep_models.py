"""Models in a sweep: what is there already is measured beside the runs, and keeps its results where they belong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import Longcut

from longcut.recipes.inputs import Inputs
from longcut.recipes.measures import MEASURES, Sources
from longcut.recipes.sweep import Grid, sweep

pytestmark = pytest.mark.usefixtures("one_process")


@pytest.mark.parametrize("prefix", ["", "run:"])
def test_a_run_is_measured_in_its_own_folder(
    prefix: str, finished: Path, tmp_path: Path, longcut: Longcut, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished / "run", tmp_path / "runs" / "erm")
    monkeypatch.chdir(tmp_path)
    told = longcut("sweep", f"{prefix}runs/erm", "--data", finished / "data", "--out", "sweep")
    assert told.code == 0, told
    assert (tmp_path / "runs" / "erm" / "results.jsonl").is_file()
    assert sorted(file.name for file in tmp_path.iterdir() if file.name != "cache") == ["runs", "sweep"]
    assert [file.name for file in (tmp_path / "sweep").iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("timm:resnet18.a1_in1k", "timm_resnet18.a1_in1k"),
        ("torchvision:resnet18", "torchvision_resnet18"),
        ("onnx:nets/bird.onnx", "onnx_nets_bird.onnx"),
        ("birds.nets:score", "birds.nets_score"),
        ("nets/bird.safetensors", "nets_bird.safetensors"),
    ],
)
def test_any_other_model_has_a_folder_below_the_sweep_s(
    name: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[tuple[str, Path]] = []

    def measure(model: str, out: Path, sources: Sources, say: object) -> None:
        measured.append((model, out))
        out.mkdir(parents=True)

    monkeypatch.setitem(MEASURES, "accuracy", measure)
    found = sweep(Grid([], models=[name]), Inputs(tmp_path / "data"), tmp_path / "out", sources=Sources(tmp_path))
    assert found == [tmp_path / "out" / folder]
    assert measured == [(name, tmp_path / "out" / folder)]


@pytest.mark.parametrize("name", ["timm:resnet18", "torchvision:resnet18", "onnx:bird.onnx", "run:runs/erm"])
def test_the_command_takes_it_for_a_model(
    name: str, data: Path, tmp_path: Path, longcut: Longcut, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Grid] = []
    monkeypatch.setattr("longcut.recipes.sweep.sweep", lambda grid, *_, **options: asked.append(grid))
    assert longcut("sweep", name, "--data", data, "--out", tmp_path / "out").code == 130
    assert [(grid.presets, grid.models) for grid in asked] == [([], [name])]


def test_what_names_no_model_is_told_before_a_run_is_trained(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ValueError, match="tims:resnet-18 names no model: there are run:DIR"):
        sweep(Grid(["base_small"], models=["tims:resnet-18"]), Inputs(data), tmp_path / "out", sources=Sources(data))
    assert not (tmp_path / "out").exists()
