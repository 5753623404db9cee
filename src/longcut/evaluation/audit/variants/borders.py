"""The outermost frame of an image: where watermarks, letterboxes and scanners leave their marks."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from longcut.evaluation.audit.variants.regions import as_colour
from longcut.evaluation.audit.variants.types import Donors, Views, Which, lent

_PARTS = 16
_Part = TypeVar("_Part", Views, Donors)


def frame_width(height: int, width: int) -> int:
    """A sixteenth of the shorter side, at least a pixel."""
    return max(1, min(height, width) // _PARTS)


def swap_border(views: Views, which: Which) -> Float[Tensor, "b 3 h w"]:
    """Each image in its donor's frame."""
    return _framed(views.images, lent(views, which).images)


def alike_borders(views: Views) -> Views:
    """The data set's mean colour in the frame of every image and background; no foreground reaches into it."""
    same, other = (None if part is None else _plain(part, views.mean) for part in (views.same, views.other))
    return replace(_plain(views, views.mean), same=same, other=other)


def _plain(part: _Part, colour: Float[Tensor, "3"]) -> _Part:
    frame = as_colour(colour, part.images).expand_as(part.images)
    return replace(
        part,
        images=_framed(part.images, frame),
        # Else a later change of the foreground would write into the frame again.
        masks=None if part.masks is None else _framed(part.masks, torch.zeros_like(part.masks)),
        backgrounds=None if part.backgrounds is None else _framed(part.backgrounds, frame),
    )


def _framed(inner: Float[Tensor, "b c h w"], frame: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    edge, framed = frame_width(*inner.shape[2:]), inner.clone()
    for side in (slice(None, edge), slice(-edge, None)):
        framed[:, :, side] = frame[:, :, side]
        framed[:, :, :, side] = frame[:, :, :, side]
    return framed
