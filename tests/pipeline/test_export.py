"""`longcut export`: what other libraries load says what the run says; what does not fit is refused."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
import torchvision
from command_line import SMALL, Longcut, Refused
from hypothesis import example, given
from hypothesis import strategies as st
from made_audit import HOSTILE, made_audit
from made_images import write_images
from made_runs import make_row, write_rows
from markdown_it import MarkdownIt
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from longcut.backbones import create_backbone
from longcut.data.decoding import read_image
from longcut.engine.run_folder import load_run
from longcut.engine.settings import parse_value, resolve
from longcut.evaluation.linear_head import LinearHead
from longcut.evaluation.linear_probe import Linear
from longcut.evaluation.results import weights_hash
from longcut.recipes.exporting import export as exporting
from longcut.recipes.exporting import to_timm, to_torchvision
from longcut.recipes.exporting.comparing import compare
from longcut.recipes.exporting.export import export_run
from longcut.recipes.exporting.normalised import Normalised
from longcut.recipes.exporting.source import find_parts, open_source
from longcut.recipes.inputs import Inputs
from longcut.recipes.training import train_run
from longcut.report.model_card import escape, model_card

pytestmark = pytest.mark.usefixtures("one_process")
CLASSES = ("<b>bird", "cat|*dog*", "wolf_")
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
BACKBONES = ("convnet5", "test_resnet", "resnet18")
EXPORTS = (
    ("convnet5", "safetensors"),
    ("test_resnet", "timm"),
    ("resnet18", "torchvision"),
    ("convnet5", "onnx"),
)


def train(name: str, folder: Path, data: Path, **changes: Any) -> Path:
    given = {key: parse_value(value) for key, _, value in (word.partition("=") for word in SMALL)}
    given |= {"mean": list(MEAN), "std": list(STD), "validate_every": 1, **changes}
    train_run(resolve(name, given), Inputs(data), folder)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs by the names of their backbones, `disent`, and `simclr` on images without classes."""
    folder = tmp_path_factory.mktemp("trained")
    for split in ("train", "val"):
        write_images(folder / "data" / split, classes=CLASSES, count=4, seed=len(split))
    for name in BACKBONES:
        train("base_small", folder / name, folder / "data", **{"backbone.name": name})
    train("disent", folder / "disent", folder / "data")
    train("simclr", folder / "simclr", folder / "data", **{"data.labels": False, "hidden": 8, "dim": 4})
    return folder


def truth(run: Path, pixels: np.ndarray, selection: str = "last") -> torch.Tensor:
    """Logits of a run's network, computed apart: `[b, h, w, 3]` in 0 to 255."""
    images = (torch.from_numpy(pixels / 255) - torch.tensor(MEAN)) / torch.tensor(STD)
    with torch.no_grad():
        return load_run(run, selection=selection).method(images.permute(0, 3, 1, 2).float())


def noise(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def as_images(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def normalised(pixels: np.ndarray) -> torch.Tensor:
    return (as_images(pixels) - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def leftovers(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.name.endswith(".part"))


# What is exported.


@pytest.mark.parametrize(("name", "target"), EXPORTS)
def test_the_card_s_code_predicts_what_the_run_predicts(
    name: str,
    target: str,
    trained: Path,
    tmp_path: Path,
    longcut: Longcut,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "handed" / "over"
    told = longcut("export", trained / name, "--to", target, "--out", out)
    assert told.code == 0, told.err
    assert told.out == f"{out}\n"
    assert "on 8 random images and 8 of the training images (1.0e-04 is allowed)" in told.err
    Image.fromarray(noise(1)[0]).save(out / "picture.jpg")
    ((shares),) = truth(trained / name, read_image(out / "picture.jpg")[None]).softmax(1)
    expected = [f"{CLASSES[place]} {shares[place]:.1%}" for place in shares.argsort(descending=True)]

    card = (out / "MODEL_CARD.md").read_text("utf-8")
    code = card.partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(out)
    exec(compile(code, "card", "exec"), {})
    assert capsys.readouterr().out.splitlines() == expected
    assert leftovers(tmp_path) == leftovers(out.parent) == []


def test_safetensors_names_backbone_and_head_and_says_what_they_are(trained: Path, tmp_path: Path) -> None:
    run = trained / "convnet5"
    about = export_run(f"run:{run}", "safetensors", tmp_path / "out", selection="best_val")
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        header, names = file.metadata(), set(file.keys())
    assert {name.partition(".")[0] for name in names} == {"backbone", "head"}
    assert json.loads(header["classes"]) == list(CLASSES)
    assert (json.loads(header["mean"]), json.loads(header["std"])) == (list(MEAN), list(STD))
    assert (header["image_size"], header["preset"], header["selection"]) == ("32", "base_small", "best_val")
    chosen = load_run(run, selection="best_val")
    assert header["weights_hash"] == weights_hash(chosen.method) == about.origin.weights_hash
    assert int(header["step"]) == chosen.step
    known = json.loads((tmp_path / "out" / "preprocessing.json").read_text("utf-8"))
    assert (known["classes"], known["mean"], known["image_size"]) == (list(CLASSES), list(MEAN), 32)
    assert (known["backbone"], known["data"]) == ({"name": "convnet5", "image_size": 32}, "data")


def test_timm_loads_the_weights_strictly_and_by_folder(trained: Path, tmp_path: Path) -> None:
    export_run(str(trained / "test_resnet"), "timm", tmp_path / "out")
    network = timm.create_model("test_resnet", num_classes=3).eval()
    network.load_state_dict(load_file(tmp_path / "out" / "model.safetensors"), strict=True)
    found = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    expected = truth(trained / "test_resnet", noise())
    for loaded in (network, found):
        torch.testing.assert_close(loaded(normalised(noise())), expected, atol=1e-5, rtol=0)
    known = timm.data.resolve_data_config(found.pretrained_cfg)
    assert (known["mean"], known["std"], known["input_size"]) == (MEAN, STD, (3, 32, 32))
    assert (known["crop_pct"], found.pretrained_cfg["label_names"]) == (1.0, list(CLASSES))


def test_torchvision_loads_the_weights_strictly(trained: Path, tmp_path: Path) -> None:
    export_run(str(trained / "resnet18"), "torchvision", tmp_path / "model.safetensors")
    network = torchvision.models.resnet18(num_classes=3).eval()
    network.load_state_dict(load_file(tmp_path / "model.safetensors"), strict=True)
    expected = truth(trained / "resnet18", noise())
    torch.testing.assert_close(network(normalised(noise())), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("within", [False, True])
def test_a_graph_takes_any_number_of_images(within: bool, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "graph.onnx"
    export_run(str(trained / "convnet5"), "onnx", out, with_preprocessing=within)
    assert [file.name for file in tmp_path.iterdir() if file.suffix] == ["graph.onnx"]
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == ["batch", 3, 32, 32]
    for count in (1, 5):
        images = (as_images if within else normalised)(noise(count))
        (logits,) = session.run(["logits"], {"images": images.numpy()})
        torch.testing.assert_close(
            torch.from_numpy(logits), truth(trained / "convnet5", noise(count)), atol=1e-5, rtol=0
        )
    header = {entry.key: entry.value for entry in onnx.load(out).metadata_props}
    assert json.loads(header["classes"]) == list(CLASSES)
    assert header["normalised_by"] == ("graph" if within else "caller")


def test_a_network_of_more_parts_is_a_graph_or_nothing(trained: Path, tmp_path: Path) -> None:
    export_run(str(trained / "disent"), "onnx", tmp_path / "graph.onnx")
    assert "difficulty" not in str([entry.name for entry in onnx.load(tmp_path / "graph.onnx").graph.initializer])
    with pytest.raises(ValueError, match="disent classifies in another way: take --to onnx"):
        export_run(str(trained / "disent"), "safetensors", tmp_path / "none" / "out")
    assert sorted(file.name for file in tmp_path.iterdir() if file.name != "cache") == ["graph.onnx"]


class Scaled(nn.Module):
    """A classifier that does something to its features before the last layer reads them."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.backbone, self.factor = create_backbone("convnet5"), factor
        self.head = nn.Linear(256, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.factor * self.backbone(images))


def test_a_network_is_its_backbone_and_last_layer_where_they_say_the_same() -> None:
    parts = find_parts(Scaled(1.0).eval(), 32, Path("run"))
    assert parts is not None
    assert [name for name, _ in parts.named_children()] == ["backbone", "head"]
    assert find_parts(Scaled(1.1).eval(), 32, Path("run")) is None
    with pytest.raises(ValueError, match="run gives logits that are not finite: its training has diverged"):
        find_parts(Scaled(float("inf")).eval(), 32, Path("run"))


def test_an_encoder_without_classes_goes_with_its_probe(trained: Path, tmp_path: Path, refused: Refused) -> None:
    run = Path(shutil.copytree(trained / "simclr", tmp_path / "simclr"))
    line = refused("export", run, "--to", "safetensors", "--out", tmp_path / "out")
    assert "was trained without classes" in line
    assert "--head linear" in line
    assert "has no linear probe yet" in refused(
        "export", run, "--to", "safetensors", "--out", tmp_path / "out", "--head", "linear"
    )
    method = load_run(run).method
    linear = Linear(torch.randn(2, 256, generator=torch.Generator().manual_seed(0)), torch.tensor([0.5, -0.5]))
    LinearHead(linear, ("even", "odd"), weights_hash(method)).save(run)
    about = export_run(str(run), "safetensors", tmp_path / "out", head="linear")
    assert about.origin.head.startswith("linear:")
    assert about.classes == ("even", "odd")
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    torch.testing.assert_close(tensors["head.weight"], linear.weight)
    assert "a linear probe on its features" in model_card(about)


# What is refused.


@pytest.mark.parametrize(
    ("name", "target", "why"),
    [
        ("convnet5", "timm", "convnet5 is none of timm's networks: take --to safetensors or onnx"),
        ("convnet5", "torchvision", "torchvision has no network with the layers of convnet5"),
        ("test_resnet", "torchvision", "torchvision has no network with the layers of test_resnet"),
    ],
)
def test_a_backbone_that_the_library_has_not_is_refused(
    name: str, target: str, why: str, trained: Path, tmp_path: Path, refused: Refused
) -> None:
    assert why in refused("export", trained / name, "--to", target, "--out", tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("writer", [to_timm, to_torchvision])
def test_a_small_stem_is_refused(writer: Any, trained: Path, tmp_path: Path) -> None:
    source = open_source(str(trained / "resnet18"))
    small = replace(source, backbone=source.backbone | {"small_stem": True})
    about = exporting._about(small, "timm", tmp_path, False)
    with pytest.raises(ValueError, match=r"small_stem=true gave resnet18 a stem that \w+'s has not"):
        writer.write(small, tmp_path, about)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--to", "timm", "--out", "out", "--with-preprocessing"], "--with-preprocessing goes with --to onnx"),
        (["--to", "timm", "--out", "model.safetensors"], "timm loads a folder"),
        (["--to", "onnx", "--out", "model.pt"], "--to onnx writes a file .onnx"),
        (["--to", "onnx", "--out", "model.onnx", "--audit", "audit"], "--audit goes into the model card"),
        (["--to", "onnx", "--out", "out", "--audit", "audit"], "audit holds no audit"),
        (["--to", "onnx", "--out", "out", "--selection", "best"], "selection is one of last"),
        (["--to", "coreml", "--out", "out"], "--to coreml"),
        (["--to", "onnx"], "missing option '--out'"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_wrong_words_are_told_in_one_line(
    words: list[str], why: str, trained: Path, tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert why in refused("export", trained / "convnet5", *words)
    assert [file.name for file in tmp_path.iterdir() if file.name != "cache"] == []


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="timm:resnet18 is no run"):
        export_run("timm:resnet18", "onnx", tmp_path / "out")
    with pytest.raises(ValueError, match="holds no finished or interrupted run"):
        export_run(str(tmp_path), "onnx", tmp_path / "out")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named(
    package: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"needs the package {package}: install the extra, pip install 'longcut\[ex"):
        export_run(str(trained / "convnet5"), "onnx", tmp_path / "out")


@pytest.mark.parametrize("added", [2e-3, float("nan")])
def test_what_says_something_else_is_not_kept(
    added: float, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = exporting._WRITERS["safetensors"]

    def changed(source: Any, folder: Path, about: Any) -> Any:
        loaded = write(source, folder, about)
        return lambda images: loaded(images) + (added if len(images) == 1 else 0.0)  # where images come one by one

    monkeypatch.setitem(exporting._WRITERS, "safetensors", changed)
    with pytest.raises(ValueError, match=r"its logits differ from the run's by .*, and 1.0e-04 is allowed"):
        export_run(str(trained / "convnet5"), "safetensors", tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir() if file.name != "cache"] == []


def test_images_are_compared_as_they_are_normalised(trained: Path) -> None:
    source = open_source(str(trained / "convnet5"))
    wrong = replace(source.normalisation, mean=(0.5, 0.4, 0.32))
    with pytest.raises(ValueError, match="its logits differ"):
        compare(source, Normalised(source.network, wrong), None)
    assert compare(source, Normalised(source.network, source.normalisation), None).num_training == 0


def test_without_the_training_images_random_ones_do(trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained / "convnet5", tmp_path / "run"))
    text = (run / "settings.toml").read_text("utf-8")
    (run / "settings.toml").write_text(text.replace(str(trained / "data"), str(tmp_path / "gone")), "utf-8")
    lines: list[str] = []
    about = export_run(str(run), "safetensors", tmp_path / "out", say=lines.append)
    assert about.comparison is not None
    assert (about.comparison.num_random, about.comparison.num_training) == (8, 0)
    assert lines[0].startswith("checked on random images alone: ")


# What is there already.


def test_only_the_same_export_is_replaced(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    run = str(trained / "convnet5")
    export_run(run, "safetensors", out)  # an empty folder is as good as none
    export_run(run, "safetensors", out, card=lambda about: "a card")
    assert (out / "MODEL_CARD.md").read_text() == "a card"
    before = (out / "model.safetensors").read_bytes()
    with pytest.raises(ValueError, match=r"holds an export with weights_hash = 'sha256:\w+', not .*: choose another"):
        export_run(str(trained / "test_resnet"), "safetensors", out)
    with pytest.raises(ValueError, match="holds an export with target = 'safetensors', not 'timm'"):
        export_run(str(trained / "test_resnet"), "timm", out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds notes.txt and is no export: choose another --out"):
        export_run(run, "safetensors", out)
    assert (out / "model.safetensors").read_bytes() == before
    assert leftovers(tmp_path) == []


def test_a_file_is_never_replaced(trained: Path, tmp_path: Path) -> None:
    for name in ("model.onnx", "plain"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(ValueError, match=r"exists: choose another --out|is a file: --out names a folder"):
            export_run(str(trained / "convnet5"), "onnx", tmp_path / name)
        assert (tmp_path / name).read_text() == "mine"


# The card.


def test_the_card_has_the_figures_and_the_audit_of_these_weights(
    trained: Path, tmp_path: Path, longcut: Longcut, refused: Refused
) -> None:
    run = Path(shutil.copytree(trained / "convnet5", tmp_path / "run"))
    mine = weights_hash(load_run(run).method)
    ours = {"weights_hash": mine, "data": "photos<i>"}
    rows = [
        make_row("accuracy", "val", 0.625, **ours),
        make_row("accuracy", "val", 0.111, **ours | {"class": "cat"}),
        make_row("accuracy", "only_fg", 0.222, weights_hash="sha256:others"),
        make_row("linear_accuracy", "val", 0.333, **ours),
    ]
    write_rows(run, rows)
    made_audit(tmp_path / "audit", model={"weights_hash": mine})
    words = ("export", run, "--to", "safetensors", "--out", tmp_path / "out")
    told = longcut(*words, "--audit", tmp_path / "audit")
    assert told.code == 0, told.err
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text("utf-8")
    figures = card.partition("## Figures")[2].partition("## Audit")[0]
    assert "62.5 [60.5, 64.5] | 100 |" in figures
    assert not any(number in figures for number in ("11.1", "22.2", "33.3"))
    audit = card.partition("## Audit")[2].partition("## Settings")[0]
    for text in (
        "The model takes one shortcut: the background.",
        "- **background**: It rests on GrabCut masks.",
        "| Background | 21.0 points | 17.0 to 25.0 | 90 |",
        "- file: every file is a JPEG of one quality",
        "- The weights are random.",
    ):
        assert text in audit
    assert mine in card
    assert "from scratch" in card
    shown = MarkdownIt("commonmark").enable("table").render(card)
    code = shown.replace("<details><summary>", "").replace("</summary>", "").replace("</details>", "")
    assert not any(tag in code for tag in ("<script", "<b>", "<i>"))
    for name in (*CLASSES, HOSTILE, "photos<i>"):
        assert html.escape(name) in shown, name

    made_audit(tmp_path / "audit")
    assert "the audit is of other weights (3f1c9a0b)" in refused(*words, "--audit", tmp_path / "audit")
    assert (tmp_path / "out" / "MODEL_CARD.md").read_text("utf-8") == card


@example("1. a")
@example("12) a")
@example("- a")
@example("a_b _c_ 2.5")
@given(st.text(alphabet="ab1 <>&*_|[]()`#-.:/!~+=\\\"'$@;", max_size=30))
def test_a_name_is_never_read_as_markup(text: str) -> None:
    render = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render
    shown = html.escape(" ".join(text.split()), quote=True).replace("&#x27;", "'")
    assert render(f"| a | b |\n| --- | --- |\n| {escape(text)} | c |").count(f"<td>{shown}</td>") == 1
    assert render(f"- {escape(text)}") == (f"<ul>\n<li>{shown}</li>\n</ul>\n")


def test_the_card_needs_no_torch() -> None:
    code = "import sys, longcut.report.model_card; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
