"""Blurs: Gaussian, glass, defocus, motion and zoom."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from longcut.corruptions.draws import uniform
from longcut.corruptions.filters import correlate, gaussian, scale_kernels

_SIGMA = (1.0, 2.0, 3.0, 4.0, 6.0)
_GLASS = ((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2))
"""Standard deviation of the blur, reach of the shuffle, rounds."""
_DEFOCUS = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))
"""Radius of the disk, standard deviation of the blur that smooths its rim."""
_MOTION = ((10, 3.0), (15, 5.0), (15, 8.0), (15, 12.0), (20, 15.0))
"""Radius and standard deviation of the trail."""
_ZOOM = ((0.01, 12), (0.01, 16), (0.02, 11), (0.02, 13), (0.03, 11))
"""Step and number of the zoom factors, which start at 1."""
_DOUBLINGS = 6


def gaussian_blur(images: Tensor, severity: int, scale: float, _: torch.Generator | None) -> Tensor:
    """Gaussian blur."""
    return gaussian(images, _SIGMA[severity - 1] * scale)


def defocus_blur(images: Tensor, severity: int, scale: float, _: torch.Generator | None) -> Tensor:
    """Blur with a disk, as of a lens out of focus."""
    kernel = _disk(*_DEFOCUS[severity - 1]).to(images.device)
    return correlate(images, scale_kernels(kernel[None], scale), border="mirror")


def _disk(radius: int, rim: float) -> Tensor:
    """Disk on a square of at least 17 pixels, its rim smoothed by three or five pixels of a Gaussian.

    As published the square ends where the disk of severities 4 and 5 does, so smoothing changes its sum a little.
    """
    half, taps = (8, 1) if radius <= 8 else (radius, 2)
    squares = torch.arange(-half, half + 1) ** 2
    disk = (squares[:, None] + squares <= radius**2).float()
    weights = torch.exp(-0.5 * (torch.arange(-taps, taps + 1) / rim) ** 2)
    smooth = torch.outer(weights, weights) / weights.sum() ** 2
    padded = functional.pad((disk / disk.sum())[None, None], (taps,) * 4, mode="reflect")
    return functional.conv2d(padded, smooth[None, None])[0, 0]


def motion_blur(images: Tensor, severity: int, scale: float, generator: torch.Generator | None) -> Tensor:
    """Blur along a line of at most 45 degrees, drawn for each image."""
    angles = uniform((len(images),), -45.0, 45.0, device=images.device, generator=generator)
    return correlate(images, scale_kernels(trails(angles, *_MOTION[severity - 1]), scale), border="edge")


def trails(angles: Tensor, radius: int, sigma: float) -> Tensor:
    """Kernels of a camera's motion: half a Gaussian of `2 * radius + 1` whole-pixel steps to one side.

    Args:
        angles: `[b]` in degrees.
        radius: half the number of steps.
        sigma: standard deviation in steps.

    Returns:
        `[b, k, k]`, k = 4 * radius + 1, each with sum 1.
    """
    steps = torch.arange(2 * radius + 1, device=angles.device)
    weights = torch.exp(-0.5 * (steps / sigma) ** 2)
    directions = torch.stack([angles.deg2rad().sin(), angles.deg2rad().cos()])
    rows, columns = torch.ceil(directions[..., None] * steps - 0.5).long() + 2 * radius
    side = 4 * radius + 1
    kernels = torch.zeros(len(angles), side * side, device=angles.device)
    kernels.scatter_add_(1, rows * side + columns, (weights / weights.sum()).expand(len(angles), -1))
    return kernels.view(-1, side, side)


def zoom_blur(images: Tensor, severity: int, _: float, __: torch.Generator | None) -> Tensor:
    """Mean of the image and its enlargements about the centre; factors, so the same at every image size."""
    step, count = _ZOOM[severity - 1]
    total = 2 * images  # the factor 1 is one of them
    for number in range(1, count):
        total = total + zoom(images, 1 + number * step)
    return total / (count + 1)


def zoom(images: Tensor, factor: float) -> Tensor:
    """Enlarge the centre of `[b, c, h, w]`, corners on corners, and keep the size."""
    height, width = images.shape[-2:]
    inner = math.ceil(height / factor), math.ceil(width / factor)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    outer = round(inner[0] * factor), round(inner[1] * factor)
    large = functional.interpolate(
        images[..., top : top + inner[0], left : left + inner[1]], outer, mode="bilinear", align_corners=True
    )
    top, left = (outer[0] - height) // 2, (outer[1] - width) // 2
    return large[..., top : top + height, left : left + width]


def glass_blur(images: Tensor, severity: int, scale: float, generator: torch.Generator | None) -> Tensor:
    """Pixels take the colour of near ones, between two Gaussian blurs.

    The published loops visit the pixels one after the other from the last to the first. What is meant as a swap there
    is a copy (both names are views of one array), and so it is here: a pixel takes the colour of a drawn neighbour,
    which is a new colour where the neighbour was visited before.
    """
    sigma, reach, rounds = _GLASS[severity - 1]
    shuffled = torch.floor(gaussian(images, sigma * scale) * 255 + 1e-3) / 255
    margin = math.ceil(reach * scale)
    for _ in range(rounds):
        sources = shuffle(_offsets(images, reach, scale, generator), margin)
        shuffled = shuffled.flatten(2).gather(2, sources[:, None].expand(-1, 3, -1)).view_as(images)
    return gaussian(shuffled, sigma * scale)


def _offsets(images: Tensor, reach: int, scale: float, generator: torch.Generator | None) -> Tensor:
    """Steps down and to the right, `[b, 2, h, w]`: whole numbers from -reach to reach - 1, scaled, rounded by lot."""
    shape, device = (len(images), 2, *images.shape[-2:]), images.device
    offsets = uniform(shape, -reach, reach, device=device, generator=generator).floor()
    if scale != 1:
        offsets = (offsets * scale + uniform(shape, 0.0, 1.0, device=device, generator=generator)).floor()
    return offsets.long()


def shuffle(offsets: Tensor, margin: int) -> Tensor:
    """Where each pixel's colour comes from when pixels, from the last to the first, copy a neighbour's.

    Each pixel points at its neighbour: at the neighbour's new colour where that was visited before, else at its old
    one. Following six times the pointer of the pointer reaches the old colour that up to 64 steps lead to; each step
    goes on with a probability below one half.

    Args:
        offsets: `[b, 2, h, w]` steps down and to the right.
        margin: the first pixels `0..margin` and the last `margin - 1` of each line are not visited.

    Returns:
        `[b, h * w]` places in the image before the shuffle.
    """
    height, width = offsets.shape[-2:]
    rows, columns = (torch.arange(size, device=offsets.device) for size in (height, width))
    inner_rows, inner_columns = ((line > margin) & (line <= len(line) - margin) for line in (rows, columns))
    visited = inner_rows[:, None] & inner_columns
    down, right = (offsets * visited).unbind(1)
    to_rows = (rows[:, None] + down).clamp(max=height - 1)
    neighbours = (to_rows * width + (columns + right).clamp(max=width - 1)).flatten(1)
    places = torch.arange(height * width, device=offsets.device)
    is_new = visited.flatten()[neighbours] & (neighbours > places)
    old = places.expand(len(offsets), -1) + height * width
    pointers = torch.cat([torch.where(is_new, neighbours, neighbours + height * width), old], dim=1)
    for _ in range(_DOUBLINGS):
        pointers = pointers.gather(1, pointers)
    return pointers[:, : height * width] - height * width
