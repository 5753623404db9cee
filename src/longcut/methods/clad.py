"""CLAD: A Contrastive Learning based Approach for Background Debiasing.

Ke Wang, Harshitha Machiraju, Oh-Hyeon Choung, Michael Herzog, Pascal Frossard. BMVC 2022. Equations 1 to 3.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from longcut.core import Batch, Method
from longcut.core.distributed import gather
from longcut.core.features import feature_dim
from longcut.losses import contrast, cosine
from longcut.queues import ClassQueue


class CLAD(Method):
    """Cross-entropy, and a contrastive term whose positives keep the foreground and negatives the background's class.

    A composite (the anchor's foreground on a background of another class) is the anchor's positive, and then, filed
    under the class of its background, a negative for later anchors of that class: same kind of background, another
    foreground. The similarity is the cosine of the pooled features: no projector, no momentum network.

    Args:
        backbone: images to pooled features.
        num_classes: size of the linear head, and how many queues there are.
        weight: lambda, of the contrastive term.
        temperature: t of equation 1.
        num_negatives: N, the capacity of each class's queue.
        supervise_positives: CLAD+, cross-entropy on the composites too (equation 3).
        joint_forward: anchors and composites in one pass; BatchNorm then sees their joint statistics. The authors
            pass them one after the other.
        filler_start: as the authors' code, fill each queue before the first step with the batch's anchors of other
            classes. Such a filler has neither the right background nor a composite's look; it is gone after
            about `num_negatives * num_classes / batch` steps.
    """

    needs = frozenset({"composites", "background_targets"})

    def __init__(
        self,
        backbone: nn.Module,
        *,
        num_classes: int,
        weight: float = 1.0,
        temperature: float = 0.2,
        num_negatives: int = 32,
        supervise_positives: bool = False,
        joint_forward: bool = False,
        filler_start: bool = False,
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, not {temperature}")
        dim = feature_dim(backbone)
        self.backbone = backbone
        self.head = nn.Linear(dim, num_classes)
        self.queue = ClassQueue(num_classes, num_negatives, dim)
        self.weight = weight
        self.temperature = temperature
        self.supervise_positives = supervise_positives
        self.joint_forward = joint_forward
        self.filler_start = filler_start

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """Terms: `cross_entropy`, with CLAD+ `cross_entropy_positives`, and `contrast` (weighted)."""
        batch.require(self.needs, "CLAD")
        assert batch.composites is not None
        assert batch.background_targets is not None
        anchors, positives = self._encode_both(batch.images, batch.composites)
        terms = {"cross_entropy": functional.cross_entropy(self.classify(anchors), batch.targets)}
        if self.supervise_positives:
            terms["cross_entropy_positives"] = functional.cross_entropy(self.classify(positives), batch.targets)

        if self.filler_start and not self.queue.counts.any():
            self._fill(gather(anchors), gather(batch.targets))
        # Section 3.4: the batch's positives enter the dictionary before the loss reads it.
        self.queue.push(gather(positives), gather(batch.background_targets))
        similarities, mask = self.queue.similarities(anchors, batch.targets)
        losses = contrast(cosine(anchors, positives), similarities, mask, temperature=self.temperature)  # eq. 1
        yield terms | {"contrast": self.weight * losses.mean()}

    def encode(self, images: Tensor) -> Tensor:
        """Pooled features of the backbone."""
        features: Tensor = self.backbone(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Logits of the linear head."""
        logits: Tensor = self.head(features)
        return logits

    def _encode_both(self, anchors: Tensor, positives: Tensor) -> tuple[Tensor, Tensor]:
        if self.joint_forward:
            first, second = self.encode(torch.cat([anchors, positives])).chunk(2)
            return first, second
        return self.encode(anchors), self.encode(positives)

    def _fill(self, anchors: Tensor, targets: Tensor) -> None:
        num_classes, capacity, _ = self.queue.embeddings.shape
        for key in range(num_classes):
            others = (targets != key).nonzero()[:, 0]
            if len(others) == 0:
                continue
            # The authors draw with replacement where there are too few; going round again is the same on every process.
            chosen = others[torch.arange(capacity, device=others.device) % len(others)]
            self.queue.push(anchors[chosen], torch.full_like(chosen, key))
