"""Snow, frost and fog.

What falls or lies before the scene is drawn as it is for 224 pixels and brought to the image's size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from longcut.corruptions.blur import trails
from longcut.corruptions.draws import normal, uniform
from longcut.corruptions.filters import correlate, resize
from longcut.corruptions.frost_textures import frost_textures

_SNOW = (
    (0.1, 0.3, 3.0, 0.5, 10, 4.0, 0.8),
    (0.2, 0.3, 2.0, 0.5, 12, 4.0, 0.7),
    (0.55, 0.3, 4.0, 0.9, 12, 8.0, 0.7),
    (0.55, 0.3, 4.5, 0.85, 12, 8.0, 0.65),
    (0.55, 0.3, 2.5, 0.85, 12, 12.0, 0.55),
)
"""Mean and standard deviation of the noise, flake size, threshold, radius and sigma of the fall, share of the scene."""
_FROST = ((1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))
"""Weights of the scene and of the frost."""
_FOG = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))
"""Weight of the fog, and by how much its variation shrinks at each halving of the length."""
_LUMA = (0.299, 0.587, 0.114)


def layer_size(images: Tensor, scale: float) -> tuple[int, int]:
    """Height and width that the images have where their shorter side is 224 pixels."""
    height, width = images.shape[-2:]
    return round(height / scale), round(width / scale)


def snow(images: Tensor, severity: int, scale: float, generator: torch.Generator | None) -> Tensor:
    """Flakes of blurred noise, twice, over a scene that snow has whitened."""
    flakes = resize(_flakes(images, severity, scale, generator), *images.shape[-2:])
    share = _SNOW[severity - 1][-1]
    luma = torch.einsum("bchw,c->bhw", images, torch.tensor(_LUMA, device=images.device))[:, None]
    whitened = torch.maximum(images, luma * 1.5 + 0.5)
    return share * images + (1 - share) * whitened + flakes + flakes.rot90(2, (2, 3))


def _flakes(images: Tensor, severity: int, scale: float, generator: torch.Generator | None) -> Tensor:
    """Enlarged noise above a threshold, blurred downwards: `[b, 1, ., .]`."""
    mean, deviation, size, threshold, radius, sigma, _ = _SNOW[severity - 1]
    height, width = layer_size(images, scale)
    grains = len(images), 1, math.ceil(height / size), math.ceil(width / size)
    noise = mean + deviation * normal(grains, device=images.device, generator=generator)
    large = round(grains[2] * size), round(grains[3] * size)
    noise = functional.interpolate(noise, large, mode="bilinear", align_corners=True)[..., :height, :width]
    falling = torch.where(noise < threshold, 0.0, noise).clamp(0, 1)
    angles = uniform((len(images),), -135.0, -45.0, device=images.device, generator=generator)
    return correlate(falling, trails(angles, radius, sigma), border="edge")


def frost(images: Tensor, severity: int, scale: float, generator: torch.Generator | None) -> Tensor:
    """A crop of one of five frost textures laid over the image.

    The published set takes photographs; ours are made (see `frost_textures`) with their mean colours and contrasts.
    """
    textures = frost_textures().to(images.device)
    height, width = layer_size(images, scale)
    draws = uniform((len(images), 3), 0.0, 1.0, device=images.device, generator=generator)
    count, _, side, _ = textures.shape
    which, top, left = (draws * torch.tensor([count, side, side], device=images.device)).long().T[..., None, None]
    rows = (top + torch.arange(height, device=images.device)[:, None]) % side
    columns = (left + torch.arange(width, device=images.device)) % side
    layers = textures.movedim(1, -1)[which, rows, columns].movedim(-1, 1).float() / 255
    of_scene, of_frost = _FROST[severity - 1]
    return of_scene * images + of_frost * resize(layers, *images.shape[-2:])


def fog(images: Tensor, severity: int, scale: float, generator: torch.Generator | None) -> Tensor:
    """A plasma fractal added, and the whole brought back to the image's largest value."""
    weight, decay = _FOG[severity - 1]
    height, width = layer_size(images, scale)
    side = 2 ** (max(height, width) - 1).bit_length()
    layers = plasma(len(images), side, decay, device=images.device, generator=generator)[:, None, :height, :width]
    largest = images.amax(dim=(1, 2, 3), keepdim=True)
    return (images + weight * resize(layers, *images.shape[-2:])) * largest / (largest + weight)


def plasma(count: int, side: int, decay: float, *, device: torch.device, generator: torch.Generator | None) -> Tensor:
    """Fractals of the diamond-square algorithm, periodic, each from 0 to 1.

    Args:
        count: how many.
        side: a power of two.
        decay: the variation shrinks by its square at each halving of the length.
        device: where they are wanted.
        generator: what they are drawn from.

    Returns:
        `[count, side, side]`.
    """

    def displaced(sums: Tensor) -> Tensor:
        return sums / 4 + strength * uniform(sums.shape, -1.0, 1.0, device=device, generator=generator)

    heights = torch.zeros(count, side, side, device=device)
    step, strength = side, 1.0
    while step > 1:
        half = step // 2
        corners = heights[:, ::step, ::step]
        pairs = corners + corners.roll(-1, 1)
        centres = displaced(pairs + pairs.roll(-1, 2))
        heights[:, half::step, half::step] = centres
        heights[:, ::step, half::step] = displaced(corners + corners.roll(-1, 2) + centres + centres.roll(1, 1))
        heights[:, half::step, ::step] = displaced(corners + corners.roll(-1, 1) + centres + centres.roll(1, 2))
        step, strength = half, strength / decay**2
    lowest, highest = heights.amin(dim=(1, 2), keepdim=True), heights.amax(dim=(1, 2), keepdim=True)
    return (heights - lowest) / (highest - lowest)
