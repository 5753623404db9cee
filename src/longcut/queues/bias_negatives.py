"""What a biased network's loss on each sample says of it, and the bias-conflicting samples that it leaves."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from longcut.core.distributed import gather
from longcut.queues.sample_loss import last_of_each

Members = Literal["negatives", "candidates", "all"]
"""Where partners come from: the bias-negative set, its candidates, or all samples that were seen."""


class BiasNegatives(nn.Module):
    """For each sample a running average of a biased network's loss, and a score of how far it has risen.

    A loss that falls while the biased network learns the bias is that of a bias-aligned sample: its score is negative.
    All state is in persistent buffers, so a checkpoint holds it. Nothing here waits for the device.

    Args:
        num_samples: size of the training set (`s`).
        num_classes: how many classes there are (`n`).
        loss_rate: alpha_l, share of the new loss in the average.
        score_rate: alpha_s, share of the new difference in the score.

    Attributes:
        losses: l of equation 1; 0 where a sample was not yet seen.
        references: l_ref; 0 where `has_reference` is False.
        scores: s of equation 2; 0 until a sample is seen again after its reference.
        targets: the class of each sample; -1 where it was not yet seen.
        candidates: whether a sample is a candidate, as the batches said.

    Raises:
        ValueError: a size is below 1, or a rate is not above 0 and up to 1.

    Source:
        Park et al., "Enhancing intrinsic features for debiasing via investigating class-discerning common attributes
        in bias-contrastive pair" (CVPR 2024), section 3.2.
    """

    losses: Float[Tensor, " s"]
    references: Float[Tensor, " s"]
    has_reference: Bool[Tensor, " s"]
    scores: Float[Tensor, " s"]
    targets: Int[Tensor, " s"]
    candidates: Bool[Tensor, " s"]

    def __init__(self, num_samples: int, num_classes: int, loss_rate: float = 0.3, score_rate: float = 0.3) -> None:
        super().__init__()
        if min(num_samples, num_classes) < 1:
            raise ValueError(f"BiasNegatives needs sizes of at least 1, not {num_samples} x {num_classes}")
        for name, rate in (("loss_rate", loss_rate), ("score_rate", score_rate)):
            if not 0 < rate <= 1:
                raise ValueError(f"{name} must be above 0 and up to 1, not {rate}")
        self.num_classes = num_classes
        self.loss_rate, self.score_rate = loss_rate, score_rate
        for name in ("losses", "references", "scores"):
            self.register_buffer(name, torch.zeros(num_samples))
        for name in ("has_reference", "candidates"):
            self.register_buffer(name, torch.zeros(num_samples, dtype=torch.bool))
        self.register_buffer("targets", torch.full((num_samples,), -1))

    @torch.no_grad()
    def update(
        self,
        losses: Float[Tensor, " b"],
        indices: Int[Tensor, " b"],
        targets: Int[Tensor, " b"],
        candidates: Bool[Tensor, " b"],
        referenced: bool,
    ) -> None:
        """Take in a batch, of all processes; samples that are not in it stay as they are.

        Args:
            losses: the biased network's cross-entropy.
            indices: 0 to s - 1; where one occurs twice, the last of the batch counts.
            targets: 0 to n - 1.
            candidates: whether each sample is a candidate.
            referenced: whether samples without a reference get theirs now: T1 is reached.
        """
        losses, indices, targets, candidates = (gather(each) for each in (losses, indices, targets, candidates))
        losses = losses.to(self.losses.dtype)
        last = last_of_each(indices, len(self.losses))
        losses = losses[last]

        seen = self.targets[indices] >= 0
        averages = torch.where(seen, torch.lerp(self.losses[indices], losses, self.loss_rate), losses)  # eq. 1
        self.losses[indices] = averages
        self.targets[indices] = targets[last]
        self.candidates[indices] = candidates[last]
        if not referenced:
            return
        references = torch.where(self.has_reference[indices], self.references[indices], averages)
        self.references[indices] = references
        self.has_reference.index_fill_(0, indices, True)
        self.scores[indices] = torch.lerp(self.scores[indices], averages - references, self.score_rate)  # eq. 2

    def members(self, among: Members = "negatives") -> Bool[Tensor, " s"]:
        """Which samples partners are drawn from: by default equation 3, candidates whose score is positive."""
        if among == "all":
            return self.targets >= 0
        return self.candidates & (self.scores > 0) if among == "negatives" else self.candidates

    def sample(
        self, targets: Int[Tensor, " b"], uniforms: Float[Tensor, " b"], among: Members = "negatives"
    ) -> tuple[Int[Tensor, " b"], Bool[Tensor, " b"]]:
        """For each target a random member of its class.

        Args:
            targets: 0 to n - 1.
            uniforms: draws from 0 to below 1, one for each target.
            among: where members come from.

        Returns:
            Indices of samples, and whether there was a member; where there was none, the index is of any sample.
        """
        # Members in the order of their classes, others behind them; short numbers are sorted several times faster.
        kinds = (torch.uint8, torch.int16, torch.int64)
        short = next(kind for kind in kinds if self.num_classes <= torch.iinfo(kind).max)
        keys = torch.where(self.members(among), self.targets.to(short), self.num_classes)
        ordered, order = keys.sort(stable=True)
        starts = torch.searchsorted(ordered, torch.arange(self.num_classes + 1, dtype=short, device=keys.device))
        counts = starts.diff()
        of_class = counts[targets]
        # A draw close to 1 may be rounded up to the next class's first member.
        places = torch.minimum((uniforms * of_class).long(), (of_class - 1).clamp(min=0))
        return order[(starts[targets] + places).clamp(max=len(order) - 1)], of_class > 0

    def scores_of(self, indices: Int[Tensor, " b"], limit: float = 0.0) -> Float[Tensor, " b"]:
        """The scores as weights of a loss: at least 0, and at most `limit` where that is above 0."""
        return self.scores[indices].clamp(min=0.0, max=limit or None)
