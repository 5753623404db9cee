"""Shares and colour statistics of the part of an image that a mask shows."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

LEAST_SHARE = 0.01
"""A foreground, or a background, on less of the image than this carries no cue."""
_LEVEL = 1 / 255
"""One level of an 8-bit image: what varies less is as good as flat."""


def has_foreground(masks: Float[Tensor, "b 1 h w"]) -> Bool[Tensor, " b"]:
    """The images whose foreground is at least 1 % of them."""
    return masks.mean(dim=(1, 2, 3)) >= LEAST_SHARE


def has_background(masks: Float[Tensor, "b 1 h w"]) -> Bool[Tensor, " b"]:
    """The images whose background is at least 1 % of them."""
    return masks.mean(dim=(1, 2, 3)) <= 1 - LEAST_SHARE


def as_colour(values: Float[Tensor, "3"] | Float[Tensor, "b 3"], images: Tensor) -> Float[Tensor, "b 3 1 1"]:
    """One colour for all images, or one for each, to be broadcast over pixels."""
    return values.to(images).expand(len(images), 3)[:, :, None, None]


def statistics(
    images: Float[Tensor, "b 3 h w"], masks: Float[Tensor, "b 1 h w"] | None
) -> tuple[Float[Tensor, "b 3 1 1"], Float[Tensor, "b 3 1 1"]]:
    """Mean and standard deviation of each channel, weighted by the mask; of the whole image without one.

    An empty mask gives zeros.
    """
    # Pixel by pixel, as images lie in memory that were read from files; both sums are then products of matrices.
    pixels = images.permute(0, 2, 3, 1).flatten(1, 2)
    weights = pixels.new_ones(len(images), 1, pixels.shape[1]) if masks is None else masks.flatten(2)
    weights = weights / weights.sum(dim=2, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
    mean = weights @ pixels
    variance = weights @ (pixels - mean).square_()
    return mean.mT[..., None], variance.sqrt().mT[..., None]


def move(
    images: Float[Tensor, "b 3 h w"],
    found: tuple[Float[Tensor, "b 3 1 1"], Float[Tensor, "b 3 1 1"]],
    wanted: tuple[Float[Tensor, "b 3 1 1"], Float[Tensor, "b 3 1 1"]],
) -> Float[Tensor, "b 3 h w"]:
    """Images with each channel's mean and standard deviation moved, clipped to [0, 1].

    Deviations below one level of 256 count as one, in both: what is flat stays flat rather than become noise.

    Args:
        images: to be moved.
        found: their mean and standard deviation.
        wanted: those that they get.
    """
    gain = wanted[1].clamp(min=_LEVEL) / found[1].clamp(min=_LEVEL)
    return torch.addcmul(wanted[0] - found[0] * gain, images, gain).clamp_(0, 1)


def lay(
    changed: Float[Tensor, "b 3 h w"], masks: Float[Tensor, "b 1 h w"], images: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, "b 3 h w"]:
    """What `longcut.negatives.paste` gives, clipped to [0, 1], in the memory of `changed`: at a third of its cost."""
    return changed.sub_(images).mul_(masks).add_(images).clamp_(0, 1)


def integral_image(inside: Bool[Tensor, "b h w"]) -> Int[Tensor, "b h+1 w+1"]:
    """How many pixels are set above and left of each corner: any window's sum is that of four entries.

    Source:
        Crow, "Summed-area tables for texture mapping" (SIGGRAPH 1984).
    """
    return functional.pad(inside.cumsum(2, dtype=torch.int32).cumsum(1, dtype=torch.int32), (1, 0, 1, 0))


def take_pixels(images: Float[Tensor, "b 3 h w"], places: Int[Tensor, "b h w"]) -> Float[Tensor, "b 3 h w"]:
    """Images made of their own pixels, each taken from a place `y * w + x`."""
    b, _, height, width = images.shape
    first = torch.arange(0, b * height * width, height * width, device=images.device)[:, None, None]
    pixels = images.permute(0, 2, 3, 1).reshape(-1, 3).index_select(0, (first + places).flatten())
    return pixels.view(b, height, width, 3).permute(0, 3, 1, 2)
