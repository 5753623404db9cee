"""How the standard negatives are weighed in a contrastive loss: plainly, or by one of the rivals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from longcut.losses import contrast_with, debiased_mass, hard_mass, log_mass, modified_contrast
from longcut.methods.checks import check_temperature


@dataclass(frozen=True)
class Weighing:
    """A contrastive loss on similarities.

    Attributes:
        kind: None for the plain sum; "ifm" (Robinson et al., NeurIPS 2021) averages the loss with one whose
            similarities have moved by `epsilon`; "debiased" (Chuang et al., NeurIPS 2020) takes the share of false
            negatives out; "hard" (Robinson et al., ICLR 2021) weighs close negatives more besides.
        temperature: divides every similarity.
        prior: of "debiased" and "hard", the probability that a negative is of the anchor's class.
        concentration: of "hard", how much close negatives count more.
        epsilon: of "ifm".

    Raises:
        ValueError: a number outside its range.
    """

    kind: Literal["ifm", "debiased", "hard"] | None
    temperature: float
    prior: float
    concentration: float
    epsilon: float

    def __post_init__(self) -> None:
        check_temperature(self.temperature)
        if not 0 <= self.prior < 1:
            raise ValueError(f"prior must be a probability below 1, not {self.prior}")
        for name in ("concentration", "epsilon"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a finite number from 0, not {getattr(self, name)}")

    def loss(
        self,
        positive: Float[Tensor, " b"],
        negatives: Float[Tensor, "b k"],
        *masses: Float[Tensor, " b"],
        mask: Bool[Tensor, "b k"] | None = None,
    ) -> Float[Tensor, " b"]:
        """One loss per anchor, in nats.

        Args:
            positive: similarity of each anchor to its positive.
            negatives: similarity of each anchor to each standard negative.
            masses: log masses of further groups of negatives; "ifm" moves them too, the others leave them as they are.
            mask: True where a standard negative counts.
        """
        t = self.temperature
        if self.kind == "ifm":
            return modified_contrast(positive, negatives, *masses, temperature=t, epsilon=self.epsilon, mask=mask)
        if self.kind == "debiased":
            mass = debiased_mass(positive, negatives, mask, temperature=t, prior=self.prior)
        elif self.kind == "hard":
            mass = hard_mass(
                positive, negatives, mask, temperature=t, prior=self.prior, concentration=self.concentration
            )
        else:
            mass = log_mass(negatives, mask, temperature=t)
        return contrast_with(positive, mass, *masses, temperature=t)
