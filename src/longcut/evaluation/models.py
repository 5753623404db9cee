"""Models that are not runs of ours, as classifiers that can be evaluated."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from longcut.backbones import create_classifier
from longcut.data.imagenet9 import IMAGENET_TO_IN9


class ImageNetClassifier(nn.Module):
    """A 1000-way ImageNet model read as an ImageNet-9 classifier: Base (IN) of the Background Challenge.

    The logit of each of the nine classes is the largest among its ImageNet classes, and a tenth stands for the 630
    classes outside, so the prediction is that of the official evaluation: the largest of all 1000, then the map.

    Args:
        name: of the model in timm.
        weights: as for a backbone; a local file, or one of timm's names.
        image_size: of the images, for models built for one size.
    """

    groups: Tensor

    def __init__(self, name: str, weights: str | None = None, *, image_size: int | None = None) -> None:
        super().__init__()
        self.model, self.starting_weights = create_classifier(name, weights, image_size=image_size)
        groups = np.where(IMAGENET_TO_IN9 < 0, IMAGENET_TO_IN9.max() + 1, IMAGENET_TO_IN9)
        self.register_buffer("groups", torch.from_numpy(groups.astype(np.int64)), persistent=False)

    def encode(self, images: Tensor) -> Tensor:
        """`[b, c, h, w]` to pooled features `[b, d]`."""
        model: Any = self.model
        return model.forward_head(model.forward_features(images), pre_logits=True)

    def classify(self, features: Tensor) -> Tensor:
        """`[b, d]` to `[b, 10]`."""
        model: Any = self.model
        logits: Tensor = model.get_classifier()(features)
        lowest = torch.full((len(logits), int(self.groups.max()) + 1), -torch.inf, device=logits.device)
        return lowest.scatter_reduce(1, self.groups.expand(len(logits), -1), logits.float(), "amax")
