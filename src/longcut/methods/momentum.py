"""A network that follows another one slowly: MoCo's key encoder, BYOL's target."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from itertools import chain

import torch
from jaxtyping import Int
from torch import Tensor, nn

from longcut.methods.checks import check_counts, check_shares


class MomentumNetwork(nn.Module):
    """A copy of some modules, one after the other, whose parameters are a moving average of theirs.

    It takes no gradient. Its BatchNorm has statistics of its own, those of what passes through it.

    Args:
        sources: the modules.
        momentum: share that stays in each update.
        final_momentum: where a cosine takes `momentum` over the run; None leaves it constant.
        num_steps: length of the run.

    Raises:
        ValueError: a momentum outside [0, 1], or a run without steps.

    Source:
        He et al., "Momentum contrast" (CVPR 2020), equation 2; the schedule is that of Grill et al., "Bootstrap your
        own latent" (NeurIPS 2020), section 3.2.
    """

    updates: Int[Tensor, ""]

    def __init__(
        self, sources: Iterable[nn.Module], *, momentum: float, final_momentum: float | None, num_steps: int
    ) -> None:
        super().__init__()
        check_shares(momentum=momentum, final_momentum=momentum if final_momentum is None else final_momentum)
        check_counts(num_steps=num_steps)
        self.network = nn.Sequential(*(copy.deepcopy(source) for source in sources)).requires_grad_(False)
        self.momentum = momentum
        self.final_momentum = final_momentum
        self.num_steps = num_steps
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """What the copy makes of the images, without gradient."""
        result: Tensor = self.network(images)
        return result

    def progress(self) -> Tensor:
        """Share of the run that is over, on the device."""
        return (self.updates / self.num_steps).clamp(max=1)

    def current_momentum(self) -> float | Tensor:
        r"""The momentum of the next update: with a schedule, over a run of K steps,

        .. math:: m_k = m_{end} - (m_{end} - m_{start}) (\cos(\pi k / K) + 1) / 2
        """
        if self.final_momentum is None:
            return self.momentum
        rest = (torch.cos(math.pi * self.progress()) + 1) / 2
        return self.final_momentum - (self.final_momentum - self.momentum) * rest

    @torch.no_grad()
    def update(self, sources: Iterable[nn.Module]) -> None:
        """Move the copy's parameters towards those of its sources; once after each step."""
        fast: list[Tensor] = list(chain.from_iterable(source.parameters() for source in sources))
        slow: list[Tensor] = list(self.network.parameters())
        weight = 1 - self.current_momentum()
        if isinstance(weight, Tensor):
            torch._foreach_lerp_(slow, fast, [weight] * len(slow))
        else:
            torch._foreach_lerp_(slow, fast, weight)
        self.updates += 1
