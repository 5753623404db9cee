"""Intrinsic feature enhancement with bias-contrastive pairs.

Jeonghoon Park, Chaeyeon Chung, Jaegul Choo. "Enhancing intrinsic features for debiasing via investigating
class-discerning common attributes in bias-contrastive pair", CVPR 2024. Equations 1 to 13, Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from longcut.attribution import class_activation, evaluation_mode, grad_cam, pools_by_mean
from longcut.core import Batch, Method
from longcut.core.distributed import world_size
from longcut.core.features import check_feature_map, feature_dim, feature_map, pool
from longcut.methods.biased_loss import amplified_mean
from longcut.methods.gathered import own_rows
from longcut.methods.guidance import compare
from longcut.methods.relative_difficulty import RelativeDifficulty
from longcut.methods.steps import StepCounter
from longcut.queues.bias_negatives import BiasNegatives, Members


class Intrinsic(Method):
    """Show the network where a bias-aligned image has what it shares with a bias-conflicting one of its class.

    A biased network learns from the bias-amplified set alone. How far its loss on a sample has risen is the sample's
    bias-negative score; the candidates with a positive one are the partners. A place of an image's map that resembles a
    place of its partner, and that the partner exploits more for the class, is intrinsic and under-exploited: it is
    enhanced, and the network learns to classify the enhanced map and to come close to it. Inference takes the debiased
    network alone.

    A sample of whose class there is no partner keeps its plain cross-entropy: its map is not enhanced, and it has no
    `similarity` and no `partner_cross_entropy`.

    Args:
        backbone: images to a map of features and pooled features: the debiased network.
        biased_backbone: images to pooled features: the biased network.
        num_classes: size of both linear heads.
        num_samples: size of the training set.
        num_steps: length of the run; the ramp of the main loss ends there.
        momentum: share of the old average in the losses that w(x) is made of.
        loss_rate: alpha_l, share of the new loss in equation 1. The paper does not give it: ours is LfF's.
        score_rate: alpha_s, share of the new difference in equation 2. The paper does not give it: ours is LfF's.
        reference_step: T1, from which on the reference losses are taken.
        guidance_step: T2, from which on there are partners.
        tau: amplification factor of equation 5. The paper does not give it.
        similarity_weight: lambda_sim.
        score_limit: the score as a weight is at most this; 0 is the paper's, without a limit. Ours, since on some sets
            scores reach ten times those of the paper.
        partners: whence they come: "negatives" (D^BN), "candidates", or "all" samples.
        weigh_by_score: weigh the losses of a pair by its partner's score.
        guide: with the guidance loss, the terms `similarity` and `guided_cross_entropy`.
        enhance: False sets IE to 1 everywhere, which turns the guidance into plain cross-entropy.
        partner_loss: with the bias-negative loss, the term `partner_cross_entropy`.
        joint_forward: images and partners in one pass; BatchNorm then sees their joint statistics.

    Raises:
        ValueError: the backbone has no map of features, an option is out of its range, or T2 comes before T1.
    """

    needs = frozenset({"amplified", "candidates"})
    fetches: ClassVar[bool] = True

    def __init__(
        self,
        backbone: nn.Module,
        biased_backbone: nn.Module,
        *,
        num_classes: int,
        num_samples: int,
        num_steps: int,
        momentum: float = 0.7,
        loss_rate: float = 0.3,
        score_rate: float = 0.3,
        reference_step: int = 1000,
        guidance_step: int = 10_000,
        tau: float = 1.0,
        similarity_weight: float = 0.1,
        score_limit: float = 0.0,
        partners: Members = "negatives",
        weigh_by_score: bool = True,
        guide: bool = True,
        enhance: bool = True,
        partner_loss: bool = True,
        joint_forward: bool = True,
    ) -> None:
        super().__init__()
        check_feature_map(backbone, "intrinsic")
        for name, value in (("tau", tau), ("similarity_weight", similarity_weight), ("score_limit", score_limit)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be 0 or more, not {value}")
        if partners not in get_args(Members):
            raise ValueError(f"partners must be one of {', '.join(get_args(Members))}, not {partners!r}")
        if not 0 <= reference_step <= guidance_step:
            raise ValueError(
                f"the guidance draws partners by scores: reference_step={reference_step} must be from 0 to "
                f"guidance_step={guidance_step}"
            )
        self.backbone, self.biased_backbone = backbone, biased_backbone
        self.head = nn.Linear(feature_dim(backbone), num_classes)
        self.biased_head = nn.Linear(feature_dim(biased_backbone), num_classes)
        self.difficulty = RelativeDifficulty(num_samples, num_classes, momentum=momentum)
        self.negatives = BiasNegatives(num_samples, num_classes, loss_rate, score_rate)
        self.steps = StepCounter()
        self.num_steps = num_steps
        self.reference_step, self.guidance_step = reference_step, guidance_step
        self.tau, self.similarity_weight, self.score_limit = tau, similarity_weight, score_limit
        self.partners, self.weigh_by_score = partners, weigh_by_score
        self.guide, self.enhance, self.partner_loss = guide, enhance, partner_loss
        self.joint_forward = joint_forward
        self._mean_pooled = pools_by_mean(backbone)

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """Terms of both networks at once (Algorithm 1).

        `biased_cross_entropy`, `weighted_cross_entropy`, `similarity`, `guided_cross_entropy`, `partner_cross_entropy`;
        before `guidance_step` the last three rest at zero.
        """
        batch.require(self.needs, "Intrinsic")
        assert batch.amplified is not None
        assert batch.candidates is not None
        step = self.steps.count
        self.steps.count += 1
        biased = self._losses(self.biased_head(self.biased_backbone(batch.images)), batch)
        self.negatives.update(
            biased.detach(), batch.indices, batch.targets, batch.candidates, step >= self.reference_step
        )
        terms = {"biased_cross_entropy": amplified_mean(biased, batch.amplified)}
        if step < self.guidance_step:
            yield terms | self._plain_terms(batch, biased.detach())
        else:
            yield terms | self._guided_terms(batch, biased.detach(), step)

    def encode(self, images: Tensor) -> Tensor:
        """Pooled features of the debiased network."""
        features: Tensor = self.backbone(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Logits of the debiased network's head."""
        logits: Tensor = self.head(features)
        return logits

    def sample_state(self) -> dict[str, Tensor]:
        """Score, average loss of the biased network, reference loss (0 where not yet taken), and 1 of candidates."""
        state = self.negatives
        return {
            "score": state.scores,
            "loss": state.losses,
            "reference": state.references,
            "candidate": state.candidates.float(),
        }

    def remarks(self) -> tuple[str, ...]:
        """What a person should know of a run that is about to begin, a line each."""
        consequences = {
            "reference_step": "no sample will have a score",
            "guidance_step": "no guidance will happen",
        }
        return tuple(
            f"{name} {getattr(self, name)} lies beyond the run's {self.num_steps} steps: {consequence}"
            for name, consequence in consequences.items()
            if getattr(self, name) >= self.num_steps
        )

    def _plain_terms(self, batch: Batch, biased: Tensor) -> dict[str, Tensor]:
        """Before T2: equation 8 alone."""
        logits = self(batch.images)
        losses = self._losses(logits, batch)
        weights = self.difficulty(biased, losses.detach(), batch.targets, batch.indices)
        rest = 0 * logits.sum()
        return {
            "weighted_cross_entropy": (weights * losses).mean(),
            "similarity": rest,
            "guided_cross_entropy": rest,
            "partner_cross_entropy": rest,
        }

    def _guided_terms(self, batch: Batch, biased: Tensor, step: int) -> dict[str, Tensor]:
        """From T2 on: equation 13."""
        partners, found = self._draw_partners(batch)
        features, partner = self._maps(batch.images, self._fetch(partners, step))
        score = self.negatives.scores_of(partners, self.score_limit) if self.weigh_by_score else torch.ones_like(biased)
        score = score * found

        enhancement = self._enhancement(features, partner, batch.targets).where(found[:, None, None], 1)
        guided = self._pool(features * enhancement[:, None])  # eq. 7
        pooled = self._pool(features)
        losses = self._losses(self.classify(pooled), batch)
        guided_losses = self._losses(self.classify(guided), batch)
        partner_losses = self._losses(self.classify(self._pool(partner)), batch)
        weights = self.difficulty(biased, losses.detach(), batch.targets, batch.indices)
        # Eq. 9. The guidance is the target: with a gradient of its own, it would pull enhanced features down. Over the
        # features the mean is taken: their sum grows with the width, and outweighs all other terms.
        distances = (pooled - guided.detach()).abs().mean(1)
        return {
            "weighted_cross_entropy": self._main_weight(step) * (weights * losses).mean(),
            "similarity": self.guide * self.similarity_weight * (score * distances).mean(),
            "guided_cross_entropy": self.guide * (weights * guided_losses).mean(),
            "partner_cross_entropy": self.partner_loss * (score * partner_losses).mean(),
        }

    def _draw_partners(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Indices of partners, and whether there is one; a sample without one stands in for it."""
        uniforms = own_rows(torch.rand(world_size() * len(batch), device=batch.indices.device))
        indices, found = self.negatives.sample(batch.targets, uniforms, self.partners)
        return torch.where(found, indices, batch.indices), found

    def _fetch(self, indices: Tensor, step: int) -> Tensor:
        if self.fetch is None:
            raise ValueError("Intrinsic asks for images of partners: set its fetch to what gives them")
        return self.fetch(indices, step)

    def _maps(self, images: Tensor, partners: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of both, in float32 at least: a difference of two means must not be lost in rounding."""
        if self.joint_forward:
            first, second = feature_map(self.backbone, torch.cat([images, partners])).chunk(2)
        else:
            first, second = feature_map(self.backbone, images), feature_map(self.backbone, partners)
        dtype = torch.promote_types(first.dtype, torch.float32)
        return first.to(dtype), second.to(dtype)

    def _enhancement(self, features: Tensor, partner: Tensor, targets: Tensor) -> Tensor:
        """IE of each place, without gradient."""
        if not self.enhance:
            return torch.ones_like(features[:, 0])
        own, others = (self._exploitation(each, targets) for each in (features, partner))
        return compare(features, partner, own, others, self.tau).weight

    def _exploitation(self, features: Tensor, targets: Tensor) -> Tensor:
        if self._mean_pooled:
            return class_activation(features, self.head.weight, targets)
        with evaluation_mode(self.backbone):  # else BatchNorm behind the map would mix the batch's images
            return grad_cam(features, lambda maps: self.classify(self._pool(maps)), targets)

    def _pool(self, features: Tensor) -> Tensor:
        return pool(self.backbone, features)

    def _losses(self, logits: Tensor, batch: Batch) -> Tensor:
        return functional.cross_entropy(logits, batch.targets, reduction="none")

    def _main_weight(self, step: int) -> float:
        """lambda_main: from 0 at T2 to 1 at the last step."""
        return min(1.0, (step - self.guidance_step) / max(1, self.num_steps - 1 - self.guidance_step))
