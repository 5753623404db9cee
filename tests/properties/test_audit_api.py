"""`longcut.audit`: models and images of every kind that a person has in memory give the audit that files give."""

from __future__ import annotations

import gc
import inspect
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_images import CLASSES, write_celeba, write_images, write_masks
from PIL import Image
from torch import Tensor, nn

import longcut
from longcut.evaluation.audit.result import AuditResult
from longcut.recipes.audit.arrays import image_set, with_bias, with_targets
from longcut.recipes.audit.by_name import AUDIT_FIGURES
from longcut.recipes.models import open_model
from longcut.report.audit.summary import format_audit

pytestmark = pytest.mark.usefixtures("one_process")
COUNT, SIDE = 4, 32
PLAIN = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


def mean_colour(images: Tensor) -> Tensor:
    return images.mean(dim=(2, 3))


def colour_net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    write_images(folder / "photos", count=COUNT, size=SIDE)
    write_masks(folder / "masks", count=COUNT, size=SIDE)
    return folder


@pytest.fixture(scope="module")
def files(folder: Path) -> list[Path]:
    return sorted((folder / "photos").rglob("*.png"))


@pytest.fixture(scope="module")
def arrays(folder: Path, files: list[Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images `[s, h, w, 3]`, masks `[s, h, w]` and targets `[s]`."""
    masks = [folder / "masks" / file.relative_to(folder / "photos") for file in files]
    pixels, shapes = (np.stack([np.asarray(Image.open(file)) for file in each]) for each in (files, masks))
    return pixels, shapes, np.array([CLASSES.index(file.parent.name) for file in files])


def figures(result: AuditResult) -> list[tuple[Any, ...]]:
    return [(e.name, e.value, e.low, e.high, e.n) for e in result.effects]


# What is given.


def test_files_and_arrays_of_the_same_images_give_the_same(folder: Path, files: list[Path], arrays: Any) -> None:
    pixels, masks, targets = arrays
    names = [file.parent.name for file in files]
    floats = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    audit = partial(longcut.audit, mean_colour, suites=("background", "border", "colour"), **PLAIN)
    expected = figures(audit(folder / "photos", masks=folder / "masks", image_size=SIDE))
    assert {name: value for name, value, *_ in expected}["bg_gap"] > 0.5
    for result in (
        audit(str(folder / "photos"), masks=str(folder / "masks"), image_size=SIDE, classes=CLASSES),
        audit(files, targets, masks=folder / "masks", image_size=SIDE),
        audit([str(file) for file in files], names, masks=list_of(masks, folder), image_size=SIDE, classes=CLASSES),
        audit(pixels, targets, masks=masks),
        audit(floats, torch.from_numpy(targets), masks=torch.from_numpy(masks) > 0),
        audit(floats.numpy(), names, masks=masks / np.float32(255), classes=CLASSES),
        audit(torch.from_numpy(pixels), targets.tolist(), masks=masks[:, None] // 255),
    ):
        assert figures(result) == expected
        assert result.masks["usable"] == 3 * COUNT


def list_of(masks: np.ndarray, folder: Path) -> list[Path]:
    """Files of masks, called otherwise than the images."""
    files = []
    for row, mask in enumerate(masks):
        files.append(folder / f"mask_{row}.png")
        Image.fromarray(mask).save(files[-1])
    return files


def test_models_of_every_kind(arrays: Any, folder: Path, tmp_path: Path) -> None:
    pixels, masks, targets = arrays
    audit = partial(longcut.audit, images=pixels, targets=targets, masks=masks, suites="border")
    torch.manual_seed(0)
    network = colour_net().train()
    before = {name: values.clone() for name, values in network.state_dict().items()}
    found = audit(network, **PLAIN)
    assert network.training, "as it was"
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())
    assert found.title == "Sequential on 12 images"
    with torch.no_grad():
        logits = network.eval()((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5)
    accuracy = found.effect("accuracy")
    assert accuracy is not None
    assert accuracy.value == pytest.approx((logits.argmax(dim=1).numpy() == targets).mean())

    opened, _ = open_model("timm:test_resnet", weights="none", image_size=SIDE, out=tmp_path)
    by_words = audit(opened, targets=None)
    assert by_words.model["num_classes"] == 1000
    assert any("random weights" in line for line in by_words.warnings)
    assert by_words.effect("accuracy") is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, by another category in each version of torch
        scripted = torch.jit.script(network)
    hookless = longcut.audit(scripted, pixels, targets, masks=masks, suites="attention", **PLAIN)
    assert [left.suite for left in hookless.not_run] == ["attention"]

    rows = [f"images.npy#{row},{CLASSES[target]}" for row, target in enumerate(targets)]
    (tmp_path / "said.csv").write_text("\n".join(["path,prediction", *rows]))
    said = longcut.audit(f"predictions:{tmp_path / 'said.csv'}", pixels, [CLASSES[target] for target in targets])
    assert [(effect.name, effect.value) for effect in said.effects] == [("accuracy", 1)]


def test_a_size_is_the_model_s_or_the_images_or_what_is_said(arrays: Any, files: list[Path]) -> None:
    pixels = arrays[0]
    sizes: list[int] = []

    def network(images: Tensor) -> Tensor:
        sizes.append(images.shape[-1])
        return mean_colour(images)

    longcut.audit(network, pixels[:, :, :28], suites="patches")
    assert set(sizes) == {28}
    sizes.clear()
    longcut.audit(network, pixels, suites="patches", image_size=40)
    assert set(sizes) == {40}
    sizes.clear()
    longcut.audit(network, files[:2], suites="patches")
    assert set(sizes) == {224}


def test_without_targets_it_is_measured_what_moves(arrays: Any) -> None:
    pixels, masks, _ = arrays
    found = longcut.audit(mean_colour, pixels, masks=masks, suites="background", **PLAIN)
    assert not found.data["labelled"]
    assert {effect.unit for effect in found.effects if effect.kind == "swapped"} == {"agreement"}


def test_groups(arrays: Any) -> None:
    pixels, _, targets = arrays
    audit = partial(longcut.audit, mean_colour, pixels, targets, suites="groups", **PLAIN)
    found = audit(bias=(targets + np.arange(12) % 2) % 3)
    assert {(row["target"], row["bias"]) for row in found.groups} == {
        (f"class {a}", str((a + k) % 3)) for a in range(3) for k in range(2)
    }
    assert found.effect("bias_gap") is not None, "as many values as classes"
    named = audit(bias=["red" if row % 3 else "" for row in range(12)], classes=CLASSES)
    assert {(row["target"], row["bias"]) for row in named.groups} == {(name, "red") for name in CLASSES}
    assert sum(row["n"] for row in named.groups) == 8
    assert named.effect("bias_gap") is None


def test_columns_of_a_folder_that_has_several(tmp_path: Path) -> None:
    celeba = write_celeba(tmp_path)
    audit = partial(longcut.audit, lambda x: mean_colour(x)[:, :2], celeba, suites="groups", image_size=SIDE, **PLAIN)
    found = audit("Male", bias="Smiling")
    assert {(row["target"], row["bias"]) for row in found.groups} == {
        (target, bias) for target in ("not Male", "Male") for bias in ("not Smiling", "Smiling")
    }
    assert {"bias_aligned", "bias_conflicting", "bias_gap"} <= {effect.name for effect in found.effects}
    assert {row["target"] for row in audit(split="test").groups} == {"not Blond_Hair", "Blond_Hair"}
    assert found.data["n"] == 8
    with pytest.raises(ValueError, match="has no attribute 'Mail': it has Male"):
        audit("Mail")


def test_many_numbered_classes_stay_in_order(arrays: Any) -> None:
    """Also those from ten on, which come before two in the alphabet."""
    pixels, _, targets = arrays

    def twelve(images: Tensor) -> Tensor:
        return torch.cat([mean_colour(images).new_full((len(images), 9), -9.0), mean_colour(images)], dim=1)

    found = longcut.audit(twelve, pixels, targets + 9, suites="calibration", **PLAIN)
    accuracy = found.effect("accuracy")
    assert accuracy is not None
    assert accuracy.value == 1
    assert [row["name"] for row in found.per_class] == ["class 09", "class 10", "class 11"]


def test_a_limit_and_a_seed(arrays: Any) -> None:
    pixels, masks, targets = arrays
    audit = partial(longcut.audit, mean_colour, pixels, targets, masks=masks, suites="border", **PLAIN)
    assert audit(limit=7).data["n"] == 7
    assert figures(audit(seed=0)) == figures(audit())
    assert audit(seed=5).settings["seed"] == 5


# What comes of it.


def test_it_prints_itself_and_has_a_page(arrays: Any, tmp_path: Path) -> None:
    pixels, masks, targets = arrays
    found = longcut.audit(mean_colour, pixels, targets, masks=masks, suites="border", out=tmp_path / "audit", **PLAIN)
    assert str(found) == format_audit(found)
    assert found.summary in str(found)
    assert "Border of another class" in str(found)
    assert "| Border of another class |" in found._repr_markdown_()
    assert found.page == tmp_path / "audit" / "audit.html"
    assert "<!doctype html>" in found.page.read_text("utf-8").lower()
    assert asdict(AuditResult.load(found.folder)) == asdict(found)
    assert isinstance(found, AuditResult)


def test_a_folder_that_nobody_asked_for_goes_with_its_audit(arrays: Any) -> None:
    pixels, _, targets = arrays
    found = longcut.audit(mean_colour, pixels, targets, suites="patches")
    folder = found.folder
    assert (folder / "audit.html").is_file()
    del found
    gc.collect()
    assert not folder.exists()


def test_nothing_is_left_where_it_fails(arrays: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ValueError, match="no suite is called"):
        longcut.audit(mean_colour, arrays[0], suites="bakground")
    with pytest.raises(ValueError, match="the model 3 classes"):
        longcut.audit(mean_colour, arrays[0], arrays[2] + 1)
    assert list(tmp_path.iterdir()) == []


def test_a_module_is_not_asked_again_what_it_said(arrays: Any, tmp_path: Path) -> None:
    pixels, masks, targets = arrays
    torch.manual_seed(0)
    network, calls = colour_net().eval(), []
    network.register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    audit = partial(longcut.audit, images=pixels, targets=targets, masks=masks, suites="border", out=tmp_path / "a")
    first = audit(network)
    assert calls.count(12) > 0
    calls.clear()
    assert figures(audit(network)) == figures(first)
    assert calls.count(12) == 0, "but for what tells its outputs"
    with torch.no_grad():
        next(network.parameters()).mul_(-1)
    audit(network)
    assert calls.count(12) > 0, "it is another one"
    calls.clear()
    audit(network, images=pixels[::-1].copy(), targets=targets[::-1].copy(), masks=masks[::-1].copy())
    assert calls.count(12) > 0, "they are others"


def test_a_script_needs_no_guard(arrays: Any, tmp_path: Path) -> None:
    """What a person writes at the top of a file is not run again by the processes that make masks."""
    np.save(tmp_path / "images.npy", arrays[0][:6])
    (tmp_path / "script.py").write_text(
        "import numpy as np\n"
        "import longcut\n"
        "print('begun')\n"
        "found = longcut.audit(lambda x: x.mean((2, 3)), np.load('images.npy'), suites='background')\n"
        "print(found.masks['source'], __file__ is not None)\n"
    )
    ended = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["begun", "grabcut True"]


def test_importing_longcut_imports_no_torch() -> None:
    code = (
        "import longcut, sys; assert 'audit' in dir(longcut); assert 'torch' not in sys.modules; "
        "longcut.audit; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert inspect.signature(longcut.audit).parameters["suites"].default == "core"


def test_the_example_in_its_docstring_runs(
    arrays: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", inspect.getdoc(longcut.audit) or "", re.DOTALL)
    assert code is not None
    given = {"network": mean_colour, "images": arrays[0], "targets": arrays[2]}
    original: Callable[..., Any] = longcut.audit
    monkeypatch.setattr(longcut, "audit", partial(original, masks=arrays[1]), raising=False)
    exec(compile(code.group(1), "docstring", "exec"), given)
    assert "Border of another class" in capsys.readouterr().out
    assert (tmp_path / "audit" / "audit.html").is_file()


def test_every_figure_has_a_name(arrays: Any) -> None:
    pixels, masks, targets = arrays
    found = longcut.audit(colour_net(), pixels, targets, masks=masks, bias=targets)
    assert {effect.name for effect in found.effects} <= set(AUDIT_FIGURES)
    json.dumps(asdict(found), allow_nan=False)


# What is wrong.

IMAGES = np.zeros((4, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((4, 8, 8, 2), np.uint8), r"images are uint8 of \[4, 8, 8, 2\]"),
        (np.zeros((8, 8), np.uint8), r"images are uint8 of \[8, 8\]"),
        (np.zeros((0, 8, 8, 3), np.uint8), r"images are uint8 of \[0, 8, 8, 3\]"),
        (torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)), "not normalised yet, are needed"),
        (np.full((4, 3, 8, 8), np.nan), "images are float64 from nan to nan"),
        (np.zeros((4, 8, 8, 3), np.int64), "images are int64 from 0 to 0: uint8, or floats"),
        ([], "the list is empty"),
    ],
)
def test_images_that_are_none(images: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        image_set(images, None, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (np.zeros((4, 8, 6, 3), np.uint8), (4, 8, 6, 3)),
        (np.zeros((4, 3, 8, 6), np.uint8), (4, 8, 6, 3)),
        (np.zeros((4, 1, 8, 6), np.float32), (4, 8, 6)),
        (np.zeros((4, 8, 6), np.uint8), (4, 8, 6)),
        (np.zeros((4, 3, 8, 3), np.float32), (4, 8, 3, 3)),
        (np.zeros((4, 3, 8, 3), np.uint8), (4, 3, 8, 3)),
    ],
)
def test_shapes_of_images(images: np.ndarray, shape: tuple[int, ...], tmp_path: Path) -> None:
    found = image_set(images, None, tmp_path)
    assert np.load(tmp_path / "images.npy").shape == shape
    assert found.paths == tuple(f"images.npy#{row}" for row in range(4))


def test_floats_are_rounded(tmp_path: Path) -> None:
    image_set(torch.tensor([0, 0.4 / 255, 0.6 / 255, 1]).expand(2, 3, 1, 4), None, tmp_path)
    assert np.load(tmp_path / "images.npy")[1, 0].tolist() == [[0] * 3, [0] * 3, [1] * 3, [255] * 3]


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (np.zeros((4, 8, 9)), r"masks are \[4, 8, 9\] and images \[4, 8, 8\]"),
        (np.full((4, 8, 8), -1.0), "masks go from -1 to -1"),
        (["a.png"], "there are 1 masks for 4 images"),
    ],
)
def test_masks_that_are_none(masks: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        image_set(IMAGES, masks, tmp_path)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([0, 1, 2], r"targets is \[3\]: \[4\] is needed"),
        ([0, 1, 2, 3], "targets has 3, and the model 3 classes"),
        ([0, 1, 2, -1], "targets has -1"),
        ([0, 1, 2, None], "targets holds object"),
        ([0.0, 1.0, 2.0, 0.5], "targets holds float64"),
        (np.zeros((4, 3), int), r"targets is \[4, 3\]"),
    ],
)
def test_targets_that_are_none(targets: Any, message: str, tmp_path: Path) -> None:
    images = image_set(IMAGES, None, tmp_path)
    with pytest.raises(ValueError, match=message):
        with_targets(images, targets, CLASSES)
    with pytest.raises(ValueError, match="bias is"):
        with_bias(images, [0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": 7}, "the model is a int: a name, a torch.nn.Module or a function is needed"),
        ({"model": nn.Linear}, "the model is a type"),
        ({"model": "nowhere"}, "nowhere"),
        ({"model": nn.Conv2d(1, 2, 3)}, r"Conv2d: it fails on images \[4, 3, 8, 8\] \(RuntimeError: "),
        ({"classes": ("a", "b")}, "classes names 2, and the model has 3"),
        ({"mean": (0.5, 0.5)}, "mean is three numbers"),
        ({"masks": "masks"}, "give an array of masks for an array of images"),
        ({"images": "nowhere", "targets": None}, "nowhere does not exist"),
        ({"images": "photos"}, "photos says itself what its images are"),
        ({"split": "val"}, "split='val' goes with a folder"),
        ({"head": "linear"}, "head='linear' goes with run:DIR, whose folder holds it, not with a network"),
        ({"model": "predictions:said.csv", "mean": (0.5, 0.5, 0.5)}, "--mean goes with a model"),
        ({"images": "photos", "targets": None, "masks": IMAGES[..., 0]}, "the masks of photos are a folder too"),
        ({"images": ["nowhere/a.png", "nowhere/b.png"], "targets": [0, 1]}, "cannot read .*nowhere/a.png"),
        ({"images": ["a.png"] * 4, "masks": IMAGES[..., 0]}, "an array of masks goes with an array of images"),
        ({"limit": 1}, "has 1 image: an audit needs at least 2"),
    ],
)
def test_what_does_not_go_together(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"model": mean_colour, "images": IMAGES, "targets": [0, 1, 2, 0], "suites": "patches", **changes}
    with pytest.raises(ValueError, match=message):
        longcut.audit(**given)


def test_no_audit_lies_among_its_images(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"photos/audit lies inside .*photos and would be read as its images"):
        longcut.audit(mean_colour, folder / "photos", out=folder / "photos" / "audit")
    assert not (folder / "photos" / "audit").exists()
