"""JTT: train again, with more weight on what a first model got wrong.

Evan Liu, Behzad Haghgoo, Annie Chen, Aditi Raghunathan, Pang Wei Koh, Shiori Sagawa, Percy Liang, Chelsea Finn. "Just
train twice: Improving group robustness without training group information", ICML 2021.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from longcut.core import Batch, Method
from longcut.core.distributed import gather, world_size
from longcut.core.features import feature_dim


class JTT(Method):
    """Cross-entropy in which the samples that an identification model got wrong weigh more.

    The identification model is an ensemble of one, trained briefly with plain cross-entropy; its errors are the batch's
    candidates. It needs no bias labels.

    Args:
        backbone: images to pooled features.
        num_classes: size of the linear head.
        upweight: lambda, how often the paper repeats such a sample; here its weight.
    """

    needs = frozenset({"candidates"})

    def __init__(self, backbone: nn.Module, *, num_classes: int, upweight: float = 20.0) -> None:
        super().__init__()
        if upweight <= 0:
            raise ValueError(f"upweight must be positive, not {upweight}")
        self.backbone = backbone
        self.head = nn.Linear(feature_dim(backbone), num_classes)
        self.upweight = upweight

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """One term: `weighted_cross_entropy`, whose weights sum to one over the global batch."""
        batch.require(self.needs, "JTT")
        assert batch.candidates is not None
        losses = functional.cross_entropy(self(batch.images), batch.targets, reduction="none")
        weights = torch.where(batch.candidates, self.upweight, 1.0)
        total = gather(weights.sum()[None]).sum()
        yield {"weighted_cross_entropy": world_size() * (weights * losses).sum() / total}

    def encode(self, images: Tensor) -> Tensor:
        """Pooled features of the backbone."""
        features: Tensor = self.backbone(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Logits of the linear head."""
        logits: Tensor = self.head(features)
        return logits
