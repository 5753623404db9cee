"""DisEnt: Learning debiased representation via disentangled feature augmentation.

Jungsoo Lee, Eungyeup Kim, Juyoung Lee, Jihyeon Lee, Jaegul Choo. NeurIPS 2021. With `amplified`: Jungsoo Lee et al.,
"Revisiting the importance of amplifying bias for debiasing", AAAI 2023.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from longcut.core import Batch, Method
from longcut.core.features import feature_dim
from longcut.losses.robust import check_exponent
from longcut.methods.biased_loss import biased_loss
from longcut.methods.relative_difficulty import RelativeDifficulty
from longcut.methods.steps import StepCounter


class DisEnt(Method):
    """Two encoders, one for what defines a class and one for the bias, whose features are swapped between samples.

    Both classifiers read both features, and each trains its own encoder alone. A sample's intrinsic feature beside
    another's bias feature makes a bias-conflicting sample that the data do not have.

    Args:
        backbone: images to pooled features, the intrinsic encoder.
        biased_backbone: the same, the bias encoder; prediction reads it too.
        num_classes: size of the linear heads.
        num_samples: size of the training set.
        num_steps: length of the run; 0 where it is not known.
        q: of the bias classifier's generalized cross-entropy.
        momentum: share of the old average in a sample's new one, for the relative difficulty.
        swap_start: how many steps go by before features are swapped.
        align_weight: lambda_dis, of the bias classifier's loss.
        swap_weight: lambda_swap, of both losses on swapped features.
        swap_align_weight: lambda_swap_b, of the bias classifier's loss among them.
        amplified: "+ BE", the bias classifier learns from the bias-amplified set alone, by cross-entropy.
        authors_gce: as the authors' code, a generalized cross-entropy whose gradient is q times that of its formula.
    """

    def __init__(
        self,
        backbone: nn.Module,
        biased_backbone: nn.Module,
        *,
        num_classes: int,
        num_samples: int,
        num_steps: int = 0,
        q: float = 0.7,
        momentum: float = 0.7,
        swap_start: int = 10_000,
        align_weight: float = 10.0,
        swap_weight: float = 1.0,
        swap_align_weight: float = 10.0,
        amplified: bool = False,
        authors_gce: bool = False,
    ) -> None:
        super().__init__()
        check_exponent(q)
        if swap_start < 0:
            raise ValueError(f"swap_start must be at least 0, not {swap_start}")
        if amplified:
            self.needs = frozenset({"amplified"})
        dim = feature_dim(backbone) + feature_dim(biased_backbone)
        self.backbone = backbone
        self.head = nn.Linear(dim, num_classes)
        self.biased_backbone = biased_backbone
        self.biased_head = nn.Linear(dim, num_classes)
        self.difficulty = RelativeDifficulty(num_samples, num_classes, momentum)
        self.steps = StepCounter()
        self.q = q
        self.num_steps = num_steps
        self.swap_start = swap_start
        self.align_weight = align_weight
        self.swap_weight = swap_weight
        self.swap_align_weight = swap_align_weight
        self.amplified = amplified
        self.authors_gce = authors_gce

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """Terms: `weighted_cross_entropy` and `biased_gce`, and both of swapped features, zeros before `swap_start`.

        Where `amplified`, `biased_cross_entropy` takes the place of `biased_gce`.
        """
        batch.require(self.needs, "DisEnt")
        targets, members = batch.targets, batch.amplified if self.amplified else None
        intrinsic, biased = self.backbone(batch.images), self.biased_backbone(batch.images)
        logits, biased_logits = self._classify_both(intrinsic, biased)
        losses = functional.cross_entropy(logits, targets, reduction="none")
        biased_losses = functional.cross_entropy(biased_logits, targets, reduction="none")
        weights = self.difficulty(biased_losses, losses, targets, batch.indices)
        weighted, aligned = (weights * losses).mean(), self._biased_loss(biased_logits, targets, members)

        if self.steps.count < self.swap_start:
            swapped, swapped_aligned = 0 * weighted, 0 * aligned
        else:
            order = torch.randperm(len(batch), device=targets.device)
            logits, biased_logits = self._classify_both(intrinsic, biased[order])
            # A swapped sample keeps the weight of its image: the difficulty of the pair is not measured.
            swapped = (weights * functional.cross_entropy(logits, targets, reduction="none")).mean()
            members = None if members is None else members[order]
            swapped_aligned = self._biased_loss(biased_logits, targets[order], members)
        self.steps.count += 1
        yield {
            "weighted_cross_entropy": weighted,
            "biased_cross_entropy" if self.amplified else "biased_gce": self.align_weight * aligned,
            "swapped_weighted_cross_entropy": self.swap_weight * swapped,
            "swapped_biased_cross_entropy" if self.amplified else "swapped_biased_gce": (
                self.swap_weight * self.swap_align_weight * swapped_aligned
            ),
        }

    def encode(self, images: Tensor) -> Tensor:
        """Intrinsic features, and beside them the bias's."""
        return torch.cat([self.backbone(images), self.biased_backbone(images)], dim=1)

    def classify(self, features: Tensor) -> Tensor:
        """Logits of the intrinsic classifier, which reads both."""
        logits: Tensor = self.head(features)
        return logits

    def remarks(self) -> tuple[str, ...]:
        """Whether the run ends before features are swapped."""
        if not 0 < self.num_steps <= self.swap_start:
            return ()
        return (f"swap_start {self.swap_start} lies beyond the run's {self.num_steps} steps: no feature is swapped",)

    def sample_state(self) -> dict[str, Tensor]:
        """`biased_loss` and `debiased_loss`: running averages of both classifiers' cross-entropies."""
        return self.difficulty.sample_state()

    def _classify_both(self, intrinsic: Float[Tensor, "b d"], biased: Float[Tensor, "b e"]) -> tuple[Tensor, Tensor]:
        """Logits of both classifiers, each with gradient for its own encoder alone."""
        logits = self.head(torch.cat([intrinsic, biased.detach()], dim=1))
        return logits, self.biased_head(torch.cat([intrinsic.detach(), biased], dim=1))

    def _biased_loss(self, logits: Tensor, targets: Int[Tensor, " b"], members: Bool[Tensor, " b"] | None) -> Tensor:
        return biased_loss(logits, targets, members, q=self.q, authors_gce=self.authors_gce)
