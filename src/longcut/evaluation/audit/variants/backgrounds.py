"""Foregrounds on other backgrounds, and each of the two alone.

Xiao, Engstrom, Ilyas and Madry, "Noise or signal: the role of image backgrounds in object recognition" (ICLR 2021):
`mixed_same` and `mixed_rand`, only foreground and only background. The authors' foregrounds alone are on black, a
colour that a data set may not have; here they are on its mean.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from jaxtyping import Bool, Float
from torch import Tensor

from longcut.evaluation.audit.variants.regions import as_colour, has_background, has_foreground
from longcut.evaluation.audit.variants.types import Donors, Views, Which, background_of, lent, mask_of
from longcut.negatives import paste

_Part = TypeVar("_Part", Views, Donors)


def swap_background(views: Views, which: Which) -> Float[Tensor, "b 3 h w"]:
    """Each foreground on its donor's background."""
    return paste(views.images, mask_of(views), background_of(lent(views, which))).clamp_(0, 1)


def only_foreground(views: Views) -> Float[Tensor, "b 3 h w"]:
    """Each foreground on the data set's mean colour."""
    return _on_colour(views, views.mean)


def only_background(views: Views) -> Float[Tensor, "b 3 h w"]:
    """Each background with its foreground filled."""
    return background_of(views).clone()


def alike_backgrounds(views: Views) -> Views:
    """The data set's mean colour outside all foregrounds, and as every background."""

    same, other = (None if part is None else _plain(part, views.mean) for part in (views.same, views.other))
    return replace(_plain(views, views.mean), same=same, other=other)


def usable_backgrounds(views: Views) -> Bool[Tensor, " b"]:
    """The images that have both a foreground and a background."""
    masks = mask_of(views)
    return has_foreground(masks) & has_background(masks)


def _plain(part: _Part, colour: Float[Tensor, "3"]) -> _Part:
    images = _on_colour(part, colour)
    flat = as_colour(colour, images).expand_as(images).contiguous()
    return replace(part, images=images, backgrounds=None if part.backgrounds is None else flat)


def _on_colour(part: Views | Donors, colour: Float[Tensor, "3"]) -> Float[Tensor, "b 3 h w"]:
    return paste(part.images, mask_of(part), as_colour(colour, part.images).expand_as(part.images)).clamp_(0, 1)
