"""Colours without anything else: statistics of channels moved from image to image, and images without colour.

Reinhard et al., "Color transfer between images" (IEEE Computer Graphics and Applications 2001), in RGB rather than lαβ,
so that the swapped statistics are those that a network's first layer sees.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from longcut.evaluation.audit.variants.regions import as_colour, has_foreground, lay, move, statistics
from longcut.evaluation.audit.variants.types import Donors, Views, Which, every_image, lent

_LUMA = (0.299, 0.587, 0.114)
_Part = TypeVar("_Part", Views, Donors)


def swap_colour(views: Views, which: Which) -> Float[Tensor, "b 3 h w"]:
    """Each foreground with its donor's foreground's mean and standard deviation; the whole image without masks.

    An image whose donor has no foreground stays as it is.
    """
    donors = lent(views, which)
    moved = move(views.images, statistics(views.images, views.masks), statistics(donors.images, donors.masks))
    if views.masks is None or donors.masks is None:
        return moved
    return lay(moved, views.masks * has_foreground(donors.masks)[:, None, None, None], views.images)


def alike_colours(views: Views) -> Views:
    """Every foreground with the data set's mean and standard deviation, but for what is clipped."""
    same, other = (None if part is None else _plain(part, views) for part in (views.same, views.other))
    return replace(_plain(views, views), same=same, other=other)


def usable_colours(views: Views) -> Bool[Tensor, " b"]:
    """The images that have a foreground, as their donors have; every image without masks."""
    usable = every_image(views)
    for part in (views, views.same, views.other):
        if part is not None and part.masks is not None:
            usable = usable & has_foreground(part.masks)
    return usable


def greyscale(views: Views) -> Float[Tensor, "b 3 h w"]:
    """Each image's luma (ITU-R BT.601) in all channels."""
    weights = views.images.new_tensor(_LUMA)
    luma = torch.einsum("bchw,c->bhw", views.images, weights)[:, None]
    return luma.expand_as(views.images).clamp(0, 1)


def _plain(part: _Part, views: Views) -> _Part:
    wanted = as_colour(views.mean, part.images), as_colour(views.std, part.images)
    moved = move(part.images, statistics(part.images, part.masks), wanted)
    return replace(part, images=moved if part.masks is None else lay(moved, part.masks, part.images))
