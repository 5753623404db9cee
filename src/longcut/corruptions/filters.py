"""Linear filters with the borders of the published corruptions, for a whole batch at once."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Border = Literal["edge", "symmetric", "mirror"]
"""Beyond the border: the last pixel again, reflected about the pixel's outer edge, reflected about its centre."""


def gaussian(images: Tensor, sigma: float, *, border: Border = "edge", truncate: float = 4.0) -> Tensor:
    """Gaussian filter of `[..., h, w]`, its standard deviation in pixels.

    It is two matrix products, whose matrices hold the borders too: exact at any sigma, and fast for wide filters.
    """
    height, width = images.shape[-2:]
    rows = gaussian_matrix(height, sigma, border=border, truncate=truncate).to(images.device)
    columns = gaussian_matrix(width, sigma, border=border, truncate=truncate).to(images.device)
    return rows @ images @ columns.T


def gaussian_matrix(size: int, sigma: float, *, border: Border, truncate: float) -> Tensor:
    """`[size, size]` matrix that filters a line of `size` pixels."""
    radius = int(truncate * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets.double() / sigma) ** 2) if radius else torch.ones(1, dtype=torch.float64)
    sources = fold(torch.arange(size)[:, None] + offsets, size, border)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    return matrix.scatter_add_(1, sources, (weights / weights.sum()).expand(size, -1)).float()


def fold(indices: Tensor, size: int, border: Border) -> Tensor:
    """The pixels that positions beyond a line of `size` pixels stand for."""
    if border == "edge":
        return indices.clamp(0, size - 1)
    period = 2 * size if border == "symmetric" else 2 * size - 2
    wrapped = indices % period
    return torch.minimum(wrapped, 2 * size - 1 - wrapped if border == "symmetric" else period - wrapped)


def correlate(images: Tensor, kernels: Tensor, *, border: Border) -> Tensor:
    """Correlate images with kernels of their own, through the Fourier transform.

    Args:
        images: `[b, c, h, w]`.
        kernels: `[b, k, k]`, or `[1, k, k]` for all, k odd.
        border: what is beyond the images.

    Returns:
        `[b, c, h, w]`: at (y, x) the sum of `kernel[u, v] * image[y + u - k // 2, x + v - k // 2]`.
    """
    height, width = images.shape[-2:]
    radius = kernels.shape[-1] // 2
    padded = _pad(images, radius, border)
    size = (_fast_length(height + 2 * radius), _fast_length(width + 2 * radius))
    spectrum = torch.fft.rfft2(padded, s=size) * torch.fft.rfft2(kernels, s=size).conj()[:, None]
    return torch.fft.irfft2(spectrum, s=size)[..., :height, :width]


def _pad(images: Tensor, radius: int, border: Border) -> Tensor:
    height, width = images.shape[-2:]
    rows = fold(torch.arange(-radius, height + radius), height, border).to(images.device)
    columns = fold(torch.arange(-radius, width + radius), width, border).to(images.device)
    return images.index_select(-2, rows).index_select(-1, columns)


def _fast_length(length: int) -> int:
    """The next length whose factors are 2, 3 and 5."""
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1


def scale_kernels(kernels: Tensor, scale: float) -> Tensor:
    """Kernels drawn for 224 pixels on the grid of a smaller or larger image; unchanged at scale 1.

    Each weight is shared by the pixels around its scaled place, so a radius need not be whole.

    Args:
        kernels: `[b, k, k]`, k odd.
        scale: the image's side over 224.

    Returns:
        `[b, l, l]`, l odd; each keeps its sum.
    """
    radius = kernels.shape[-1] // 2
    reach = max(scale, 1.0)
    target = math.ceil(radius * scale + reach - 1)
    places = torch.arange(-radius, radius + 1, device=kernels.device) * scale
    pixels = torch.arange(-target, target + 1, device=kernels.device)
    shares = (1 - (pixels[:, None] - places).abs() / reach).clamp(min=0)
    scaled = shares @ kernels @ shares.T
    return scaled * (kernels.sum(dim=(-2, -1), keepdim=True) / scaled.sum(dim=(-2, -1), keepdim=True))


def resize(layers: Tensor, height: int, width: int) -> Tensor:
    """Layers `[b, c, ., .]` at another size, without aliasing; unchanged at their own."""
    if layers.shape[-2:] == (height, width):
        return layers
    return functional.interpolate(layers, (height, width), mode="bilinear", antialias=True)
