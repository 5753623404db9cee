"""What a method needs to know of a network that it is handed."""

from __future__ import annotations

from torch import nn


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
