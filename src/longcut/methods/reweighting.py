"""Reweighting: what is rare counts more, as much as it is rare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from longcut.core import Batch, Method
from longcut.core.features import feature_dim
from longcut.methods.bias_labels import check_bias_labels, count_groups, lacking_groups


class Reweighting(Method):
    """Cross-entropy weighted by the inverse frequency of each sample's group, or of its class.

    The weights' mean over the training set is 1, and all groups weigh the same in the sum: the importance weights of
    Shimodaira ("Improving predictive inference under covariate shift", 2000) from the training set to one in which the
    groups are equal. By group, a sample whose bias is not known, -1, weighs nothing; the mean is still over the whole
    batch, so that micro-batches add up.

    Args:
        backbone: images to pooled features.
        num_classes: size of the linear head.
        num_bias: how many values the bias has; by class it may be 0, not labelled.
        class_counts: samples of each class, read by class.
        group_counts: samples of each class with each bias, read by group.
        by: "group" needs bias labels: a group is a class with a bias. "class" needs none.
    """

    accumulates: ClassVar[bool] = True

    def __init__(
        self,
        backbone: nn.Module,
        *,
        num_classes: int,
        num_bias: int,
        class_counts: Sequence[int] = (),
        group_counts: Sequence[Sequence[int]] = (),
        by: Literal["class", "group"] = "group",
    ) -> None:
        super().__init__()
        if by not in ("class", "group"):
            raise ValueError(f"by must be 'class' or 'group', not {by!r}")
        if by == "group":
            check_bias_labels(num_bias, "Reweighting by group")
            self.needs = frozenset({"bias"})
            counts = count_groups(group_counts, num_classes, num_bias)
        else:
            counts = count_groups([[count] for count in class_counts], num_classes, 1)
        self._lacking = lacking_groups(counts) if by == "group" else ()
        self.backbone = backbone
        self.head = nn.Linear(feature_dim(backbone), num_classes)
        equal = counts.sum() / (counts > 0).sum()
        self.register_buffer("weights", equal / counts.clamp(min=1), persistent=False)
        self.weights: Tensor
        self.by = by

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """One term: `weighted_cross_entropy`."""
        batch.require(self.needs, "Reweighting")
        losses = functional.cross_entropy(self(batch.images), batch.targets, reduction="none")
        columns = torch.zeros_like(batch.targets) if self.by == "class" or batch.bias is None else batch.bias
        losses = losses * (columns >= 0)
        yield {"weighted_cross_entropy": (self.weights[batch.targets, columns] * losses).mean()}

    def encode(self, images: Tensor) -> Tensor:
        """Pooled features of the backbone."""
        features: Tensor = self.backbone(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Logits of the linear head."""
        logits: Tensor = self.head(features)
        return logits

    def remarks(self) -> tuple[str, ...]:
        """How many groups have no training image, where it weighs groups."""
        return self._lacking
