"""SupCon: all images of a class are each other's positives.

Prannay Khosla et al. "Supervised contrastive learning", NeurIPS 2020. Equation 2.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from longcut.core import Batch, Method
from longcut.core.distributed import gather
from longcut.core.features import feature_dim
from longcut.losses import supervised_contrast
from longcut.methods.checks import check_temperature
from longcut.methods.gathered import similarities_to_all
from longcut.methods.heads import OnlineHead, mlp


class SupCon(Method):
    """Tell the views of the anchor's class from those of other classes, over the global batch.

    An image without a label has its own other view as its only positive. The paper trains a classifier on the frozen
    features afterwards; the online head does so meanwhile.

    Args:
        backbone: images to pooled features.
        num_classes: size of the online head, which learns on detached features.
        temperature: t; 0.1 in the paper's text, 0.07 in its first code.
        hidden: of the projector; None is the backbone's number of features, as the paper.
        dim: length of an embedding.
    """

    needs = frozenset({"views"})

    def __init__(
        self,
        backbone: nn.Module,
        *,
        num_classes: int,
        temperature: float = 0.1,
        hidden: int | None = None,
        dim: int = 128,
    ) -> None:
        super().__init__()
        check_temperature(temperature)
        features = feature_dim(backbone)
        self.backbone = backbone
        self.projector = mlp(features, features if hidden is None else hidden, dim)
        self.head = OnlineHead(features, num_classes)
        self.temperature = temperature

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """Terms: `contrast`, and `online_cross_entropy` of the head."""
        batch.require(self.needs, "SupCon")
        assert batch.views is not None
        features = self.encode(torch.cat([batch.images, batch.views[:, 0]]))
        similarities, own = similarities_to_all(self.projector(features))
        positives, candidates = _roles(batch.targets.repeat(2), own, similarities)
        losses = supervised_contrast(similarities, positives, candidates, temperature=self.temperature)
        yield {
            "contrast": losses.mean(),
            "online_cross_entropy": self.head.loss(features[: len(batch)], batch.targets),
        }

    def encode(self, images: Tensor) -> Tensor:
        """Pooled features of the backbone."""
        features: Tensor = self.backbone(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Logits of the online head."""
        logits: Tensor = self.head(features)
        return logits


def _roles(targets: Tensor, own: Tensor, similarities: Tensor) -> tuple[Tensor, Tensor]:
    """For each view, which of all views are its positives, and which it is compared with at all."""
    labels = targets[:, None]
    positives = (labels == gather(targets)) & (labels != -1)
    positives.scatter_(1, own.roll(len(own) // 2)[:, None], True)
    positives.scatter_(1, own[:, None], False)
    candidates = torch.ones_like(similarities, dtype=torch.bool).scatter_(1, own[:, None], False)
    return positives, candidates
