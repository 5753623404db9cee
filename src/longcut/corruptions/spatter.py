"""Drops of water or mud on the lens."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from longcut.corruptions.draws import normal
from longcut.corruptions.filters import gaussian, resize
from longcut.corruptions.weather import layer_size

_WATER = ((0.65, 0.3, 4.0, 0.69, 0.6), (0.65, 0.3, 3.0, 0.68, 0.6), (0.65, 0.3, 2.0, 0.68, 0.5))
_MUD = ((0.65, 0.3, 1.0, 0.65, 1.5), (0.67, 0.4, 1.0, 0.65, 1.5))
"""Mean and standard deviation of the noise, its blur, the threshold; strength of the water, or blur of the mud."""
_TURQUOISE, _BROWN = (175, 238, 238), (63, 42, 20)
_FAR = 20
_STEEP = 150
_TAN = math.tan(math.pi / 8)
_SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))
_EMBOSS = ((-2.0, -1.0, 0.0), (-1.0, 1.0, 1.0), (0.0, 1.0, 2.0))


def spatter(images: Tensor, severity: int, scale: float, generator: torch.Generator | None) -> Tensor:
    """Water at severities 1 to 3, mud at 4 and 5."""
    noise = normal((len(images), 1, *layer_size(images, scale)), device=images.device, generator=generator)
    height, width = images.shape[-2:]
    if severity <= len(_WATER):
        mean, deviation, blur, threshold, strength = _WATER[severity - 1]
        liquid = gaussian(mean + deviation * noise, blur)
        shine = resize(_shine(torch.where(liquid < threshold, 0.0, liquid)), height, width)
        return images + strength * shine * _colour(_TURQUOISE, images.device)
    mean, deviation, blur, threshold, softness = _MUD[severity - len(_WATER) - 1]
    liquid = gaussian(mean + deviation * noise, blur)
    mud = gaussian((liquid > threshold).float(), softness)
    mud = resize(torch.where(mud < 0.8, 0.0, mud), height, width)
    return images * (1 - mud) + mud * _colour(_BROWN, images.device)


def _colour(levels: tuple[int, int, int], device: torch.device) -> Tensor:
    return torch.tensor(levels, device=device).view(1, 3, 1, 1) / 255


def _shine(liquid: Tensor) -> Tensor:
    """How drops `[b, 1, h, w]` catch the light: embossed by the distance to their rims, the largest 1.

    The published steps are eight-bit images, whose rounding shows: levels are whole numbers here too.
    """
    levels = (liquid * 255).floor()
    distances = _box(_distances(_rims(levels))).floor()
    embossed = _correlate(_equalize(distances), torch.tensor(_EMBOSS)).clamp(0, 255)
    shine = levels * _box(embossed).round()
    return shine / shine.amax(dim=(2, 3), keepdim=True).clamp(min=1)


def _rims(levels: Tensor) -> Tensor:
    """Lines of a Canny filter: where the slope is steep, and the steepest across the line."""
    height, width = levels.shape[-2:]
    sobel = torch.tensor(_SOBEL, device=levels.device)
    slopes = functional.conv2d(
        functional.pad(levels, (1, 1, 1, 1), mode="replicate"), torch.stack([sobel, sobel.T])[:, None]
    )
    along_x, along_y = slopes.abs().split(1, dim=1)
    steepness = along_x + along_y
    padded = functional.pad(steepness, (1, 1, 1, 1))

    def beside(y: int, x: int) -> Tensor:
        return padded[..., 1 + y : 1 + y + height, 1 + x : 1 + x + width]

    falling = slopes.prod(dim=1, keepdim=True) >= 0
    above = torch.where(falling, beside(-1, -1), beside(-1, 1))
    below = torch.where(falling, beside(1, 1), beside(1, -1))
    steepest = torch.where(
        along_y < _TAN * along_x,
        (steepness > beside(0, -1)) & (steepness >= beside(0, 1)),
        torch.where(
            along_x < _TAN * along_y,
            (steepness > beside(-1, 0)) & (steepness >= beside(1, 0)),
            (steepness > above) & (steepness > below),
        ),
    )
    return steepest & (steepness > _STEEP)


def _distances(rims: Tensor) -> Tensor:
    """Distance of each pixel to the next rim, at most 20: first within its column, then over the columns near it."""
    height = rims.shape[-2]
    rows = torch.arange(height, device=rims.device)[:, None]
    above = torch.where(rims, rows, -_FAR).cummax(dim=-2).values
    below = torch.where(rims, rows, height + _FAR).flip(-2).cummin(dim=-2).values.flip(-2)
    vertical = torch.minimum(rows - above, below - rows).clamp(max=_FAR).float() ** 2
    squares = vertical.clone()
    for j in range(1, _FAR):
        torch.minimum(squares[..., j:], vertical[..., :-j] + j**2, out=squares[..., j:])
        torch.minimum(squares[..., :-j], vertical[..., j:] + j**2, out=squares[..., :-j])
    return squares.clamp(max=_FAR**2).sqrt()


def _equalize(levels: Tensor) -> Tensor:
    """Histogram equalisation of `[b, 1, h, w]` whole numbers from 0 to 255: the lowest that is there becomes 0."""
    flat = levels.flatten(1).long()
    counts = torch.zeros(len(flat), 256, device=flat.device).scatter_add_(1, flat, torch.ones_like(flat).float())
    lowest = counts.gather(1, flat.amin(dim=1, keepdim=True))
    rest = (flat.shape[1] - lowest).clamp(min=1)
    table = ((counts.cumsum(dim=1) - lowest) * (255 / rest)).round()
    return table.gather(1, flat).view_as(levels)


def _box(images: Tensor) -> Tensor:
    return _correlate(images, torch.full((3, 3), 1 / 9))


def _correlate(images: Tensor, kernel: Tensor) -> Tensor:
    padded = functional.pad(images, (1, 1, 1, 1), mode="reflect")
    return functional.conv2d(padded, kernel.to(images.device)[None, None])
