"""What a method needs to know of a network that it is handed."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


def feature_dim(backbone: nn.Module) -> int:
    """Number of features `d` that `backbone(images)` gives.

    timm calls it `head_hidden_size` where a network widens its features after pooling, else `num_features`.

    Raises:
        ValueError: the network has neither.
    """
    for attribute in ("head_hidden_size", "num_features"):
        size = getattr(backbone, attribute, None)
        if isinstance(size, int):
            return size
    raise ValueError(f"{type(backbone).__name__} does not say how many features it gives; set its num_features")


def feature_map(backbone: nn.Module, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d y x"]:
    """The map of features before pooling, in timm's interface: `forward_features`."""
    features: Tensor = backbone.forward_features(images)  # type: ignore[operator]
    return features


def pool(backbone: nn.Module, features: Float[Tensor, "b d y x"]) -> Float[Tensor, "b e"]:
    """What `backbone(images)` makes of its map: `forward_head` where it has one (timm), else the mean over the map."""
    if callable(head := getattr(backbone, "forward_head", None)):
        pooled: Tensor = head(features, pre_logits=True)
        return pooled
    return features.mean(dim=(2, 3))


def check_feature_map(backbone: nn.Module, by: str) -> None:
    """Refuse a network without a spatial map of features.

    Args:
        backbone: the network.
        by: which method reads the map.

    Raises:
        ValueError: it has no `forward_features`, or gives no `[b, d, y, x]` (an MLP, a transformer's tokens, which
            timm's networks with a `patch_embed` have).
    """
    maps = callable(getattr(backbone, "forward_features", None)) and not hasattr(backbone, "patch_embed")
    if not (maps and getattr(backbone, "has_feature_map", True)):
        raise ValueError(
            f"{by} reads a spatial map of features, and {type(backbone).__name__} has none: take a convolutional "
            "backbone such as convnet5 or resnet18"
        )
