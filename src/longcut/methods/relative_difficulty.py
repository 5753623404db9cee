"""How much harder a sample is for the biased network than for the debiased one: LfF's weight."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from longcut.queues.sample_loss import SampleLoss


class RelativeDifficulty(nn.Module):
    """The weight of each sample, from running averages of both networks' cross-entropies.

    Near 1 where the biased network fails and the debiased one does not: a bias-conflicting sample. Either average is
    first divided by the largest of its class, so that a class that is hard for both is not weighted up.

    Args:
        num_samples: size of the training set.
        num_classes: how many classes there are.
        momentum: share of the old average in the new one.

    Attributes:
        averages: of the biased network's losses and of the debiased one's, one table for both.

    Source:
        Nam et al., "Learning from failure" (NeurIPS 2020), section 3; averages and class maxima as its code has them.
    """

    def __init__(self, num_samples: int, num_classes: int, momentum: float = 0.7) -> None:
        super().__init__()
        self.averages = SampleLoss(num_samples, num_classes, momentum, shape=(2,))

    def forward(
        self,
        biased_losses: Float[Tensor, " b"],
        debiased_losses: Float[Tensor, " b"],
        targets: Int[Tensor, " b"],
        indices: Int[Tensor, " b"],
    ) -> Float[Tensor, " b"]:
        """Take up a batch's losses, then weigh its samples.

        Args:
            biased_losses: cross-entropies of the biased network.
            debiased_losses: cross-entropies of the debiased network.
            targets: class of each sample.
            indices: position of each sample in the dataset.

        Returns:
            Weights in [0, 1], without gradient.
        """
        self.averages.push(torch.stack([biased_losses.detach(), debiased_losses.detach()]), indices, targets)
        return self.weights(targets, indices)

    @torch.no_grad()
    def weights(self, targets: Int[Tensor, " b"], indices: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
        """The weights of samples as the averages stand; 0 for what was never seen."""
        biased, debiased = self.averages.normalised(indices, targets)
        return biased / (biased + debiased + 1e-8)

    def sample_state(self) -> dict[str, Float[Tensor, " s"]]:
        """Both tables of averages, as `Method.sample_state` gives them."""
        biased, debiased = self.averages.losses
        return {"biased_loss": biased, "debiased_loss": debiased}
