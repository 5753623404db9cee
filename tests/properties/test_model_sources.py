"""Every kind of model once, by its name; and what is said where it cannot be opened, or is not what it seems."""

from __future__ import annotations

import os
import sys
import textwrap
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from test_foreign_models import write_onnx
from torch import Tensor, nn

from longcut.backbones import create_backbone
from longcut.data.image_set import ImageSet
from longcut.data.statistics import IMAGENET_MEAN, IMAGENET_STD
from longcut.engine.build import Facts, build_method
from longcut.engine.checkpoint import save_checkpoint
from longcut.engine.run_folder import to_toml
from longcut.engine.settings import resolve
from longcut.evaluation.foreign.models import BackboneClassifier
from longcut.evaluation.models import RANDOM, ImageNetClassifier
from longcut.evaluation.results import weights_hash
from longcut.methods import ERM
from longcut.recipes.exporting.about import About, Inputs, Origin
from longcut.recipes.given_predictions import prediction_classes, read_predictions
from longcut.recipes.models import Model, kept_selections, open_model

HALVES = (0.5, 0.5, 0.5)


def opened(name: Any, **options: Any) -> Model:
    return open_model(str(name), **options)[0]


def images_of(model: Model, count: int = 3) -> Tensor:
    size = (count, 3, model.image_size, model.image_size)
    return torch.randn(size, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def logits_of(model: Model, images: Tensor | None = None) -> Tensor:
    images = images_of(model) if images is None else images
    logits: Tensor = model.network.classify(model.network.encode(images))
    assert logits.shape == (len(images), model.num_classes)
    return logits


def refusal(name: Any, **options: Any) -> str:
    with pytest.raises(ValueError, match=r"\w") as caught:
        open_model(str(name), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Published models.


def test_timm() -> None:
    model, folder = open_model("timm:test_resnet.r160_in1k", weights="none")
    assert (model.image_size, model.normalisation.mean, model.normalisation.std) == (160, HALVES, HALVES)
    assert (model.crop, model.preprocessing.crop, model.num_classes) == (0.95, 0.95, 1000)
    assert (model.is_imagenet, folder) == (True, Path("runs", "timm_test_resnet.r160_in1k"))
    assert model.titles[281] == "tabby, tabby cat"
    assert model.remarks == (f"the model has {RANDOM}: its figures say nothing of a trained one",)
    assert isinstance(model.network, ImageNetClassifier)
    images = torch.randn(2, 3, 32, 32)
    assert model.torch_module is not None
    assert torch.allclose(logits_of(model, images), model.torch_module(images), atol=1e-5)


def test_what_a_person_says_of_images_counts() -> None:
    model = opened(
        "timm:test_vit", weights="none", image_size=32, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), out=Path("here")
    )
    assert (model.image_size, model.normalisation.mean, model.normalisation.std) == (
        32,
        (0.1, 0.2, 0.3),
        (0.4, 0.5, 0.6),
    )
    assert model.subject.run == "here"
    logits_of(model)
    assert "mean is three numbers" in refusal("timm:test_vit", weights="none", mean=(0.5,))
    assert "standard deviations are positive" in refusal("timm:test_vit", weights="none", std=(0.0, 1.0, 1.0))


def test_a_model_of_timm_s_with_other_classes() -> None:
    model = opened("timm:tiny_vit_5m_224.dist_in22k", weights="none")
    assert (model.num_classes, model.subject.method, model.is_imagenet) == (21841, "timm", False)
    assert model.classes[0].startswith("n0")
    assert len(model.classes) == 21841
    assert "its published weights give features alone" in refusal(
        "timm:vit_small_patch14_dinov2", weights="none", image_size=14
    )


def test_a_network_that_is_more_than_features_and_head() -> None:
    model = opened("timm:deit_tiny_distilled_patch16_224", weights="none", image_size=32)
    assert not isinstance(model.network, ImageNetClassifier)
    assert model.is_imagenet
    logits_of(model)


def test_torchvision() -> None:
    model = opened("torchvision:squeezenet1_1", weights="none")
    assert (model.image_size, model.normalisation.mean, model.normalisation.std) == (224, IMAGENET_MEAN, IMAGENET_STD)
    assert (model.crop, model.is_imagenet) == (224 / 256, True)
    assert model.remarks == (f"the model has {RANDOM}: its figures say nothing of a trained one",)
    assert model.subject.weights_hash == opened("torchvision:squeezenet1_1", weights="none").subject.weights_hash
    images = torch.randn(2, 3, 64, 64)
    assert model.torch_module is not None
    assert torch.equal(logits_of(model, images), model.torch_module(images))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:test_resnett", "no backbone is called 'test_resnett'; the nearest names are test_resnet"),
        (
            "timm:convnet5",
            "timm has no convnet5: it is a backbone of longcut's; open its weights by FILE --arch convnet5",
        ),
        ("torchvision:resnet81", "torchvision has no classifier 'resnet81'; the nearest names are resnet"),
        ("torchvision:raft_large", "torchvision has no classifier 'raft_large'"),
    ],
)
def test_unknown_names_are_told(name: str, message: str) -> None:
    assert message in refusal(name, weights="none")


@pytest.mark.parametrize(
    ("name", "address"),
    [("torchvision:mobilenet_v3_small", "https://download.pytorch.org"), ("timm:test_resnet", "")],
)
def test_offline_is_told_at_once(name: str, address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*args: Any, **options: Any) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    monkeypatch.setattr("longcut.backbones.weights._is_cached", lambda _: False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert f"cannot reach {address}" in refusal(name)
    model = opened(name, or_random=True)
    assert model.subject.starting_weights.startswith(f"{RANDOM} (")
    assert model.remarks[0].startswith(f"the model has {RANDOM}")


def test_weights_that_torchvision_has_not(tmp_path: Path) -> None:
    line = refusal("torchvision:resnet18", weights="IMAGENET1K_V7")
    assert "no weights 'IMAGENET1K_V7' of resnet18, and there is no such file; it has IMAGENET1K_V1" in line
    assert "no weights file" in refusal("torchvision:resnet18", weights=str(tmp_path / "nowhere.pt"))


# Weights files.


def network(arch: str, count: int) -> nn.Module:
    torch.manual_seed(3)
    if arch.startswith("torchvision:"):
        return torchvision.models.get_model(arch.partition(":")[2], num_classes=count).eval()
    if arch in ("convnet5", "mlp"):
        return BackboneClassifier(create_backbone(arch, image_size=32), count).eval()
    return timm.create_model(arch, num_classes=count).eval()


@pytest.mark.parametrize(
    ("arch", "count", "options"),
    [
        ("test_resnet", 6, {}),
        ("test_resnet", 1000, {}),
        ("test_vit", 6, {"image_size": 160}),
        ("torchvision:squeezenet1_1", 6, {}),
        ("torchvision:mobilenet_v3_small", 6, {}),
        ("convnet5", 6, {"image_size": 32}),
        ("mlp", 2, {"image_size": 32}),
    ],
)
def test_a_weights_file(arch: str, count: int, options: dict[str, Any], tmp_path: Path) -> None:
    expected, file = network(arch, count), tmp_path / "net.safetensors"
    save_file(expected.state_dict(), file)
    model = opened(file, arch=arch, **options)
    assert (model.num_classes, model.is_imagenet, model.subject.method) == (count, count == 1000, "weights")
    assert model.subject.starting_weights.startswith("net.safetensors (sha256:")
    assert model.subject.weights_hash == weights_hash(expected)
    images = torch.randn(2, 3, *[options.get("image_size", 64)] * 2)
    with torch.no_grad():
        assert torch.allclose(logits_of(model, images), expected(images), atol=1e-5)
    guess = "its 1000 classes are taken for ImageNet's" if count == 1000 else f"its {count} classes have no names"
    assert guess in model.remarks[-1]
    assert model.titles[1] == ("goldfish, Carassius auratus" if count == 1000 else "class 1")


@pytest.mark.parametrize("nested", ["", "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "_orig_mod."])
def test_wrappers_are_taken_off(nested: str, prefix: str, tmp_path: Path) -> None:
    expected, file = network("test_resnet", 4), tmp_path / "net.pt"
    content: Any = {prefix + name: value for name, value in expected.state_dict().items()}
    torch.save({nested: content, "epoch": 3} if nested else content, file)
    assert opened(file, arch="test_resnet").subject.weights_hash == weights_hash(expected)


def test_a_run_s_checkpoint_fits_its_backbone(tmp_path: Path) -> None:
    method = ERM(create_backbone("test_resnet"), num_classes=3)
    save_checkpoint(tmp_path / "checkpoint.pt", method, step=1, about={})
    model = opened(tmp_path / "checkpoint.pt", arch="test_resnet")
    assert model.subject.weights_hash == weights_hash(method)
    assert logits_of(model, torch.randn(2, 3, 32, 32)).shape == (2, 3)


@pytest.mark.parametrize("name", ["timm:test_resnet", "torchvision:squeezenet1_1"])
@pytest.mark.parametrize("count", [4, 1000], ids=str)
def test_a_published_network_with_a_file_s_weights(name: str, count: int, tmp_path: Path) -> None:
    expected = network(name.removeprefix("timm:"), count)
    torch.save(expected.state_dict(), tmp_path / "net.pth")
    model = opened(name, weights=str(tmp_path / "net.pth"))
    assert model.num_classes == count
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(logits_of(model, images), expected(images), atol=1e-5)
    assert isinstance(model.network, ImageNetClassifier) == (name.startswith("timm") and count == 1000)
    assert not any(RANDOM in remark for remark in model.remarks)


def test_weights_of_another_network_are_listed(tmp_path: Path) -> None:
    weights = network("test_resnet", 6).state_dict()
    file = tmp_path / "net.safetensors"
    save_file(weights, file)
    line = refusal(file, arch="test_byobnet")
    assert line.startswith("net.safetensors does not fit test_byobnet: ")
    assert line.count(", ...;") == 2
    assert "does not fit torchvision:squeezenet1_1" in refusal("torchvision:squeezenet1_1", weights=str(file))
    del weights["bn1.weight"]
    save_file(weights | {"further": torch.zeros(1), "bn1.bias": torch.zeros(3)}, file)
    line = refusal(file, arch="test_resnet")
    assert "1 missing: bn1.weight; 1 unexpected: further; 1 of another shape: bn1.bias is [3] in the file and [" in line


def test_a_file_of_weights_alone_needs_an_architecture(tmp_path: Path) -> None:
    save_file(network("convnet5", 3).state_dict(), tmp_path / "net.safetensors")
    assert "name their network, --arch" in refusal(tmp_path / "net.safetensors")
    assert "convnet5 does not say how large its images are" in refusal(tmp_path / "net.safetensors", arch="convnet5")
    assert "no backbone is called 'convnet55'" in refusal(tmp_path / "net.safetensors", arch="convnet55")


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": Malicious(tmp_path / "ran")}, tmp_path / "evil.pt")
    line = refusal(tmp_path / "evil.pt", arch="test_resnet")
    assert "evil.pt is a pickle that is not weights alone: refused, and none of its code was run" in line
    assert not (tmp_path / "ran").exists()
    torch.save(network("test_resnet", 2), tmp_path / "whole.pt")
    assert "is a pickle that is not weights alone" in refusal(tmp_path / "whole.pt", arch="test_resnet")
    (tmp_path / "cut.safetensors").write_bytes(b"<html>")
    assert "cut.safetensors is damaged or not" in refusal(tmp_path / "cut.safetensors", arch="test_resnet")
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    assert "holds no state dict" in refusal(tmp_path / "empty.pt", arch="test_resnet")
    assert "no weights file" in refusal(tmp_path / "nowhere.pt", arch="test_resnet")


# What `longcut export` writes says it all.


def header(target: Any, backbone: dict[str, Any], **changes: Any) -> dict[str, str]:
    origin = Origin("run", "erm", "erm", 0, "last", 1, "from scratch", "own", "sha256:0", None, None, {}, "0", None)
    inputs = Inputs(32, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), **changes)
    return About(target, "net", ("cat", "dog", "é"), inputs, backbone, 8, 8, origin).header()


@pytest.mark.parametrize(
    ("target", "arch", "options"),
    [
        ("safetensors", "resnet18", {"small_stem": True}),
        ("safetensors", "convnet5", {"norm": "group"}),
        ("timm", "test_resnet", {}),
        ("torchvision", "squeezenet1_1", {}),
    ],
)
def test_an_exported_file_needs_no_flags(target: str, arch: str, options: dict[str, Any], tmp_path: Path) -> None:
    if target == "safetensors":
        expected: nn.Module = BackboneClassifier(create_backbone(arch, **options), 3).eval()
    else:
        expected = network(f"torchvision:{arch}" if target == "torchvision" else arch, 3)
    backbone = {"name": arch, "image_size": 32, **options}
    save_file(expected.state_dict(), tmp_path / "net.safetensors", metadata=header(target, backbone))
    model = opened(tmp_path / "net.safetensors")
    assert (model.classes, model.image_size, model.remarks) == (("cat", "dog", "é"), 32, ())
    assert (model.normalisation.mean, model.normalisation.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    with torch.no_grad():
        assert torch.allclose(logits_of(model), expected(images_of(model)), atol=1e-5)


@pytest.mark.parametrize("by", ["caller", "graph"])
def test_an_exported_graph_needs_no_flags(by: str, tmp_path: Path) -> None:
    import onnx

    graph = onnx.load(write_onnx(tmp_path / "net.onnx", ["n", 3, 32, 32]))
    texts = header("onnx", {"name": "convnet5"}, normalised_by=by) | {"classes": '["a", "b", "c", "d", "e"]'}
    onnx.helper.set_model_props(graph, texts)
    onnx.save(graph, tmp_path / "net.onnx")
    model = opened(tmp_path / "net.onnx")
    assert (model.classes, model.remarks) == (("a", "b", "c", "d", "e"), ())
    expected = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)) if by == "caller" else ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert (model.normalisation.mean, model.normalisation.std) == expected


# ONNX.


def test_onnx(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "net.onnx", [4, 3, 16, 16])
    model, folder = open_model(f"onnx:{file}")
    assert (model.image_size, model.num_classes, model.classes, model.torch_module) == (16, 5, (), None)
    assert folder == Path("runs", f"onnx_{file}".replace("/", "_"))
    assert logits_of(model, torch.randn(7, 3, 16, 16)).shape == (7, 5)
    assert any("its batch is fixed at 4" in remark for remark in model.remarks)
    assert any("assumed are ImageNet's mean, ImageNet's deviation (else --mean --std)" in r for r in model.remarks)
    before = model.subject.weights_hash
    write_onnx(file, ["n", 3, None, None])
    assert opened(f"onnx:{file}").subject.weights_hash != before
    assert opened(f"onnx:{file}", image_size=24).image_size == 24
    said = opened(f"onnx:{file}", image_size=24, mean=HALVES, std=HALVES)
    assert not any("assumed" in remark for remark in said.remarks)


def test_onnx_of_a_fixed_size_takes_no_other(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "net.onnx", ["n", 3, 16, 16])
    assert "takes images of 16 px alone, not of 24" in refusal(f"onnx:{file}", image_size=24)
    assert "there is no ONNX file" in refusal(f"onnx:{tmp_path}/nowhere.onnx")


# A person's own code.

CODE = """
import torch
from torch import nn

VALUE = 3
here = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4), nn.Dropout())

class Space:
    inner = here

class Net(nn.Module):
    def __init__(self, classes=6):
        super().__init__()
        self.head = nn.Linear(3, classes)

    def forward(self, images):
        return self.head(images.mean((2, 3)))

class Needs(nn.Module):
    def __init__(self, classes):
        super().__init__()

def make(classes=2):
    import helper_of_stranger
    return Net(helper_of_stranger.CLASSES)

def make_function():
    return predict

def make_nothing():
    return None

def make_timm():
    import timm
    return timm.create_model("test_resnet", num_classes=3)

def predict(images):
    return images.mean((2, 3))

def probabilities(images, temperature=1.0):
    return predict(images).softmax(1).numpy()

def score(images):
    return predict(images)[:, 0]

def labels(images):
    return predict(images).argmax(1)

def maps(images):
    return images

def broken(images):
    raise RuntimeError("first line\\nsecond line")
"""


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module in the working directory, which is on no path."""
    name = "stranger_" + tmp_path.name.replace("-", "_")
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(CODE))
    (tmp_path / "helper_of_stranger.py").write_text("CLASSES = 7\n")
    (tmp_path / "faulty.py").write_text("import not_installed_anywhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", str(tmp_path))])
    monkeypatch.delitem(sys.modules, "helper_of_stranger", raising=False)
    return name


@pytest.mark.parametrize(
    ("attribute", "count", "is_module", "remarks"),
    [
        ("here", 4, True, []),
        ("Space.inner", 4, True, []),
        ("Net", 6, True, []),
        ("make", 7, True, []),
        ("make_function", 3, False, []),
        ("predict", 3, False, []),
        ("probabilities", 3, False, ["the model gives probabilities: their logarithm is taken for logits"]),
        ("score", 2, False, ["the model gives one score for each image: logits of the second of two classes"]),
    ],
)
def test_a_callable(stranger: str, attribute: str, count: int, is_module: bool, remarks: list[str]) -> None:
    before = list(sys.path)
    model, folder = open_model(f"{stranger}:{attribute}", image_size=8)
    assert sys.path == before
    assert folder == Path("runs", f"{stranger}_{attribute}")
    assert (model.num_classes, model.classes, model.subject.method) == (count, (), "callable")
    assert (model.torch_module is not None) == is_module
    images = images_of(model)
    if not is_module and count == 3:
        probabilities = images.mean((2, 3)).softmax(1)
        assert torch.allclose(logits_of(model).softmax(1), probabilities, atol=1e-6)
    assert torch.equal(logits_of(model), logits_of(model)), "dropout rests"
    assert [said for said in model.remarks if said.startswith("the model gives ")] == remarks
    assert any("assumed are ImageNet's mean" in said for said in model.remarks)
    assert model.subject.weights_hash == opened(f"{stranger}:{attribute}", image_size=8).subject.weights_hash or (
        attribute in ("Net", "make")
    ), "weights that are made anew are others"


def test_a_callable_s_hash_changes_with_its_code(stranger: str) -> None:
    before = opened(f"{stranger}:predict", image_size=8).subject.weights_hash
    assert opened(f"{stranger}:score", image_size=8).subject.weights_hash != before
    file = Path(f"{stranger}.py")
    file.write_text(file.read_text() + "\n")
    assert opened(f"{stranger}:predict", image_size=8).subject.weights_hash != before


def test_a_network_of_timm_s_says_what_its_images_are_like(stranger: str) -> None:
    model = opened(f"{stranger}:make_timm")
    assert (model.image_size, model.normalisation.mean, model.num_classes) == (160, HALVES, 3)
    assert model.remarks == ("its 3 classes have no names (--class-names gives them)",)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{}:predct", "has no 'predct'; the nearest names are predict"),
        ("{}:VALUE", "is of the type int: a torch.nn.Module or a function of images is needed"),
        ("{}:make_nothing", "is of the type NoneType: a torch.nn.Module or a function of images"),
        ("{}:Needs", "cannot be called without an argument (TypeError"),
        ("{}:labels", "it gives int64, numbers of classes"),
        ("{}:maps", "it gives the shape [4, 3, 8, 8] for 4 images; [4, classes] is needed"),
        ("{}:broken", "it fails on images [4, 3, 8, 8] (RuntimeError: first line)"),
        ("not_here_at_all:net", "there is no module 'not_here_at_all', in "),
        ("not_here_at_all.models:net", "there is no module 'not_here_at_all', in "),
        ("faulty:net", "importing faulty fails (ModuleNotFoundError: No module named 'not_installed_anywhere')"),
        ("hf:some/model", "hf:some/model names no model: there are run:DIR, timm:NAME, torchvision:NAME"),
    ],
)
def test_callables_that_are_none_are_told(stranger: str, name: str, message: str) -> None:
    line = refusal(name.format(stranger), image_size=8)
    assert message in line
    assert line.startswith(name.format(stranger))


def test_what_probabilities_are_can_be_said(stranger: str) -> None:
    assert not opened(f"{stranger}:probabilities", image_size=8, outputs="logits").network.reading.probabilities


# What goes with what.


def test_class_names(tmp_path: Path, stranger: str) -> None:
    (tmp_path / "names.txt").write_bytes("\ufeffcat\r\nhot dog\r\nMünze\r\n".encode())
    model = opened(f"{stranger}:predict", image_size=8, class_names=tmp_path / "names.txt")
    assert model.classes == model.titles == ("cat", "hot dog", "Münze")
    line = refusal("timm:test_resnet", weights="none", class_names=tmp_path / "names.txt")
    assert line.endswith("names.txt names 3 classes, and the model has 1000")
    (tmp_path / "names.txt").write_text("cat\n\ndog\n")
    line = refusal(f"{stranger}:predict", image_size=8, class_names=tmp_path / "names.txt")
    assert line.endswith("names.txt, line 2: the name is empty")
    assert "there is no file of class names" in refusal(
        f"{stranger}:predict", image_size=8, class_names=tmp_path / "nowhere.txt"
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("timm:test_resnet", {"arch": "resnet18"}, "--arch goes with FILE.safetensors, not with timm:test_resnet"),
        (
            "runs/x",
            {"class_names": Path("n")},
            "--class-names goes with timm:NAME, torchvision:NAME, FILE.safetensors, ",
        ),
        ("a.onnx", {"weights": "none"}, "--weights goes with timm:NAME, torchvision:NAME, not with a.onnx"),
        ("a.pt", {"outputs": "logits"}, "--outputs goes with onnx:FILE, package.module:callable, not with a.pt"),
        ("predictions:a.csv", {}, "predictions:a.csv holds predictions and no network"),
        ("runs/x", {}, "runs/x"),
    ],
)
def test_what_does_not_go_together_is_told(name: str, options: dict[str, Any], message: str) -> None:
    assert message in refusal(name, **options)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    settings = resolve("erm", {"backbone.name": "convnet5", "data.image_size": 32, "steps": 1})
    method, _ = build_method(settings, Facts(3, 6, 1))
    about = {"classes": ["a", "b", "c"], "starting_weights": "from scratch", "facts": Facts(3, 6, 1).to_dict()}
    save_checkpoint(folder / "checkpoint.pt", method, step=1, about=about)
    (folder / "settings.toml").write_text(to_toml(settings.to_dict()))
    return folder


@pytest.mark.parametrize("prefix", ["", "run:"])
def test_a_run(run: Path, prefix: str) -> None:
    model, folder = open_model(f"{prefix}{run}")
    assert (model.classes, model.num_classes, model.image_size, folder) == (("a", "b", "c"), 3, 32, run)
    assert (model.torch_module, model.remarks, model.crop) == (model.network, (), 1.0)
    assert opened(run, image_size=48, mean=HALVES).preprocessing.image_size == 48
    assert kept_selections(f"{prefix}{run}") == ["last"]
    assert logits_of(model).shape == (3, 3)


def test_a_run_whose_network_takes_one_size_alone(run: Path) -> None:
    settings = resolve("erm", {"backbone.name": "mlp", "data.image_size": 32, "steps": 1})
    method, _ = build_method(settings, Facts(3, 6, 1))
    about = {"classes": ["a", "b", "c"], "starting_weights": "from scratch", "facts": Facts(3, 6, 1).to_dict()}
    save_checkpoint(run / "checkpoint.pt", method, step=1, about=about)
    (run / "settings.toml").write_text(to_toml(settings.to_dict()))
    assert opened(run).image_size == 32
    assert "was trained on images of 32 px: it fails on images [4, 3, 48, 48]" in refusal(run, image_size=48)


def test_what_was_not_trained_here_has_one_state() -> None:
    for name in ("timm:resnet18", "torchvision:resnet18", "net.safetensors", "onnx:net.onnx", "package.module:net"):
        assert kept_selections(name) == ["last"]


# Predictions that were made elsewhere.

PATHS = ("cat/1.png", "cat/2.png", "dog/1.png", "dog/three.png")


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    return ImageSet(tmp_path / "photos", PATHS, np.array([0, 0, 1, 1]), ("cat", "dog"))


def write(file: Path, text: str) -> Path:
    file.write_bytes(text.encode())
    return file


def test_predictions_are_read_in_the_images_order(tmp_path: Path, images: ImageSet) -> None:
    """Paths as people write them: relative, absolute, of Windows, or the name alone where there is one such."""
    lines = [
        "prediction,path,confidence,remark",
        "dog,three.png,0.5,x",
        f"cat,{images.root.absolute()}/dog/1.png,1,y",
        "dog,cat\\2.png,0.25,",
        "cat,./cat/1.png,0",
    ]
    file = write(tmp_path / "said.csv", "\ufeff" + "\r\n".join(lines) + "\r\n\r\n")
    predicted, confidence = read_predictions(file, images)
    assert predicted.tolist() == [0, 1, 0, 1]
    assert confidence is not None
    assert confidence.tolist() == [0, 0.25, 1, 0.5]
    assert (predicted.dtype, confidence.dtype) == (np.int64, np.float32)


def test_predictions_without_confidence(tmp_path: Path, images: ImageSet) -> None:
    file = write(tmp_path / "said.csv", "path,prediction\n" + "".join(f"{path},dog\n" for path in PATHS))
    predicted, confidence = read_predictions(file, images)
    assert predicted.tolist() == [1] * 4
    assert confidence is None


@pytest.mark.parametrize("named", [True, False])
def test_predictions_with_a_column_for_each_class(tmp_path: Path, images: ImageSet, named: bool) -> None:
    probabilities = [0.1, 0.6, 0.8, 0.3]
    header = "path,dog,prediction,cat" if named else "path,dog,cat"
    lines = [f"{p},{q}{',dog' if named else ''},{1 - q}" for p, q in zip(PATHS, probabilities, strict=True)]
    predicted, confidence = read_predictions(write(tmp_path / "said.csv", "\n".join([header, *lines])), images)
    expected = [(1, q) if named or q > 0.5 else (0, 1 - q) for q in probabilities]
    assert confidence is not None
    assert predicted.tolist() == [place for place, _ in expected]
    assert confidence.tolist() == pytest.approx([q for _, q in expected])


def test_without_classes_predictions_name_them(tmp_path: Path, images: ImageSet) -> None:
    bare = ImageSet(images.root, PATHS, np.full(4, -1), ())
    text = "path,prediction\n" + "".join(
        f"{p},{c}\n" for p, c in zip(PATHS, ["sky", "bird", "sky", "sea"], strict=True)
    )
    file = write(tmp_path / "said.csv", text)
    assert prediction_classes(file) == ("bird", "sea", "sky")
    assert read_predictions(file, bare)[0].tolist() == [2, 0, 2, 1]


def test_lines_about_other_images_are_said(tmp_path: Path, images: ImageSet) -> None:
    others = [f"bird/{i}.png" for i in range(5)]
    text = "path,prediction\n" + "".join(f"{path},cat\n" for path in (*others, *PATHS))
    said: list[str] = []
    read_predictions(write(tmp_path / "said.csv", text), images, say=said.append)
    assert len(said) == 1
    assert "5 lines are about none of the images in" in said[0]
    assert said[0].endswith("bird/0.png, bird/1.png, bird/2.png, ...")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,prediction\ncat/2.png,cat\n",
            "no prediction of 3 of 4 images in .*: cat/1.png, dog/1.png, dog/three.png$",
        ),
        (
            "path,prediction\ncat/9.png,cat\n",
            r"of 4 of 4 .*, \.\.\.; 1 of its lines are about other images: cat/9\.png",
        ),
        (
            "path,prediction\ncat/1.png,cta\n",
            r"predicts 1 classes .* not: cta \(line 2 for one\); did you mean 'cat'\?",
        ),
        ("path,prediction\ncat/1.png,7\n", r"not: 7 \(line 2 for one\); the classes are cat, dog"),
        ("path,prediction\ncat/1.png,\n", "line 2: prediction is empty"),
        ("path,prediction\n,cat\n", "line 2: path is empty"),
        ("path,prediction\n1.png,cat\n", r"line 2: 2 images are called 1\.png: give paths relative to"),
        ("path,prediction\ncat/1.png,cat\ncat/1.png,dog\n", r"line 3: cat/1\.png was predicted before"),
        ("path,prediction,confidence\ncat/1.png,cat,1.5\n", "line 2: '1.5' is no probability from 0 to 1"),
        ("path,prediction,confidence\ncat/1.png,cat,nan\n", "line 2: 'nan' is no probability"),
        ("path,prediction,cat\ncat/1.png,cat,1\n", "has a column for 'cat' and none for 'dog'"),
        ("path,cat,dog\ncat/1.png,0.5,0.6\n", r"line 2: probabilities of the classes sum to 1\.100, not 1"),
        ("path,class\ncat/1.png,cat\n", "lacks the column 'prediction'"),
        ("file,prediction\ncat/1.png,cat\n", "lacks the column 'path'"),
    ],
)
def test_wrong_predictions_are_told(tmp_path: Path, images: ImageSet, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_predictions(write(tmp_path / "said.csv", text), images)
    assert "said.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_table_is_told(tmp_path: Path, images: ImageSet) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.csv does not exist"):
        read_predictions(tmp_path / "nowhere.csv", images)
