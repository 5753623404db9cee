"""Options of the command line that show only in what is written: each is seen to arrive."""

from __future__ import annotations

import csv
import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import SMALL, Longcut
from made_images import write_images, write_masks

from longcut.data.image_set import read_images

pytestmark = pytest.mark.usefixtures("one_process")

SIDE = 36  # pixels, of the made images


@pytest.fixture
def boxes(data: Path, tmp_path: Path) -> Path:
    """A box for each image, of which the first is nearly the whole image."""
    table = tmp_path / "boxes.csv"
    rows = [f"{path},{0 if i == 0 else 6},1,{SIDE - 2},{SIDE - 2}" for i, path in enumerate(read_images(data).paths)]
    table.write_text("\n".join(["file,x1,y1,x2,y2", *rows]) + "\n")
    return table


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A segmentation network that gives the red channel, by a name that tells no family."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.array([1, 0, 0], np.float32).reshape(1, 3, 1, 1), "weight")
    nodes = [helper.make_node("Conv", ["x", "weight"], ["map"])]
    entry = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 16, 24])
    exit = helper.make_tensor_value_info("map", TensorProto.FLOAT, ["batch", 1, 16, 24])
    graph = helper.make_graph(nodes, "red", [entry], [exit], [weight])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "net.onnx"
    )
    return tmp_path / "net.onnx"


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def paths_of(run: Path) -> dict[str, Any]:
    """The files that a run's folder remembers."""
    return tomllib.loads((run / "settings.toml").read_text("utf-8"))["paths"]


def test_boxes_reach_grabcut(data: Path, boxes: Path, tmp_path: Path, longcut: Longcut) -> None:
    out = tmp_path / "masks"
    told = longcut("data", "segment", data, "--out", out, "--boxes", boxes)
    assert told.code == 0, told
    assert json.loads((out / "build.json").read_text())["boxes"] == "given"
    rows = table(out / "masks.csv")
    assert rows[0]["verdict"] == "box_too_large"
    assert {(row["x1"], row["y1"]) for row in rows[1:]} == {("6.0", "1.0")}


def test_a_method_and_its_model_make_masks(data: Path, network: Path, tmp_path: Path, longcut: Longcut) -> None:
    out = tmp_path / "masks"
    told = longcut("data", "segment", data, "--out", out, "--method", "isnet", "--model", network)
    assert told.code == 0, told
    made = json.loads((out / "build.json").read_text())
    assert made["method"] == "isnet"
    assert made["model"] == f"sha256:{hashlib.sha256(network.read_bytes()).hexdigest()}"


def test_boxes_and_edges_reach_a_challenge(data: Path, boxes: Path, tmp_path: Path, longcut: Longcut) -> None:
    masks, out = write_masks(tmp_path / "masks", count=4), tmp_path / "challenge"
    words = "--masks", masks, "--boxes", boxes, "--edges", "hard"
    told = longcut("data", "backgrounds", data, "--out", out, *words)
    assert told.code == 0, told
    assert json.loads((out / "build.json").read_text())["edges"] == "hard"
    assert "left out: 1 box_too_large" in told.err


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_stylized_images_are_composites(command: str, data: Path, tmp_path: Path, longcut: Longcut) -> None:
    stylized, textures = tmp_path / "stylized", write_images(tmp_path / "textures", count=1, seed=1)
    told = longcut("data", "stylize", data, "--textures", textures, "--out", stylized, "--mode", "amplitude")
    assert told.code == 0, told
    words = "clad_small", "--data", data, "--stylized", stylized, "composites=stylized", *SMALL
    told = longcut(command, *words, "--out", tmp_path / "out")
    assert told.code == 0, told
    run = tmp_path / "out" / ("" if command == "train" else "clad_small_0")
    assert paths_of(run) == {"data": str(data), "stylized": str(stylized)}
    assert len((run / "log.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_boxes_are_a_run_s_foregrounds(command: str, data: Path, boxes: Path, tmp_path: Path, longcut: Longcut) -> None:
    masks = write_masks(tmp_path / "masks", count=4)
    words = "clad_small", "--data", data, "--masks", masks, "--boxes", boxes, *SMALL
    told = longcut(command, *words, "--out", tmp_path / "out")
    assert told.code == 0, told
    run = tmp_path / "out" / ("" if command == "train" else "clad_small_0")
    assert paths_of(run) == {"data": str(data), "masks": str(masks), "boxes": str(boxes)}


def test_cue_conflict_adds_its_suite(data: Path, run: Path, tmp_path: Path, longcut: Longcut) -> None:
    stimuli = tmp_path / "stimuli"
    for number, (shape, texture) in enumerate([("cat", "dog"), ("dog", "bird"), ("bird", "cat")], 1):
        (stimuli / shape).mkdir(parents=True)
        (stimuli / shape / f"{shape}{number}-{texture}1.png").write_bytes((data / texture / "0.png").read_bytes())
    words = "--suite", "colour", "--cue-conflict", stimuli, "--format", "json"
    told = longcut("audit", f"run:{run}", data, "--out", tmp_path / "audit", *words)
    assert told.code == 0, told
    found = json.loads((tmp_path / "audit" / "audit.json").read_text())
    (effect,) = [effect for effect in found["effects"] if effect["suite"] == "cue-conflict"]
    assert effect["n"] == 3


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_run_sets_what_its_process_computes_with(
    deterministic: bool, data: Path, tmp_path: Path, longcut: Longcut
) -> None:
    assert not torch.are_deterministic_algorithms_enabled()
    assert keeps_denormals(), "an earlier run's setting is undone"
    words = "base_small", "--data", data, "--out", tmp_path / "run", f"deterministic={deterministic}".lower()
    told = longcut("train", *words, *SMALL)
    assert told.code == 0, told
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert keeps_denormals() == torch.cuda.is_available()


def keeps_denormals() -> bool:
    return bool(torch.tensor([1e-39]) * 1.0 > 0)
