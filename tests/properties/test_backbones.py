from __future__ import annotations

import sys
from itertools import pairwise

import pytest
import torch
from torch import nn

from longcut.backbones import SmallConvNet, create_backbone, feature_dim
from longcut.backbones.create import SMALL
from longcut.core.features import check_feature_map


def build(name: str, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return create_backbone(name, **options).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_convnet5_gives_its_pooled_map(norm: str) -> None:
    backbone = build("convnet5", norm=norm)
    images = torch.rand(2, 3, 64, 64)
    features, feature_map = backbone(images), backbone.forward_features(images)
    assert feature_map.shape == (2, 256, 4, 4)
    assert features.shape == (2, feature_dim(backbone)) == (2, 256)
    torch.testing.assert_close(features, feature_map.mean(dim=(2, 3)))
    assert (features >= 0).all()
    assert features.std() > 0


@pytest.mark.parametrize("norm", ["group", "none"])
def test_without_batch_norm_a_row_depends_on_itself_alone(norm: str) -> None:
    backbone = build("convnet5", norm=norm).train()
    images = torch.rand(4, 3, 32, 32)
    torch.testing.assert_close(backbone(images)[:2], backbone(images[:2]))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())


def test_resnet20_has_the_papers_size() -> None:
    backbone = build("resnet20")
    parameters = sum(p.numel() for p in backbone.parameters()) + 64 * 10 + 10
    assert parameters == 269_722  # 0.27 million, table 6
    assert len([m for m in backbone.modules() if isinstance(m, nn.Conv2d)]) == 19
    images = torch.rand(2, 3, 32, 32)
    assert backbone.forward_features(images).shape == (2, 64, 8, 8)
    assert backbone(images).shape == (2, feature_dim(backbone)) == (2, 64)


def test_shortcuts_subsample_and_pad_with_zeros() -> None:
    block = create_backbone("resnet20").blocks[3].eval()
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    images = torch.rand(1, 16, 8, 8)
    expected = torch.cat([images[:, :, ::2, ::2], torch.zeros(1, 16, 4, 4)], dim=1)
    torch.testing.assert_close(block(images), expected)


def test_the_papers_small_networks_have_their_layers() -> None:
    for name, kernel in (("convnet4", 7), ("convnet4_k1", 1)):
        convolutions = [m for m in build(name).modules() if isinstance(m, nn.Conv2d)]
        assert [m.weight.shape for m in convolutions] == [
            (16, 3, kernel, kernel), (32, 16, kernel, kernel), (64, 32, kernel, kernel), (128, 64, kernel, kernel)
        ]  # fmt: skip
        assert {m.stride for m in convolutions} == {(1, 1)}
    for name, widths in (("mlp", (100, 100, 100)), ("mlp16", (100, 100, 16)), ("mlp_colour", (100, 100))):
        layers = [m for m in build(name).modules() if isinstance(m, nn.Linear)]
        before = 3 if name == "mlp_colour" else 3 * 28 * 28
        assert [m.weight.shape for m in layers] == [(b, a) for a, b in pairwise((before, *widths))]
    strides = [m.stride for m in build("bagnet18").modules() if isinstance(m, nn.Conv2d) and m.stride != (1, 1)]
    assert len(strides) == 6  # three stages halve the map, each with its shortcut


@pytest.mark.parametrize(
    ("name", "side", "shape"),
    [
        ("convnet3", 28, (128, 7, 7)),
        ("convnet3", 32, (128, 8, 8)),
        ("convnet4", 28, (128, 28, 28)),
        ("convnet4_k1", 28, (128, 28, 28)),
        ("bagnet18", 64, (512, 8, 8)),
        ("bagnet18", 75, (512, 9, 9)),
    ],
)
def test_small_networks_give_their_pooled_map(name: str, side: int, shape: tuple[int, int, int]) -> None:
    backbone, images = build(name), torch.rand(2, 3, side, side)
    found = backbone.forward_features(images)
    assert found.shape == (2, *shape)
    assert feature_dim(backbone) == shape[0]
    torch.testing.assert_close(backbone(images), found.mean(dim=(2, 3)))
    assert backbone(images).std() > 0
    check_feature_map(backbone, "it")


@pytest.mark.parametrize(("name", "sees"), [("convnet4_k1", 1), ("bagnet18", 5), ("convnet3", 15)])
def test_a_place_of_the_map_sees_so_many_pixels(name: str, sees: int) -> None:
    torch.manual_seed(0)
    backbone, images = create_backbone(name).eval(), torch.rand(1, 3, 64, 64, requires_grad=True)
    found = backbone.forward_features(images)
    middle = found.shape[2] // 2
    found[:, :, middle, middle].sum().backward()
    assert images.grad is not None
    reached = images.grad[0].abs().sum(0) > 0
    for side in (reached.any(0), reached.any(1)):
        assert side.nonzero().max() - side.nonzero().min() + 1 == sees


@pytest.mark.parametrize(("name", "features"), [("mlp", 100), ("mlp16", 16), ("mlp_colour", 100)])
def test_perceptrons_have_features_and_no_map(name: str, features: int) -> None:
    backbone, images = build(name), torch.rand(3, 3, 28, 28)
    found = backbone(images)
    assert found.shape == (3, feature_dim(backbone)) == (3, features)
    torch.testing.assert_close(found, backbone(images.contiguous(memory_format=torch.channels_last)))
    assert found.std() > 0
    with pytest.raises(ValueError, match="Mlp has none: take a convolutional backbone"):
        check_feature_map(backbone, "it")


def test_a_perceptron_has_one_size() -> None:
    assert build("mlp", image_size=32)(torch.rand(2, 3, 32, 32)).shape == (2, 100)
    with pytest.raises(ValueError, match=r"^this network takes images of 28 px, not \[3, 32, 32\]: set image_size$"):
        build("mlp")(torch.rand(2, 3, 32, 32))


def test_the_mean_colour_is_all_that_mlp_colour_sees() -> None:
    backbone, images = build("mlp_colour"), torch.rand(2, 3, 8, 8)
    shuffled = images.flatten(2)[:, :, torch.randperm(64)].view_as(images)
    torch.testing.assert_close(backbone(images), backbone(shuffled))
    assert not torch.allclose(backbone(images), backbone(images.flip(1)))


def test_perceptrons_start_as_torch_has_it() -> None:
    torch.manual_seed(3)
    expected = nn.Linear(3 * 28 * 28, 100)
    torch.manual_seed(3)
    assert torch.equal(create_backbone("mlp").layers[0].weight, expected.weight)


def test_weights_start_with_hes_variance() -> None:
    torch.manual_seed(0)
    backbone = SmallConvNet()
    weight = backbone.layers[9].weight  # 128 -> 256, 3x3
    assert weight.var().item() == pytest.approx(2 / (256 * 9), rel=0.02)


def test_weights_are_drawn_from_the_seed() -> None:
    first, second = build("resnet20").state_dict(), build("resnet20").state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "layer"}, "no norm 'layer'; choose one of batch, group, none"),
        ({"widths": (8, 16), "strides": (1,)}, "got 2 widths, 1 strides"),
        ({"widths": (12,), "strides": (1,), "norm": "group"}, r"multiples of 8: got \(12,\)"),
    ],
)
def test_impossible_convnets_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SmallConvNet(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet20", {"norm": "none"}, "option of convnet5 only"),
        ("resnet20", {"small_stem": True}, "resnet20 has no stem to make smaller; leave small_stem out"),
        ("resnt18", {}, "no backbone is called 'resnt18'; the nearest names are resnet18, "),
        ("convnet_5", {}, "the nearest names are convnet5"),
        ("?", {}, "take convnet3, .*convnet5, .*mlp_colour or a timm name"),
        ("vit_tiny_patch16_224", {"small_stem": True, "image_size": 32}, "small_stem needs a ResNet"),
        ("resnet18.nope", {}, "timm cannot make resnet18.nope: .*tag"),
    ],
)
def test_impossible_backbones_are_refused(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        build(name, **options)
    assert "\n" not in str(caught.value)


def test_a_network_that_does_not_say_its_size_is_refused() -> None:
    with pytest.raises(ValueError, match="Identity does not say how many features it gives"):
        feature_dim(nn.Identity())


def test_timm_networks_have_the_same_interface() -> None:
    small = build("resnet18", small_stem=True)
    images = torch.rand(1, 3, 32, 32)
    assert small.forward_features(images).shape == (1, 512, 4, 4)
    assert build("resnet18").forward_features(images).shape == (1, 512, 1, 1)
    assert small(images).shape == (1, feature_dim(small)) == (1, 512)
    vit = build("vit_tiny_patch16_224", image_size=32)
    assert vit(images).shape == (1, feature_dim(vit)) == (1, 192)
    wide = build("mobilenetv3_small_050", image_size=32)  # features are widened after pooling
    assert wide(images).shape == (1, feature_dim(wide)) == (1, 1024)


def test_small_networks_need_no_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    for name in SMALL:
        build(name)
    with pytest.raises(ImportError):
        build("resnet18")
