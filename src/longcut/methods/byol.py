"""BYOL: predict what a slowly moving copy of the network sees in another view, and not in a non-semantic image.

Jean-Bastien Grill et al. "Bootstrap your own latent: a new approach to self-supervised learning", NeurIPS 2020.
Equations 1 and 2.
Songwei Ge, Shlok Mishra, Haohan Wang, Chun-Liang Li, David Jacobs. "Robust contrastive learning using negative samples
with diminished semantics", NeurIPS 2021. Equation 2, for which the authors give no code.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from longcut.core import Batch, Method
from longcut.core.features import feature_dim
from longcut.core.method import NonSemantic
from longcut.losses import bootstrap
from longcut.methods.heads import OnlineHead, mlp
from longcut.methods.momentum import MomentumNetwork
from longcut.methods.non_semantic import fields_to_ask_for


class BYOL(Method):
    """Predict the target network's projection of the other view, at a small squared distance of unit vectors.

    Each view passes by itself through both networks. Non-semantic images pass through the target network alone, each
    set in a pass of its own, and the prediction is pushed away from their projections; equation 2 of Ge et al. says no
    more, that they are those of the first view and serve both directions is ours.

    Args:
        backbone: images to pooled features.
        num_classes: size of the online head, which learns on detached features.
        num_steps: length of the run, over which the momentum changes.
        momentum: of the target network, at the start.
        final_momentum: where a cosine takes it over the run; None leaves it constant.
        hidden: of the projector and of the predictor.
        dim: length of an embedding.
        symmetric: both views are predicted, and both losses are summed, as the paper.
        non_semantic: what the non-semantic negatives are made of; None has none.
        alpha: weight of the distance to them; 0 leaves them out altogether.
        num_non_semantic: how many each sample has; their distances are averaged.
    """

    needs = frozenset({"views"})
    supervised = False

    def __init__(
        self,
        backbone: nn.Module,
        *,
        num_classes: int,
        num_steps: int,
        momentum: float = 0.996,
        final_momentum: float | None = 1.0,
        hidden: int = 4096,
        dim: int = 256,
        symmetric: bool = True,
        non_semantic: NonSemantic | None = None,
        alpha: float = 0.05,
        num_non_semantic: int = 1,
    ) -> None:
        super().__init__()
        self.needs = BYOL.needs | fields_to_ask_for(non_semantic, alpha, num_non_semantic)
        self.non_semantic, self.alpha, self.num_non_semantic = non_semantic, alpha, num_non_semantic
        self.symmetric = symmetric
        features = feature_dim(backbone)
        self.backbone = backbone
        self.projector = mlp(features, hidden, dim, batch_norm=True)
        self.predictor = mlp(dim, hidden, dim, batch_norm=True)
        self.head = OnlineHead(features, num_classes)
        self.target = MomentumNetwork(
            (backbone, self.projector), momentum=momentum, final_momentum=final_momentum, num_steps=num_steps
        )

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """Terms: `positive`, with non-semantic images `non_semantic`, and `online_cross_entropy` of the head."""
        batch.require(self.needs, "BYOL")
        assert batch.views is not None
        view = batch.views[:, 0]
        features = self.encode(batch.images)
        predictions, targets = [self._predict(features)], [self.target(view)]
        if self.symmetric:
            predictions.append(self._predict(self.encode(view)))
            targets.append(self.target(batch.images))
        near = [bootstrap(p, z).mean() for p, z in zip(predictions, targets, strict=True)]
        terms = {"positive": torch.stack(near).sum()}
        if "non_semantic" in self.needs:
            assert batch.non_semantic is not None
            away = [self.target(images) for images in batch.non_semantic.unbind(1)]
            far = [torch.stack([bootstrap(p, z).mean() for z in away]).mean() for p in predictions]
            terms["non_semantic"] = -self.alpha * torch.stack(far).sum()  # Ge et al., equation 2
        yield terms | {"online_cross_entropy": self.head.loss(features, batch.targets)}

    def after_update(self) -> None:
        """Move the target network (equation 1)."""
        self.target.update((self.backbone, self.projector))

    def encode(self, images: Tensor) -> Tensor:
        """Pooled features of the online network's backbone."""
        features: Tensor = self.backbone(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Logits of the online head."""
        logits: Tensor = self.head(features)
        return logits

    def _predict(self, features: Tensor) -> Tensor:
        prediction: Tensor = self.predictor(self.projector(features))
        return prediction
