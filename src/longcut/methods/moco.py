"""MoCo: momentum contrast, and with it non-semantic negatives.

Kaiming He, Haoqi Fan, Yuxin Wu, Saining Xie, Ross Girshick. "Momentum contrast for unsupervised visual representation
learning", CVPR 2020. Algorithm 1, equations 1 and 2.
Xinlei Chen, Haoqi Fan, Ross Girshick, Kaiming He. "Improved baselines with momentum contrastive learning", 2020: the
two-layer projector and t = 0.2 of MoCo-v2.
Songwei Ge, Shlok Mishra, Haohan Wang, Chun-Liang Li, David Jacobs. "Robust contrastive learning using negative samples
with diminished semantics", NeurIPS 2021. Equation 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from longcut.core import Batch, Method
from longcut.core.distributed import gather, world_size
from longcut.core.features import feature_dim
from longcut.core.method import NonSemantic
from longcut.losses import bank_mass, contrast_with, cosine, log_mass, mix_drawn_negatives
from longcut.losses.mass import at_least_float32
from longcut.methods.checks import check_counts, check_shares
from longcut.methods.gathered import own_rows
from longcut.methods.hard_negatives import Weighing
from longcut.methods.heads import OnlineHead, mlp
from longcut.methods.momentum import MomentumNetwork
from longcut.methods.non_semantic import fields_to_ask_for, non_semantic_mass
from longcut.methods.shuffling import encode_shuffled, split_batch_norm
from longcut.queues import FeatureQueue


class MoCo(Method):
    """Tell the key of the same image from a queue of earlier keys, which a slowly moving encoder has made.

    Non-semantic images of the query pass through the key encoder, without gradient and each in a pass of its own, as in
    the authors' code; they are negatives of their own query alone and never enter the queue.

    Args:
        backbone: images to pooled features.
        num_classes: size of the online head, which learns on detached features.
        num_steps: length of the run, for what changes in its course.
        temperature: t.
        capacity: length of the queue, which a batch need not divide.
        momentum: of the key encoder.
        final_momentum: where a cosine takes the momentum over the run; None leaves it constant, as the paper.
        hidden: of the projector; None is the backbone's number of features, as the paper.
        dim: length of an embedding.
        symmetric: both views are queries in turn and both losses are summed, as the authors' small-image recipe; their
            non-semantic images are the same.
        shuffle_batch_norm: keys pass in an order drawn over all processes, or over the parts of `batch_norm_splits`.
            With statistics of the whole batch on one process there is nothing to shuffle.
        batch_norm_splits: BatchNorm of both encoders takes its statistics from that many parts of each batch.
        non_semantic: what the non-semantic negatives are made of; None has none.
        alpha: multiplies the cosine to them inside the exponent; 0 leaves them out altogether.
        num_non_semantic: how many each query has.
        hard_negatives: "mochi" adds negatives mixed from the hardest (Kalantidis et al., NeurIPS 2020), "ifm",
            "debiased" and "hard" weigh those of the queue.
        prior: of "debiased" and "hard", the probability of a false negative.
        concentration: of "hard".
        epsilon: of "ifm".
        num_hardest: of "mochi", how many of the queue are mixed.
        num_mixed: of "mochi", how many are mixed of two negatives.
        num_query_mixed: of "mochi", how many are mixed of the query and a negative.
        mixing_start: of "mochi", the share of the run after which they join.
    """

    needs = frozenset({"views"})
    supervised = False

    def __init__(
        self,
        backbone: nn.Module,
        *,
        num_classes: int,
        num_steps: int,
        temperature: float = 0.2,
        capacity: int = 16384,
        momentum: float = 0.999,
        final_momentum: float | None = None,
        hidden: int | None = None,
        dim: int = 128,
        symmetric: bool = False,
        shuffle_batch_norm: bool = True,
        batch_norm_splits: int = 1,
        non_semantic: NonSemantic | None = None,
        alpha: float = 2.0,
        num_non_semantic: int = 1,
        hard_negatives: Literal["mochi", "ifm", "debiased", "hard"] | None = None,
        prior: float = 0.1,
        concentration: float = 1.0,
        epsilon: float = 0.1,
        num_hardest: int = 1024,
        num_mixed: int = 1024,
        num_query_mixed: int = 128,
        mixing_start: float = 0.05,
    ) -> None:
        super().__init__()
        check_counts(num_hardest=num_hardest)
        if min(num_mixed, num_query_mixed) < 0 or num_mixed + num_query_mixed == 0:
            raise ValueError(
                f"num_mixed and num_query_mixed count synthetic negatives: not {num_mixed} and {num_query_mixed}"
            )
        check_shares(mixing_start=mixing_start)
        self.needs = MoCo.needs | fields_to_ask_for(non_semantic, alpha, num_non_semantic)
        self.non_semantic, self.alpha, self.num_non_semantic = non_semantic, alpha, num_non_semantic
        kind = None if hard_negatives == "mochi" else hard_negatives
        self.weighing = Weighing(kind, temperature, prior, concentration, epsilon)
        self.hard_negatives = hard_negatives
        self.num_hardest, self.num_mixed, self.num_query_mixed = num_hardest, num_mixed, num_query_mixed
        self.mixing_start = mixing_start
        self.temperature = temperature
        self.symmetric = symmetric
        self.shuffle_batch_norm, self.batch_norm_splits = shuffle_batch_norm, batch_norm_splits

        features = feature_dim(backbone)
        split_batch_norm(backbone, batch_norm_splits)
        self.backbone = backbone
        self.projector = mlp(features, features if hidden is None else hidden, dim)
        self.head = OnlineHead(features, num_classes)
        self.key = MomentumNetwork(
            (backbone, self.projector), momentum=momentum, final_momentum=final_momentum, num_steps=num_steps
        )
        self.queue = FeatureQueue(capacity, dim)

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """Terms: `contrast`, and `online_cross_entropy` of the head."""
        batch.require(self.needs, "MoCo")
        assert batch.views is not None
        view = batch.views[:, 0]
        features = self.encode(batch.images)
        queries, keys = [self.projector(features)], [self._keys(view)]
        if self.symmetric:
            queries.append(self.projector(self.encode(view)))
            keys.append(self._keys(batch.images))
        away = []
        if "non_semantic" in self.needs:
            assert batch.non_semantic is not None
            away = [own_rows(self._keys(images)) for images in batch.non_semantic.unbind(1)]
        losses = [self._contrast(q, own_rows(k), away).mean() for q, k in zip(queries, keys, strict=True)]
        self.queue.push(torch.cat(keys))  # algorithm 1: after the loss has read the queue
        yield {
            "contrast": torch.stack(losses).sum(),
            "online_cross_entropy": self.head.loss(features, batch.targets),
        }

    def after_update(self) -> None:
        """Move the key encoder (equation 2)."""
        self.key.update((self.backbone, self.projector))

    def encode(self, images: Tensor) -> Tensor:
        """Pooled features of the query encoder's backbone."""
        features: Tensor = self.backbone(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Logits of the online head."""
        logits: Tensor = self.head(features)
        return logits

    def _keys(self, images: Tensor) -> Tensor:
        """Keys of all processes."""
        # Where one BatchNorm sees the whole batch, an order changes nothing.
        if self.shuffle_batch_norm and (world_size() > 1 or self.batch_norm_splits > 1):
            return encode_shuffled(self.key, images)
        return gather(self.key(images))

    def _contrast(self, queries: Tensor, keys: Tensor, non_semantic: Sequence[Tensor]) -> Tensor:
        """Equation 1 of He et al., or of Ge et al. where there are non-semantic images."""
        t = self.temperature
        positive = cosine(queries, keys)
        masses = [non_semantic_mass(queries, non_semantic, alpha=self.alpha, temperature=t)] if non_semantic else []
        if self.hard_negatives is None:
            return contrast_with(
                positive, bank_mass(queries, self.queue.embeddings, temperature=t), *masses, temperature=t
            )
        negatives = self.queue.similarities(queries)
        if self.hard_negatives == "mochi":
            masses.append(self._mixed_mass(queries, negatives))
        return self.weighing.loss(positive, negatives, *masses)

    def _mixed_mass(self, queries: Tensor, similarities: Tensor) -> Tensor:
        """Log mass of MoCHi's synthetic negatives; no mass before they join."""
        size = 3, world_size() * len(queries), self.num_mixed + self.num_query_mixed
        drawn = torch.rand(size, device=queries.device, dtype=at_least_float32(queries).dtype)
        mixed = mix_drawn_negatives(
            queries,
            self.queue.embeddings,
            similarities,
            own_rows(drawn, dim=1),
            num_hardest=self.num_hardest,
            num_mixed=self.num_mixed,
        )
        mass = log_mass(mixed, temperature=self.temperature)
        return mass.where(self.key.progress() >= self.mixing_start, -torch.inf)
