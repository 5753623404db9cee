from __future__ import annotations

import numpy as np
import pytest
import torch
from timm.data.imagenet_info import ImageNetInfo
from torch import Tensor, nn

from longcut.data.imagenet9 import IMAGENET_TO_IN9, to_imagenet9
from longcut.data.imagenet_classes import SIXTEEN, known_groups, wordnet_ids
from longcut.evaluation.models import GatheredClassifier
from longcut.evaluation.shape_bias import shape_bias


class Says(nn.Module):
    """A classifier whose features are its logits."""

    def encode(self, images: Tensor) -> Tensor:
        return images

    def classify(self, features: Tensor) -> Tensor:
        return features


# The measure.


def test_shape_bias_by_hand() -> None:
    #                     shape  shape  texture other same   shape  texture
    decisions = np.array([0, 0, 1, 2, 0, 1, 2])
    shapes = np.array([0, 0, 0, 0, 0, 1, 1])
    textures = np.array([1, 2, 1, 1, 0, 0, 2])
    found = shape_bias(decisions, shapes, textures)
    assert found.pooled is not None
    assert (found.pooled.sum, found.pooled.n) == (3, 5), "the stimulus with its own class's texture is dropped"
    assert {c: m and (m.sum, m.n) for c, m in found.of_class.items()} == {0: (2, 3), 1: (1, 2)}
    assert found.class_mean is not None
    assert found.class_mean.value == pytest.approx((2 / 3 + 1 / 2) / 2), "not the pooled ratio"
    fractions = found.shape_fraction, found.texture_fraction, found.other_fraction
    assert [(part.sum, part.n) for part in fractions] == [(3, 6), (2, 6), (1, 6)], "of the conflicts"


def test_against_plain_loops() -> None:
    draw = np.random.default_rng(0)
    decisions, shapes, textures = draw.integers(0, 4, (3, 500))
    found = shape_bias(decisions, shapes, textures)
    right = texture = conflicts = 0
    for decision, a, b in zip(decisions, shapes, textures, strict=True):
        if a != b:
            conflicts += 1
            right += decision == a
            texture += decision == b
    assert found.pooled is not None
    assert found.pooled.value == right / (right + texture)
    assert found.pooled.low < found.pooled.value < found.pooled.high
    assert found.shape_fraction.value == right / conflicts
    assert found.other_fraction.value == pytest.approx(1 - (right + texture) / conflicts)


def test_a_mean_of_one_class_is_as_sure_as_the_class_and_one_of_equal_classes_is_not_certain() -> None:
    one = shape_bias(np.array([0, 0, 0, 1]), np.zeros(4, int), np.ones(4, int))
    assert one.pooled is not None
    assert one.class_mean is not None
    assert (one.class_mean.value, one.class_mean.n) == (0.75, 1)
    assert (one.class_mean.low, one.class_mean.high) == (one.pooled.low, one.pooled.high)
    three = shape_bias(np.arange(3), np.arange(3), (np.arange(3) + 1) % 3)
    assert three.class_mean is not None
    assert three.class_mean.low < 0.5 < three.class_mean.value == three.class_mean.high == 1


def test_what_is_undefined_is_none() -> None:
    found = shape_bias(np.array([2, 2, 0]), np.array([0, 0, 1]), np.array([1, 1, 0]))
    assert found.of_class[0] is None
    assert found.of_class[1] is not None
    assert found.class_mean is not None
    assert (found.class_mean.value, found.class_mean.n) == (0, 1)
    nothing = shape_bias(np.array([2]), np.array([0]), np.array([1]))
    assert (nothing.pooled, nothing.class_mean, nothing.of_class) == (None, None, {0: None})
    assert nothing.other_fraction.value == 1


def test_no_conflict_is_refused() -> None:
    with pytest.raises(ValueError, match="there is none"):
        shape_bias(np.array([0]), np.array([1]), np.array([1]))


# The sixteen classes, and the decision.


def test_the_sixteen_are_the_published_sets() -> None:
    assert list(SIXTEEN) == sorted(SIXTEEN)
    assert {name: len(members) for name, members in SIXTEEN.items()} == {
        "airplane": 1, "bear": 4, "bicycle": 2, "bird": 49, "boat": 5, "bottle": 7, "car": 3, "cat": 6, "chair": 4,
        "clock": 3, "dog": 109, "elephant": 2, "keyboard": 2, "knife": 1, "oven": 1, "truck": 8,
    }  # fmt: skip
    everything = [index for members in SIXTEEN.values() for index in members]
    assert len(everything) == len(set(everything)) == 207


def test_their_members_are_what_wordnet_says_they_are() -> None:
    said = ImageNetInfo("imagenet-1k").index_to_description
    words = {"bottle": ("bottle", "jug"), "truck": ("truck", "van"), "airplane": ("airplane",)}
    for name, members in SIXTEEN.items():
        for index in members if name not in ("dog", "bird") else ():
            assert any(word in said(index, detailed=True) for word in words.get(name, (name,))), (name, index)
    assert all(151 <= index <= 268 for index in SIXTEEN["dog"])
    others = {80, 81, 82, 83}  # grouse and partridges, which ImageNet-9 leaves out
    assert set(SIXTEEN["bird"]) - others <= set(np.flatnonzero(IMAGENET_TO_IN9 == 1).tolist())


@pytest.mark.parametrize(
    ("index", "wnid", "group"),
    [
        (207, "n02099601", "dog"),  # golden retriever
        (404, "n02690373", "airplane"),  # airliner
        (281, "n02123045", "cat"),  # tabby
        (817, "n04285008", "car"),  # sports car
        (8, "n01514859", "bird"),  # hen
        (7, "n01514668", None),  # cock
        (999, "n15075141", None),  # toilet tissue
    ],
)
def test_indices_are_imagenet_s(index: int, wnid: str, group: str | None) -> None:
    assert wordnet_ids()[index] == wnid
    assert [name for name, members in SIXTEEN.items() if index in members] == ([group] if group else [])
    assert all((wnid in known_groups()[name]) == (name == group) for name in SIXTEEN)


def test_a_decision_is_the_largest_mean_probability() -> None:
    draw = np.random.default_rng(1)
    logits = 4 * draw.standard_normal((20, 1000))
    network = GatheredClassifier(Says(), list(SIXTEEN.values()), num_classes=1000, how="mean_probability")
    found = network.classify(network.encode(torch.tensor(logits, dtype=torch.float32)))
    for row, said in zip(logits.astype(np.float32).astype(np.float64), found, strict=True):
        total = sum(np.exp(row))
        means = [sum(np.exp(row[i]) / total for i in members) / len(members) for members in SIXTEEN.values()]
        assert said.exp().tolist() == pytest.approx(means, rel=1e-5)
        assert int(said.argmax()) == int(np.argmax(means))


def test_a_large_group_is_not_favoured_and_a_far_one_keeps_its_order() -> None:
    network = GatheredClassifier(Says(), [[0, 1, 2, 3], [4], [5]], num_classes=7, how="mean_probability")
    assert network.classify(torch.tensor([[1.0, 1, 1, 1, 1.5, 0, 9]])).argmax() == 1
    assert network.classify(torch.tensor([[0.0, 0, 0, 0, 0, 0.5, 300]])).argmax() == 2


# ImageNet-9 and other groups, by the largest logit.


def test_the_largest_logit_decides_as_in_the_official_evaluation() -> None:
    logits = np.random.default_rng(2).standard_normal((50, 1000)).astype(np.float32)
    members = [np.flatnonzero(target == IMAGENET_TO_IN9).tolist() for target in range(9)]
    found = GatheredClassifier(Says(), members, num_classes=1000, outside=True).classify(torch.from_numpy(logits))
    official = to_imagenet9(logits)
    assert found.shape == (50, 10)
    assert np.where(official < 0, 9, official).tolist() == found.argmax(dim=1).tolist()
    assert (official < 0).any()


def test_without_outside_the_groups_alone_decide() -> None:
    network = GatheredClassifier(Says(), [[1], [3, 2]], num_classes=5)
    found = network.classify(torch.tensor([[9.0, 1, 3, 2, 8]]))
    assert found.tolist() == [[1, 3]]
