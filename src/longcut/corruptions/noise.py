"""Noise of each pixel and channel: Gaussian, shot, impulse and speckle.

The noise is a sensor's, one draw for each pixel, so its strength is the same at every image size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from longcut.corruptions.draws import normal, poisson, uniform

_GAUSSIAN = (0.08, 0.12, 0.18, 0.26, 0.38)
_PHOTONS = (60.0, 25.0, 12.0, 5.0, 3.0)
_FLIPPED = (0.03, 0.06, 0.09, 0.17, 0.27)
_SPECKLE = (0.15, 0.2, 0.35, 0.45, 0.6)


def gaussian_noise(images: Tensor, severity: int, _: float, generator: torch.Generator | None) -> Tensor:
    """Additive normal noise."""
    noise = normal(images.shape, device=images.device, generator=generator)
    return images + _GAUSSIAN[severity - 1] * noise


def shot_noise(images: Tensor, severity: int, _: float, generator: torch.Generator | None) -> Tensor:
    """Poisson noise: the given number of photons makes white."""
    photons = _PHOTONS[severity - 1]
    return poisson(images * photons, generator=generator) / photons


def impulse_noise(images: Tensor, severity: int, _: float, generator: torch.Generator | None) -> Tensor:
    """Salt and pepper: a share of the values becomes 0 or 1, half of it each."""
    half = _FLIPPED[severity - 1] / 2
    draws = uniform(images.shape, 0.0, 1.0, device=images.device, generator=generator)
    return torch.where(draws < half, 0.0, torch.where(draws >= 1 - half, 1.0, images))


def speckle_noise(images: Tensor, severity: int, _: float, generator: torch.Generator | None) -> Tensor:
    """Normal noise in proportion to the value."""
    noise = normal(images.shape, device=images.device, generator=generator)
    return images * (1 + _SPECKLE[severity - 1] * noise)
