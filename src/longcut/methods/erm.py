"""ERM: cross-entropy on the images as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from longcut.core import Batch, Method
from longcut.core.features import feature_dim


class ERM(Method):
    """Empirical risk minimisation (Vapnik 1991): the baseline of every table.

    The images are all that it sees: no composite passes through the network, so BatchNorm's statistics are theirs
    alone (the CLAD authors' baseline also passes composites forward).

    Args:
        backbone: images to pooled features.
        num_classes: size of the linear head.
    """

    accumulates: ClassVar[bool] = True

    def __init__(self, backbone: nn.Module, *, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(feature_dim(backbone), num_classes)

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """One term: `cross_entropy`."""
        yield {"cross_entropy": functional.cross_entropy(self(batch.images), batch.targets)}

    def encode(self, images: Tensor) -> Tensor:
        """Pooled features of the backbone."""
        features: Tensor = self.backbone(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Logits of the linear head."""
        logits: Tensor = self.head(features)
        return logits
