"""Random numbers drawn where the generator lives and used where the images are.

A generator on the CPU therefore gives the same corruptions on every device.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def uniform(
    shape: Sequence[int], low: float, high: float, *, device: torch.device, generator: torch.Generator | None
) -> Tensor:
    """Uniform draws in [low, high), float32, on the device."""
    source = generator.device if generator else device
    return torch.rand(tuple(shape), generator=generator, device=source).to(device) * (high - low) + low


def normal(shape: Sequence[int], *, device: torch.device, generator: torch.Generator | None) -> Tensor:
    """Standard normal draws, float32, on the device."""
    source = generator.device if generator else device
    return torch.randn(tuple(shape), generator=generator, device=source).to(device)


def poisson(rates: Tensor, *, generator: torch.Generator | None) -> Tensor:
    """Poisson draws of the given rates, on their device."""
    source = generator.device if generator else rates.device
    return torch.poisson(rates.to(source), generator=generator).to(rates.device)
