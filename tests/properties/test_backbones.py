from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from longcut.backbones import SmallConvNet, create_backbone, feature_dim


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
        ("resnet20", {"small_stem": True}, "made for small images as it is"),
        ("resnt18", {}, "no backbone is called 'resnt18'; the nearest names are resnet18, "),
        ("convnet_5", {}, "the nearest names are convnet5"),
        ("?", {}, "take convnet5, resnet10, resnet20 or a timm name"),
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
    build("resnet20")
    build("convnet5")
    with pytest.raises(ImportError):
        build("resnet18")
