"""One door to every backbone: timm's models by timm's names, and the papers' small networks."""

from __future__ import annotations

import difflib
from typing import Any

from torch import nn

from longcut.backbones.small import Norm, SmallConvNet, resnet10, resnet20

SMALL = ("convnet5", "resnet10", "resnet20")
"""Names of the networks that are ours; every other name is timm's."""


def create_backbone(
    name: str,
    *,
    small_stem: bool = False,
    image_size: int | None = None,
    norm: Norm | None = None,
    num_classes: int = 0,
) -> nn.Module:
    """Make a network, by default without a classifier; its weights are drawn from torch's default generator.

    Its interface is timm's: `backbone(images [b,c,h,w])` gives pooled features `[b,d]`, `forward_features` the map.

    Args:
        name: `convnet5`, `resnet10`, `resnet20` or a name of timm's (`resnet18`, `vit_tiny_patch16_224`, ...).
        small_stem: a 3x3 convolution of stride 1 and no max-pooling in front, for images of 32 or 64 px: ResNets only.
        image_size: side of the images in pixels, for the networks that are built for one size (ViTs); the others take
            any. None is the size in timm's configuration.
        norm: normalisation of `convnet5`; None is its default.
        num_classes: size of the classifier, for timm's networks; 0 leaves it out.

    Raises:
        ValueError: the name is unknown (the nearest are named), or the network has no such option.
    """
    if norm is not None and name != "convnet5":
        raise ValueError(f"norm={norm!r} is an option of convnet5 only; leave it out for {name}")
    if name in SMALL:
        if small_stem:
            raise ValueError(f"{name} is made for small images as it is; leave small_stem out")
        return {"convnet5": lambda: SmallConvNet(norm=norm or "batch"), "resnet10": resnet10, "resnet20": resnet20}[
            name
        ]()
    backbone = _create_timm(name, image_size, num_classes)
    if small_stem:
        _shrink_stem(backbone, name)
    return backbone


def _create_timm(name: str, image_size: int | None, num_classes: int) -> nn.Module:
    import timm

    if not timm.is_model(name):
        nearest = difflib.get_close_matches(name, [*SMALL, *timm.list_models()], n=3, cutoff=0.5)
        hint = f"the nearest names are {', '.join(nearest)}" if nearest else f"take {', '.join(SMALL)} or a timm name"
        raise ValueError(f"no backbone is called {name!r}; {hint}")
    options: dict[str, Any] = {}
    if image_size is not None and _has_fixed_size(name):
        options["img_size"] = image_size
    try:
        backbone: nn.Module = timm.create_model(name, pretrained=False, num_classes=num_classes, **options)
    except (AssertionError, RuntimeError, ValueError, TypeError) as error:
        size = f" for images of {image_size} px" if image_size else ""
        raise ValueError(
            f"timm cannot make {name}{size}: {str(error).splitlines()[0] if str(error) else error!r}"
        ) from error
    return backbone


def _has_fixed_size(name: str) -> bool:
    import timm.models

    configuration = timm.models.get_pretrained_cfg(name)
    return configuration is not None and bool(configuration.fixed_input_size)


def _shrink_stem(backbone: nn.Module, name: str) -> None:
    from timm.models.resnet import ResNet

    stem: nn.Module | None = backbone.conv1 if isinstance(backbone, ResNet) else None
    if not isinstance(stem, nn.Conv2d):
        raise ValueError(
            f"small_stem needs a ResNet with one convolution in front (resnet18, resnet50): {name} has none"
        )
    small = nn.Conv2d(stem.in_channels, stem.out_channels, 3, 1, 1, bias=False)
    nn.init.kaiming_normal_(small.weight, mode="fan_out", nonlinearity="relu")
    backbone.set_submodule("conv1", small)
    backbone.set_submodule("maxpool", nn.Identity())
