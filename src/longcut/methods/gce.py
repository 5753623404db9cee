"""GCE: the generalized cross-entropy in place of the cross-entropy.

Zhilu Zhang, Mert Sabuncu. "Generalized cross entropy loss for training deep neural networks with noisy labels",
NeurIPS 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor, nn

from longcut.core import Batch, Method
from longcut.core.features import feature_dim
from longcut.losses.robust import check_exponent, generalized_cross_entropy


class GCE(Method):
    """ERM with a loss that gives up on samples that the network finds hard.

    Made for noisy labels. On biased data it learns the bias more than ERM does: so LfF's biased network learns, and
    the biased models of an ensemble.

    Args:
        backbone: images to pooled features.
        num_classes: size of the linear head.
        q: from the cross-entropy, near 0, to the mean absolute error at 1.
    """

    accumulates: ClassVar[bool] = True

    def __init__(self, backbone: nn.Module, *, num_classes: int, q: float = 0.7) -> None:
        super().__init__()
        check_exponent(q)
        self.backbone = backbone
        self.head = nn.Linear(feature_dim(backbone), num_classes)
        self.q = q

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """One term: `generalized_cross_entropy`."""
        losses = generalized_cross_entropy(self(batch.images), batch.targets, self.q)
        yield {"generalized_cross_entropy": losses.mean()}

    def encode(self, images: Tensor) -> Tensor:
        """Pooled features of the backbone."""
        features: Tensor = self.backbone(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Logits of the linear head."""
        logits: Tensor = self.head(features)
        return logits
