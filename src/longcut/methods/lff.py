"""LfF: Learning from failure, training a debiased classifier from a biased classifier.

Junhyun Nam, Hyuntak Cha, Sungsoo Ahn, Jaeho Lee, Jinwoo Shin. NeurIPS 2020. With `amplified`: Jungsoo Lee et al.,
"Revisiting the importance of amplifying bias for debiasing", AAAI 2023.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional

from longcut.core import Batch, Method
from longcut.core.features import feature_dim
from longcut.losses.robust import check_exponent
from longcut.methods.biased_loss import biased_loss
from longcut.methods.relative_difficulty import RelativeDifficulty


class LfF(Method):
    """A biased network, and a debiased one that attends to what the biased one fails at.

    Args:
        backbone: images to pooled features, of the debiased network: the one that predicts.
        biased_backbone: the same, of the biased network.
        num_classes: size of the linear heads.
        num_samples: size of the training set.
        q: of the biased network's generalized cross-entropy.
        momentum: share of the old average in a sample's new one, for the relative difficulty.
        amplified: "+ BE", the biased network learns from the bias-amplified set alone, by cross-entropy.
        authors_gce: as the authors' code, a generalized cross-entropy whose gradient is q times that of its formula.
    """

    def __init__(
        self,
        backbone: nn.Module,
        biased_backbone: nn.Module,
        *,
        num_classes: int,
        num_samples: int,
        q: float = 0.7,
        momentum: float = 0.7,
        amplified: bool = False,
        authors_gce: bool = False,
    ) -> None:
        super().__init__()
        check_exponent(q)
        if amplified:
            self.needs = frozenset({"amplified"})
        self.backbone = backbone
        self.head = nn.Linear(feature_dim(backbone), num_classes)
        self.biased_backbone = biased_backbone
        self.biased_head = nn.Linear(feature_dim(biased_backbone), num_classes)
        self.difficulty = RelativeDifficulty(num_samples, num_classes, momentum)
        self.q = q
        self.amplified = amplified
        self.authors_gce = authors_gce

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """Terms: `biased_gce`, or where `amplified` `biased_cross_entropy`; and `weighted_cross_entropy`."""
        batch.require(self.needs, "LfF")
        members = batch.amplified if self.amplified else None
        logits, biased_logits = self(batch.images), self.biased_head(self.biased_backbone(batch.images))
        losses = functional.cross_entropy(logits, batch.targets, reduction="none")
        biased_losses = functional.cross_entropy(biased_logits, batch.targets, reduction="none")
        # The weights read averages that hold this batch's losses already, as in the authors' code.
        weights = self.difficulty(biased_losses, losses, batch.targets, batch.indices)
        yield {
            "biased_cross_entropy" if self.amplified else "biased_gce": biased_loss(
                biased_logits, batch.targets, members, q=self.q, authors_gce=self.authors_gce
            ),
            "weighted_cross_entropy": (weights * losses).mean(),
        }

    def encode(self, images: Tensor) -> Tensor:
        """Pooled features of the debiased backbone."""
        features: Tensor = self.backbone(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Logits of the debiased network's head."""
        logits: Tensor = self.head(features)
        return logits

    def sample_state(self) -> dict[str, Tensor]:
        """`biased_loss` and `debiased_loss`: running averages of both networks' cross-entropies."""
        return self.difficulty.sample_state()
