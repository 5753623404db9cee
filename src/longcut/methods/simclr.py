"""SimCLR: the other images of the batch are the negatives, and with them non-semantic ones.

Ting Chen, Simon Kornblith, Mohammad Norouzi, Geoffrey Hinton. "A simple framework for contrastive learning of visual
representations", ICML 2020. Equation 1, algorithm 1.
Songwei Ge, Shlok Mishra, Haohan Wang, Chun-Liang Li, David Jacobs. "Robust contrastive learning using negative samples
with diminished semantics", NeurIPS 2021. Equation 1, for which the authors give no SimCLR code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from longcut.core import Batch, Method
from longcut.core.features import feature_dim
from longcut.core.method import NonSemantic
from longcut.losses import cosine
from longcut.methods.gathered import similarities_to_all
from longcut.methods.hard_negatives import Weighing
from longcut.methods.heads import OnlineHead, mlp
from longcut.methods.non_semantic import fields_to_ask_for, non_semantic_mass, statistics_kept


class SimCLR(Method):
    """Tell the other view of the same image from both views of all other images of the global batch (NT-Xent).

    Both views pass together, so BatchNorm sees them together. Non-semantic images of a sample are negatives of its two
    views alone. How they pass is ours: in a pass of their own, with gradient, as the batch's other negatives have it,
    and without a trace in BatchNorm's running statistics.

    Args:
        backbone: images to pooled features.
        num_classes: size of the online head, which learns on detached features.
        temperature: t.
        hidden: of the projector; None is the backbone's number of features, as the paper.
        dim: length of an embedding.
        non_semantic: what the non-semantic negatives are made of; None has none.
        alpha: multiplies the cosine to them inside the exponent; 0 leaves them out altogether.
        num_non_semantic: how many each sample has.
        hard_negatives: "ifm", "debiased" and "hard" weigh the negatives of the batch.
        prior: of "debiased" and "hard", the probability of a false negative.
        concentration: of "hard".
        epsilon: of "ifm".
    """

    needs = frozenset({"views"})
    supervised = False

    def __init__(
        self,
        backbone: nn.Module,
        *,
        num_classes: int,
        temperature: float = 0.5,
        hidden: int | None = None,
        dim: int = 128,
        non_semantic: NonSemantic | None = None,
        alpha: float = 2.0,
        num_non_semantic: int = 1,
        hard_negatives: Literal["ifm", "debiased", "hard"] | None = None,
        prior: float = 0.1,
        concentration: float = 1.0,
        epsilon: float = 0.1,
    ) -> None:
        super().__init__()
        self.needs = SimCLR.needs | fields_to_ask_for(non_semantic, alpha, num_non_semantic)
        self.non_semantic, self.alpha, self.num_non_semantic = non_semantic, alpha, num_non_semantic
        self.weighing = Weighing(hard_negatives, temperature, prior, concentration, epsilon)
        features = feature_dim(backbone)
        self.backbone = backbone
        self.projector = mlp(features, features if hidden is None else hidden, dim)
        self.head = OnlineHead(features, num_classes)

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """Terms: `contrast`, and `online_cross_entropy` of the head."""
        batch.require(self.needs, "SimCLR")
        assert batch.views is not None
        features = self.encode(torch.cat([batch.images, batch.views[:, 0]]))
        embeddings = self.projector(features)
        masses = [self._non_semantic_mass(embeddings, batch)] if "non_semantic" in self.needs else []
        yield {
            "contrast": self._contrast(embeddings, masses).mean(),
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

    def _contrast(self, embeddings: Tensor, masses: list[Tensor]) -> Tensor:
        """Equation 1 of Chen et al., each view an anchor."""
        partners = embeddings.roll(len(embeddings) // 2, dims=0)
        similarities, own = similarities_to_all(embeddings)
        mask = torch.ones_like(similarities, dtype=torch.bool)
        mask.scatter_(1, torch.stack([own, own.roll(len(own) // 2)], dim=1), False)
        return self.weighing.loss(cosine(embeddings, partners), similarities, *masses, mask=mask)

    def _non_semantic_mass(self, embeddings: Tensor, batch: Batch) -> Tensor:
        assert batch.non_semantic is not None
        with statistics_kept(self.backbone):
            away = [self.projector(self.encode(images)).repeat(2, 1) for images in batch.non_semantic.unbind(1)]
        return non_semantic_mass(embeddings, away, alpha=self.alpha, temperature=self.weighing.temperature)
