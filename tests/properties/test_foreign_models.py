"""What models that are not ours give: told from a few images, and read as logits."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from longcut.data.loader import Normalisation
from longcut.data.preprocessing import Preprocessing
from longcut.evaluation.foreign.models import BackboneClassifier, ForeignClassifier, is_split_right, read_network
from longcut.evaluation.foreign.onnx_network import OnnxNetwork
from longcut.evaluation.foreign.outputs import Reading, as_tensor, tell_outputs
from longcut.evaluation.models import ImageNetClassifier

CPU = torch.device("cpu")
WEIGHT = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)

# Outputs.


def scores(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (scores(4, 3), Reading(3)),
        (scores(4, 3).softmax(1), Reading(3, probabilities=True)),
        (scores(4, 1000).softmax(1).half(), Reading(1000, probabilities=True)),
        (scores(4, 3).sigmoid(), Reading(3)),
        (scores(4), Reading(2, binary=True)),
        (scores(4, 1) * 3, Reading(2, binary=True)),
        (scores(4, 1).sigmoid(), Reading(2, binary=True, probabilities=True)),
        (scores(4, 2) + 5, Reading(2)),
    ],
    ids=["logits", "softmax", "half", "sigmoids", "scores", "column", "probability", "shifted"],
)
def test_outputs_are_told(outputs: Tensor, expected: Reading) -> None:
    assert tell_outputs(outputs, 4) == expected
    assert (expected.remark == "") == (expected == Reading(expected.num_classes)), "what is changed is said"


def test_a_person_may_say_what_outputs_are() -> None:
    near = torch.full((4, 2), 0.5)
    assert tell_outputs(near, 4).probabilities
    assert not tell_outputs(near, 4, "logits").probabilities
    with pytest.raises(ValueError, match="no probabilities, whatever --outputs says"):
        tell_outputs(scores(4, 3), 4, "probabilities")
    with pytest.raises(ValueError, match="outputs are one of auto, logits, probabilities, not 'odds'"):
        tell_outputs(scores(4, 3), 4, "odds")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (scores(3, 5), r"the shape \[3, 5\] for 4 images; \[4, classes\] is needed"),
        (scores(4, 5, 1, 1), r"the shape \[4, 5, 1, 1\] for 4 images"),
        (torch.tensor(1.0), r"the shape \[\] for 4 images"),
        (scores(4, 0), r"the shape \[4, 0\]"),
        (torch.tensor([0, 1, 2, 1]), r"gives int64, numbers of classes for one.*predictions:FILE\.csv"),
        (scores(4, 2) / 0, "values that are not finite"),
    ],
    ids=["batch", "map", "scalar", "none", "labels", "infinite"],
)
def test_what_is_no_score_of_classes_is_refused(outputs: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tell_outputs(outputs, 4)


def test_logits_give_the_probabilities_that_were_given() -> None:
    given = scores(6, 4).double().softmax(1).float()
    logits = Reading(4, probabilities=True).logits(given, 6)
    for row, column in zip(logits.tolist(), given.tolist(), strict=True):
        total = sum(math.exp(value) for value in row)
        assert [math.exp(value) / total for value in row] == pytest.approx(column, rel=1e-5)
    certain = Reading(2, probabilities=True).logits(torch.tensor([[0.0, 1.0]]), 1)
    assert certain.isfinite().all()
    assert certain.softmax(1)[0].tolist() == pytest.approx([0, 1], abs=1e-30)


@pytest.mark.parametrize("shape", [(5,), (5, 1)], ids=str)
def test_one_score_becomes_two_columns(shape: tuple[int, ...]) -> None:
    score = scores(*shape)
    as_logits = Reading(2, binary=True).logits(score, 5).softmax(1)
    as_probabilities = Reading(2, binary=True, probabilities=True).logits(score.sigmoid(), 5).softmax(1)
    for value, first, second in zip(
        score.flatten().tolist(), as_logits.tolist(), as_probabilities.tolist(), strict=True
    ):
        positive = 1 / (1 + math.exp(-value))
        assert first == pytest.approx([1 - positive, positive], abs=1e-6)
        assert second == pytest.approx([1 - positive, positive], abs=1e-6)


def test_what_changes_between_batches_is_told() -> None:
    with pytest.raises(ValueError, match="probabilities for the first images and others for these"):
        Reading(3, probabilities=True).logits(scores(2, 3), 2)
    with pytest.raises(ValueError, match=r"the model gave the shape \[2, 4\] for 2 images, and \[images, 3\]"):
        Reading(3).logits(scores(2, 4), 2)
    with pytest.raises(ValueError, match=r"shape \[2, 2\] for 2 images, and one score for each was expected"):
        Reading(2, binary=True).logits(scores(2, 2), 2)


def test_outputs_of_other_libraries_are_taken() -> None:
    images, values = torch.zeros(2, 3, 4, 4), scores(2, 3)
    for outputs in (values, values.numpy(), SimpleNamespace(logits=values)):
        assert torch.equal(as_tensor(outputs, images), values)
    with pytest.raises(ValueError, match="it gives a list; a tensor"):
        as_tensor([1.0, 2.0], images)


# Networks.


def mean_colour(images: Tensor) -> Tensor:
    return images.mean(dim=(2, 3))


def test_a_function_is_a_classifier() -> None:
    classifier = read_network(mean_colour, 8, CPU)
    images = scores(5, 3, 8, 8)
    assert classifier.reading == Reading(3)
    assert torch.equal(classifier.classify(classifier.encode(images)), mean_colour(images))
    assert torch.equal(classifier(images), mean_colour(images))


def test_a_module_is_part_of_its_classifier_and_has_gradients() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(1))
    classifier = read_network(network, 8, CPU)
    assert classifier.reading.probabilities
    assert any(module is network[0] for module in classifier.modules())
    images = scores(2, 3, 8, 8).requires_grad_()
    classifier(images)[:, 0].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_a_network_that_fails_says_on_what() -> None:
    with pytest.raises(ValueError, match=r"it fails on images \[4, 3, 9, 9\] \(RuntimeError: Given groups=1") as caught:
        read_network(nn.Conv2d(1, 2, 3), 9, CPU)
    assert "\n" not in str(caught.value)


def test_a_backbone_with_a_head_gives_features_and_logits() -> None:
    backbone = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    backbone.num_features = 3
    classifier = BackboneClassifier(backbone, 7)
    images = scores(2, 3, 4, 4)
    assert classifier.encode(images).shape == (2, 3)
    assert torch.equal(classifier(images), classifier.head(backbone(images)))


def test_whether_features_and_head_are_the_model() -> None:
    classifier = ImageNetClassifier("test_resnet", "none")
    assert is_split_right(classifier, 32)
    classifier.model.add_module("fc", nn.Sequential(nn.Linear(96, 1000), nn.ReLU()))
    assert is_split_right(classifier, 32), "its last layers are the head"
    model: Any = classifier.model
    forward = model.forward
    model.forward = lambda images: forward(images) * 2
    assert not is_split_right(classifier, 32)
    model.get_classifier = lambda: (model.fc, model.fc)
    assert not is_split_right(classifier, 32), "two heads cannot be called"


# ONNX.


def write_onnx(
    file: Path, shape: list[Any], *, kind: int = TensorProto.FLOAT, inputs: int = 1, further_output: bool = False
) -> Path:
    """A graph that multiplies the mean colour by `WEIGHT`."""
    channels = 3 if 3 in shape[1:] else 4
    weight = numpy_helper.from_array(np.resize(WEIGHT, (channels, 5)), "weight")
    entries = [helper.make_tensor_value_info(f"image{i}", kind, shape) for i in range(inputs)]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [shape[0], 5])]
    nodes = [helper.make_node("Cast", ["image0"], ["floats"], to=TensorProto.FLOAT)]
    axes = [1, 2] if shape[1] != 3 and shape[-1] == 3 else [2, 3]
    nodes.append(helper.make_node("ReduceMean", ["floats"], ["colour"], axes=axes, keepdims=0))
    nodes.append(helper.make_node("MatMul", ["colour", "weight"], ["logits"]))
    if further_output:
        nodes.append(helper.make_node("Identity", ["floats"], ["pixels"]))
        outputs.insert(0, helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape))
    graph = helper.make_graph(nodes, "graph", entries, outputs, [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, file)
    return file


@pytest.mark.parametrize(("batch", "calls"), [("n", 1), (4, 2), (1, 7), (16, 1)], ids=str)
def test_onnx_takes_any_number_of_images(tmp_path: Path, batch: int | str, calls: int) -> None:
    """Also where the file is for a fixed number: in portions of it, the last one filled up."""
    network = OnnxNetwork(write_onnx(tmp_path / "net.onnx", [batch, 3, 8, 8]))
    runs: list[int] = []
    run = network._session.run
    network._session = SimpleNamespace(run=lambda names, feed: runs.append(len(feed["image0"])) or run(names, feed))
    images = scores(7, 3, 8, 8)
    expected = images.double().mean(dim=(2, 3)).numpy() @ WEIGHT.astype(np.float64)
    np.testing.assert_allclose(network(images).numpy(), expected, rtol=1e-4, atol=1e-6)
    assert runs == [7 if batch == "n" else batch] * calls
    assert network.batch == (None if batch == "n" else batch)
    assert network.remarks == ((f"its batch is fixed at {batch}: a shorter one is filled up",) if network.batch else ())


def test_onnx_tells_its_size_and_which_output_is_read(tmp_path: Path) -> None:
    network = OnnxNetwork(write_onnx(tmp_path / "net.onnx", ["n", 3, 8, 8], further_output=True))
    assert (network.image_size, network.batch) == (8, None)
    assert network.remarks == ("of its 2 outputs 'logits' is read",)
    assert network(scores(2, 3, 8, 8)).shape == (2, 5)
    assert OnnxNetwork(write_onnx(tmp_path / "any.onnx", [None, 3, None, None])).image_size is None


def test_onnx_in_half_precision(tmp_path: Path) -> None:
    network = OnnxNetwork(write_onnx(tmp_path / "net.onnx", ["n", 3, 8, 8], kind=TensorProto.FLOAT16))
    images = scores(3, 3, 8, 8)
    expected = images.mean(dim=(2, 3)).numpy() @ WEIGHT
    np.testing.assert_allclose(network(images).numpy(), expected, atol=1e-2)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        (["n", 8, 8, 3], {}, r"takes \['n', 8, 8, 3\] for 'image0', not \[batch, 3, height, width\]: export it with"),
        (["n", 4, 8, 8], {}, r"takes \['n', 4, 8, 8\] for 'image0', not \[batch, 3, height, width\]$"),
        (["n", 3, 8, 16], {}, "takes images of 16x8 pixels: only squares"),
        (
            ["n", 3, 8, 8],
            {"kind": TensorProto.UINT8},
            r"takes tensor\(uint8\) for 'image0': export it with an input of",
        ),
        (["n", 3, 8, 8], {"inputs": 2}, r"has 2 inputs \(image0, image1\): a classifier of images has one"),
    ],
    ids=["channels last", "four channels", "oblong", "bytes", "two inputs"],
)
def test_onnx_of_other_inputs_is_refused(
    tmp_path: Path, shape: list[Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        OnnxNetwork(write_onnx(tmp_path / "net.onnx", shape, **options))


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", None], ids=["empty", "text", "missing"])
def test_a_file_that_is_no_onnx_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "net.onnx"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=r"net\.onnx") as caught:
        OnnxNetwork(file)
    assert "\n" not in str(caught.value)


def test_without_onnxruntime_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_onnx(tmp_path / "net.onnx", ["n", 3, 8, 8])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"net\.onnx needs onnxruntime: pip install 'longcut\[\w+\]'"):
        OnnxNetwork(file)


# Preprocessing.


@pytest.mark.parametrize("shape", [(40, 60), (60, 40, 3), (40, 40)], ids=str)
def test_the_square_is_the_central_share(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    seen = Preprocessing(20, Normalisation(), crop=0.5).square(array)
    top, left = (shape[0] - 20) // 2, (shape[1] - 20) // 2
    np.testing.assert_array_equal(seen, array[top : top + 20, left : left + 20])
    whole = Preprocessing(40, Normalisation()).square(array)
    top, left = (shape[0] - 40) // 2, (shape[1] - 40) // 2
    np.testing.assert_array_equal(whole, array[top : top + 40, left : left + 40])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, Normalisation()), "number of pixels, not 0"),
        ((8, Normalisation(), 0.0), r"share of the image's side, above 0 and at most 1, not 0\.0"),
        ((8, Normalisation(), 1.2), "at most 1, not 1.2"),
        ((8, Normalisation(std=(0.2, 0.0, 0.2))), "standard deviations are positive"),
    ],
    ids=str,
)
def test_wrong_preprocessing_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocessing(*arguments)


def test_a_classifier_of_probabilities_is_read_batch_by_batch() -> None:
    classifier = ForeignClassifier(
        lambda images: mean_colour(images).softmax(1).numpy(), Reading(3, probabilities=True)
    )
    images = scores(3, 3, 4, 4)
    assert torch.allclose(classifier(images).softmax(1), mean_colour(images).softmax(1))
