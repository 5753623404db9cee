"""One door to every backbone: timm's models by timm's names, and the papers' small networks."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from torch import nn

from longcut.backbones.bagnet import BagNet18
from longcut.backbones.mlp import DEFAULT_SIZE, MeanColourMlp, Mlp
from longcut.backbones.small import Norm, SmallConvNet, convnet3, convnet4, resnet10, resnet20

_MAKERS: dict[str, Callable[[Norm, int], nn.Module]] = {
    "convnet3": lambda norm, size: convnet3(),
    "convnet4": lambda norm, size: convnet4(),
    "convnet4_k1": lambda norm, size: convnet4(kernel=1),
    "convnet5": lambda norm, size: SmallConvNet(norm=norm),
    "resnet10": lambda norm, size: resnet10(),
    "resnet20": lambda norm, size: resnet20(),
    "bagnet18": lambda norm, size: BagNet18(),
    "mlp": lambda norm, size: Mlp(size),
    "mlp16": lambda norm, size: Mlp(size, (100, 100, 16)),
    "mlp_colour": lambda norm, size: MeanColourMlp(),
}
SMALL = tuple(_MAKERS)
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

    Its interface is timm's: `backbone(images [b,c,h,w])` gives pooled features `[b,d]`, `forward_features` the map,
    which an `mlp` has not.

    Args:
        name: one of `SMALL` or a name of timm's (`resnet18`, `vit_tiny_patch16_224`, ...).
        small_stem: a 3x3 convolution of stride 1 and no max-pooling in front, for images of 32 or 64 px: ResNets only.
        image_size: side of the images in pixels, for the networks that are built for one size (ViTs, `mlp`); the others
            take any. None is the size in timm's configuration, and 28 for an `mlp`.
        norm: normalisation of `convnet5`; None is its default.
        num_classes: size of the classifier, for timm's networks; 0 leaves it out.

    Raises:
        ValueError: the name is unknown (the nearest are named), or the network has no such option.
    """
    if norm is not None and name != "convnet5":
        raise ValueError(f"norm={norm!r} is an option of convnet5 only; leave it out for {name}")
    if name in SMALL:
        if small_stem:
            raise ValueError(f"{name} has no stem to make smaller; leave small_stem out")
        return _MAKERS[name](norm or "batch", image_size or DEFAULT_SIZE)
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
