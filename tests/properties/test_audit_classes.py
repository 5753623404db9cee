"""Whose classes are whose: targets and biases of an audit's images under the columns of its model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from longcut.data.image_set import ImageSet
from longcut.data.loader import Normalisation
from longcut.evaluation.results import Subject
from longcut.recipes.audit.classes import Labelled, match_classes
from longcut.recipes.models import Model
from longcut.recipes.reading import OUTSIDE


@dataclass(eq=False)
class Columns(nn.Module):
    """Features are logits."""

    def __post_init__(self) -> None:
        super().__init__()

    def encode(self, images: Tensor) -> Tensor:
        return images

    def classify(self, features: Tensor) -> Tensor:
        return features


def model(*classes: str, num_classes: int = 0) -> Model:
    subject = Subject("run", "erm", "erm", 0, 1, "last", "random weights", "sha256:0")
    count = num_classes or len(classes)
    return Model(Columns(), classes, 8, Normalisation(), subject, num_classes=count)


def images(classes: tuple[str, ...], targets: list[int], bias: list[int] | None = None, names: str = "") -> ImageSet:
    paths = tuple(f"{i}.png" for i in range(len(targets)))
    found = ImageSet(Path("photos"), paths, np.array(targets), classes)
    return found if bias is None else replace(found, bias=np.array(bias), bias_names=tuple(names.split()))


def said(found: Labelled, column: int, count: int) -> str:
    """Name of the class that a model is taken to say whose logit `column` of `count` is the largest."""
    logits = torch.eye(count)[column][None]
    return found.classes[int(found.network.classify(found.network.encode(logits)).argmax())]


def truth(found: Labelled) -> list[str]:
    return [found.images.classes[target] for target in found.images.targets]


def test_classes_of_one_name() -> None:
    found = match_classes(model("dog", "cat"), images(("cat", "dog"), [0, 1, 0]))
    assert truth(found) == ["cat", "dog", "cat"]
    assert [said(found, column, 2) for column in range(2)] == ["dog", "cat"]
    assert found.images.classes == found.classes == ("cat", "dog")
    assert (found.note, found.why_not, found.labelled) == ("", "", True)


def test_the_model_s_own_order_needs_no_gathering() -> None:
    mine = model("cat", "dog")
    assert match_classes(mine, images(("cat", "dog"), [0, 1])).network is mine.network


def test_a_mapping_is_followed_where_it_swaps_names() -> None:
    found = match_classes(model("cat", "dog"), images(("cat", "dog"), [0, 1]), {"cat": ["dog"], "dog": ["cat"]})
    assert [said(found, column, 2) for column in range(2)] == ["dog", "cat"]
    assert truth(found) == ["cat", "dog"]


def test_folders_that_are_one_class_of_the_model_are_one() -> None:
    """WordNet ids of a bird and of two breeds of dogs, and a model of dogs and birds, in this order."""
    found = match_classes(model("00_dog", "01_bird"), images(("n01530575", "n02085620", "n02085782"), [0, 1, 2, 1]))
    assert found.classes == ("00_dog", "01_bird")
    assert truth(found) == ["01_bird", "00_dog", "00_dog", "00_dog"]
    assert [said(found, column, 2) for column in range(2)] == ["00_dog", "01_bird"]


def test_what_only_one_side_knows() -> None:
    found = match_classes(model("ant", "bee", "cat"), images(("bee", "cat", "eel"), [2, 1, 0, 2]))
    assert truth(found) == ["cat", "bee"]
    assert found.images.paths == ("1.png", "2.png")
    assert [said(found, column, 3) for column in range(3)] == [OUTSIDE, "bee", "cat"]
    assert found.note == "1 of 3 classes are unknown to the model: eel; their 2 images are left out"


def test_a_model_without_names() -> None:
    found = match_classes(model(num_classes=2), images(("cat", "dog"), [0, 1]))
    assert found.classes == ("cat", "dog")
    assert "columns are taken for the images' classes in sorted order" in found.note
    other = match_classes(model(num_classes=5), images(("cat", "dog"), [0, 1]))
    assert other.why_not == "the model has 5 classes without names, the images 2"
    assert other.classes == ("class 0", "class 1", "class 2", "class 3", "class 4")
    assert (other.images.targets == -1).all()
    assert not other.labelled


def test_nothing_in_common_and_nothing_to_map() -> None:
    assert "no class in common" in match_classes(model("ant"), images(("cat",), [0])).why_not
    assert match_classes(model("ant"), images((), [-1])).why_not == "the images have no class folders"
    with pytest.raises(ValueError, match="the images have no class folders"):
        match_classes(model("ant"), images((), [-1]), {"cat": ["ant"]})
    with pytest.raises(ValueError, match="the model names no classes"):
        match_classes(model(num_classes=1), images(("cat",), [0]), {"cat": ["ant"]})
    with pytest.raises(ValueError, match="which is no class of the model"):
        match_classes(model("ant"), images(("cat",), [0]), {"cat": ["bee"]})


# Biases that go with classes.

ALL = ("bee", "cat", "eel")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("bee cat eel", ("bee", "cat", OUTSIDE)),
        ("red green blue", ("red", "green", OUTSIDE)),
        ("bee cat eel extra", ("bee", "cat", OUTSIDE, "extra")),
    ],
)
def test_a_bias_still_goes_with_its_class(names: str, expected: tuple[str, ...]) -> None:
    """Of a model that knows bee and cat, and ant beside them."""
    bias = [0, 1, 2, -1, 1]
    found = match_classes(model("cat", "ant", "bee"), images(ALL, [0, 1, 0, 1, 2], bias, names)).images
    assert truth(Labelled(None, found, ())) == ["bee", "cat", "bee", "cat"]
    assert found.bias_is_paired
    assert found.bias_names == expected
    assert found.bias is not None
    assert found.bias.tolist() == [0, 1, -1, -1]
    assert (found.bias == found.targets).tolist() == [True, True, False, False]


def test_values_beyond_the_classes_keep_their_names() -> None:
    found = match_classes(model("ant", "bee", "cat", "eel"), images(ALL, [2, 1, 0], [3, 1, 3], "bee cat eel extra"))
    assert found.images.bias is not None
    assert [found.images.bias_names[value] for value in found.images.bias] == ["extra", "cat", "extra"]


def test_a_bias_of_its_own_stays() -> None:
    found = match_classes(model("cat", "bee"), images(ALL, [2, 1, 0], [1, 0, 1], "land water")).images
    assert found.bias_names[:2] == ("land", "water")
    assert found.bias is not None
    assert found.bias.tolist() == [0, 1]
    assert not found.bias_is_paired
