"""Brightness, contrast, saturation, pixels, JPEG and elastic deformation."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from longcut.corruptions.draws import uniform
from longcut.corruptions.filters import gaussian

_BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)
_CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)
_SATURATE = ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2))
"""Factor and summand of the saturation."""
_PIXELATE = (0.6, 0.5, 0.4, 0.3, 0.25)
_QUALITY = (25, 18, 15, 10, 7)
_ELASTIC = (
    (244 * 2.0, 244 * 0.7, 244 * 0.1),
    (244 * 2.0, 244 * 0.08, 244 * 0.2),
    (244 * 0.05, 244 * 0.01, 244 * 0.02),
    (244 * 0.07, 244 * 0.01, 244 * 0.02),
    (244 * 0.12, 244 * 0.01, 244 * 0.02),
)
"""Strength and standard deviation of the displacements, reach of the affine map, in pixels; 244 as published."""


def brightness(images: Tensor, severity: int, _: float, __: torch.Generator | None) -> Tensor:
    """Raise the value of hue, saturation and value: all channels by one factor."""
    value = images.amax(dim=1, keepdim=True)
    raised = (value + _BRIGHTNESS[severity - 1]).clamp(max=1)
    return torch.where(value > 0, images * (raised / value.clamp(min=1e-6)), raised)


def contrast(images: Tensor, severity: int, _: float, __: torch.Generator | None) -> Tensor:
    """Draw each channel towards its mean."""
    means = images.mean(dim=(2, 3), keepdim=True)
    return means + _CONTRAST[severity - 1] * (images - means)


def saturate(images: Tensor, severity: int, _: float, __: torch.Generator | None) -> Tensor:
    """Change the saturation of hue, saturation and value: each channel's distance from the largest by one factor.

    A grey pixel has the hue 0, which is red, as published: it turns reddish where the summand is not 0.
    """
    factor, summand = _SATURATE[severity - 1]
    value = images.amax(dim=1, keepdim=True)
    distances = value - images
    saturation = distances.amax(dim=1, keepdim=True) / value.clamp(min=1e-6)
    changed = (saturation * factor + summand).clamp(max=1)
    red = value * changed * torch.tensor([0.0, 1.0, 1.0], device=images.device).view(1, 3, 1, 1)
    return value - torch.where(saturation > 0, distances * (changed / saturation.clamp(min=1e-6)), red)


def pixelate(images: Tensor, severity: int, _: float, __: torch.Generator | None) -> Tensor:
    """Fewer pixels by a factor, each the mean of those it stands for; the same factor at every image size."""
    height, width = images.shape[-2:]
    rows, columns = (_boxes(size, int(size * _PIXELATE[severity - 1])).to(images.device) for size in (height, width))
    levels = _round(rows @ _round(images * 255 @ columns.T)) / 255
    return functional.interpolate(levels, (height, width), mode="nearest-exact")


def _round(levels: Tensor) -> Tensor:
    """To the nearest whole level, halves up, as eight-bit resizing does after the columns and after the rows."""
    return (levels + 0.5 + 1e-3).floor()


def _boxes(size: int, count: int) -> Tensor:
    """`[count, size]` means over the whole pixels whose centres lie in each of `count` equal parts of a line."""
    position = (torch.arange(size) + 0.5) * count / size - torch.arange(count)[:, None]
    inside = ((position > 0) & (position <= 1)).float()
    return inside / inside.sum(dim=1, keepdim=True)


def jpeg_compression(images: Tensor, severity: int, _: float, __: torch.Generator | None) -> Tensor:
    """Compress each image; libjpeg does it on the CPU, wherever the images are."""
    levels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    decoded = torch.from_numpy(np.stack([_compressed(image, _QUALITY[severity - 1]) for image in levels]))
    return decoded.to(images.device).permute(0, 3, 1, 2).float() / 255


def _compressed(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def elastic_transform(images: Tensor, severity: int, scale: float, generator: torch.Generator | None) -> Tensor:
    """A random affine map, then random displacements that a Gaussian filter has smoothed.

    Severities 1 and 2 are large smooth deformations, 3 to 5 small rough ones: the distance to the clean image, pixel
    by pixel, does not rise with them.
    """
    strength, sigma, reach = _ELASTIC[severity - 1]
    moved = _affine(images, reach * scale, generator)
    batch, _, height, width = images.shape
    draws = uniform((batch, 2, height, width), -1.0, 1.0, device=images.device, generator=generator)
    # filtering lowers the displacements in proportion to its width: at a scale they shrink with its square
    shifts = strength * scale**2 * gaussian(draws, sigma * scale, border="symmetric", truncate=3.0)
    places = (_pixels(height, width, images.device) + shifts.movedim(1, -1)) * 2 + 1
    grid = places / torch.tensor([width, height], device=images.device) - 1
    return functional.grid_sample(moved, grid, padding_mode="reflection", align_corners=False)


def _affine(images: Tensor, reach: float, generator: torch.Generator | None) -> Tensor:
    """Move three corners of a square in the middle by up to `reach` pixels and the rest of the image with them."""
    height, width = images.shape[-2:]
    device = images.device
    side = min(height, width) // 3
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]], device=device)
    corners = torch.tensor([width // 2, height // 2], device=device) + side * signs
    moved = corners + uniform((len(images), 3, 2), -reach, reach, device=device, generator=generator)
    to_source = torch.linalg.solve(functional.pad(moved, (0, 1), value=1.0), corners.expand_as(moved))
    pixels = functional.pad(_pixels(height, width, device), (0, 1), value=1.0)
    grid = (pixels.flatten(0, 1) @ to_source).view(-1, height, width, 2)
    grid = 2 * grid / torch.tensor([width - 1, height - 1], device=device) - 1
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=True)


def _pixels(height: int, width: int, device: torch.device) -> Tensor:
    """`[h, w, 2]`: x and y of each pixel."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y], dim=-1).to(device).float()
