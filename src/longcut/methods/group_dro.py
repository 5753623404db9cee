"""GroupDRO: minimise the loss of the worst group.

Shiori Sagawa, Pang Wei Koh, Tatsunori Hashimoto, Percy Liang. "Distributionally robust neural networks for group
shifts", ICLR 2020. Algorithm 1, and the group adjustment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from longcut.core import Batch, Method
from longcut.core.distributed import gather, world_size
from longcut.core.features import feature_dim
from longcut.methods.bias_labels import check_bias_labels, count_groups, lacking_groups

NEVER = -1e30
"""Logarithm of the weight of a group that has no sample: finite, and its exponential is 0."""


class GroupDRO(Method):
    """The mean losses of the groups, weighted; a group's weight grows exponentially with its loss.

    A group is a class with a bias. The weights are kept as logarithms, which do not underflow in long runs. That of a
    group without samples in a batch stays as it is, but for the sum of all, which is 1. A sample whose bias is not
    known, -1, is in no group and adds nothing.

    Args:
        backbone: images to pooled features.
        num_classes: size of the linear head.
        num_bias: how many values the bias has.
        group_counts: samples of each class with each bias.
        step_size: eta, of the weights.
        adjustment: C, which counts a group's loss as `C / sqrt(n)` higher where it has n samples, for its weight.
    """

    needs = frozenset({"bias"})
    log_weights: Float[Tensor, " g"]

    def __init__(
        self,
        backbone: nn.Module,
        *,
        num_classes: int,
        num_bias: int,
        group_counts: Sequence[Sequence[int]],
        step_size: float = 0.01,
        adjustment: float = 0.0,
    ) -> None:
        super().__init__()
        check_bias_labels(num_bias, "GroupDRO")
        counts = count_groups(group_counts, num_classes, num_bias)
        self._lacking, counts = lacking_groups(counts), counts.flatten()
        self.backbone = backbone
        self.head = nn.Linear(feature_dim(backbone), num_classes)
        self.num_bias, self.step_size = num_bias, step_size
        self.register_buffer("log_weights", torch.where(counts > 0, 0.0, NEVER).log_softmax(dim=0))
        self.register_buffer("offsets", adjustment / counts.clamp(min=1).sqrt(), persistent=False)
        self.offsets: Tensor

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """One term: `robust_cross_entropy`."""
        batch.require(self.needs, "GroupDRO")
        assert batch.bias is not None
        losses = functional.cross_entropy(self(batch.images), batch.targets, reduction="none")
        groups = torch.where(batch.bias < 0, -1, batch.targets * self.num_bias + batch.bias)
        members = groups[:, None] == torch.arange(len(self.log_weights), device=groups.device)
        counts = gather(members.sum(dim=0)[None]).sum(dim=0)
        sums = gather((members * losses.detach()[:, None]).sum(dim=0)[None]).sum(dim=0)
        self._update(sums / counts.clamp(min=1), counts > 0)
        # Each sample's share of its group's mean over all processes; 0 of one that is in no group.
        weights = (members * (self.log_weights.exp() / counts.clamp(min=1))).sum(dim=1)
        yield {"robust_cross_entropy": world_size() * (weights * losses).sum()}

    def encode(self, images: Tensor) -> Tensor:
        """Pooled features of the backbone."""
        features: Tensor = self.backbone(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Logits of the linear head."""
        logits: Tensor = self.head(features)
        return logits

    def remarks(self) -> tuple[str, ...]:
        """How many groups have no training image."""
        return self._lacking

    @torch.no_grad()
    def _update(self, means: Float[Tensor, " g"], present: Bool[Tensor, " g"]) -> None:
        """Algorithm 1: `q <- q exp(eta loss)`, and q sums to one."""
        raised = self.log_weights + self.step_size * (means + self.offsets) * present
        self.log_weights.copy_(raised.log_softmax(dim=0))
