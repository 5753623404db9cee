"""Composition: a foreground on another background."""

from __future__ import annotations

from jaxtyping import Float, UInt8
from torch import Tensor


def paste(
    foregrounds: Float[Tensor, "b c h w"] | UInt8[Tensor, "b c h w"],
    masks: Float[Tensor, "b 1 h w"] | UInt8[Tensor, "b 1 h w"],
    backgrounds: Float[Tensor, "b c h w"] | UInt8[Tensor, "b c h w"],
) -> Float[Tensor, "b c h w"] | UInt8[Tensor, "b c h w"]:
    """Lay each foreground over a background: `mask * foreground + (1 - mask) * background`.

    Args:
        foregrounds: images whose foregrounds are kept, float or uint8.
        masks: 1 (255 for uint8) where the foreground is, 0 where it is not, values between on soft edges.
        backgrounds: images that show wherever the mask is off, of the foregrounds' type.

    Returns:
        The composites, of the foregrounds' type; uint8 is rounded to the nearest value.

    Raises:
        ValueError: foregrounds and backgrounds differ in type or shape, or a mask in size.
    """
    if foregrounds.dtype != backgrounds.dtype or foregrounds.shape != backgrounds.shape:
        raise ValueError(
            f"foregrounds {tuple(foregrounds.shape)} {foregrounds.dtype} and backgrounds {tuple(backgrounds.shape)} "
            f"{backgrounds.dtype} must agree"
        )
    if masks.shape[-2:] != foregrounds.shape[-2:]:
        raise ValueError(f"masks {tuple(masks.shape)} must have the size of the images {tuple(foregrounds.shape)}")
    if foregrounds.is_floating_point():
        weights = masks / 255 if not masks.is_floating_point() else masks
        return (foregrounds - backgrounds).mul_(weights).add_(backgrounds)
    weights = masks.float() / 255 if not masks.is_floating_point() else masks
    blended = backgrounds.float() + weights * (foregrounds.float() - backgrounds.float())
    return blended.round().to(foregrounds.dtype)
