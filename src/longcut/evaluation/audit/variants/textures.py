"""The texture of a foreground: another one's inside its own outline, with its own colours."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from longcut.evaluation.audit.variants.regions import has_foreground, integral_image, lay, move, statistics, take_pixels
from longcut.evaluation.audit.variants.types import Donors, Views, Which, lent, mask_of

_DIVISORS = (2, 3, 4, 6, 8, 16)
"""Sides of patches that are tried: the image's shorter side over these."""
_LEAST_SIDE = 4
_ON = 0.5
_PLACES = 64
"""Along a side, about so many places are tried: a larger image's are some pixels apart."""
_Part = TypeVar("_Part", Views, Donors)


class Patches(NamedTuple):
    """For each image and each of the sides that are tried, largest first, the square nearest to the mask's centre.

    `fits` says whether the mask has room for such a square; `tops` and `lefts` are its corner.
    """

    fits: Bool[Tensor, "b k"]
    tops: Int[Tensor, "b k"]
    lefts: Int[Tensor, "b k"]


def swap_texture(views: Views, which: Which) -> Float[Tensor, "b 3 h w"]:
    """Each foreground's pixels replaced by a tiling of a square patch from inside its donor's foreground.

    The patch is the largest that fits both donors of the image, so that the two tilings differ in what they show and
    not in their period. It is repeated mirrored, so that the tiling has no seams, and gets the own foreground's mean
    and standard deviation in each channel, so that colours stay. An image stays as it is where a donor has no room for
    any patch.
    """
    masks, donors, sides = mask_of(views), lent(views, which), patch_sides(*views.images.shape[2:])
    patches, fits = _patches(views)
    choice = fits.int().argmax(dim=1, keepdim=True)
    side = torch.tensor(sides, device=fits.device)[choice]
    top, left = (places.gather(1, choice) for places in (patches[which].tops, patches[which].lefts))
    tiles = tile_mirrored(donors.images, top, left, side)
    tiles = move(tiles, statistics(tiles, masks), statistics(views.images, masks))
    shown = masks * fits.any(dim=1)[:, None, None, None]
    return lay(tiles, shown, views.images)


def alike_textures(views: Views) -> Views:
    """Every foreground flat in its own mean colour."""
    same, other = (None if part is None else _flat(part) for part in (views.same, views.other))
    return replace(_flat(views), same=same, other=other)


def usable_textures(views: Views) -> Bool[Tensor, " b"]:
    """The images that have a foreground, and whose donors' foregrounds have room for a patch."""
    return has_foreground(mask_of(views)) & _patches(views)[1].any(dim=1)


def patch_sides(height: int, width: int) -> tuple[int, ...]:
    """The sides of patches that are tried on images of this size, largest first, none below 4 pixels."""
    shorter = min(height, width)
    sides = dict.fromkeys(shorter // n for n in _DIVISORS if shorter // n >= _LEAST_SIDE)
    return tuple(sides) or (max(1, shorter // 2),)


def find_patches(masks: Float[Tensor, "b 1 h w"], sides: tuple[int, ...]) -> Patches:
    """Squares that lie wholly inside masks, where these are at least one half.

    Args:
        masks: 1 on the foreground.
        sides: of the squares, pixels.
    """
    inside = masks[:, 0] >= _ON
    sums = integral_image(inside)
    centre = _centre(sums[:, :, -1].diff(dim=1)), _centre(sums[:, -1].diff(dim=1))
    found = [_nearest(sums, centre, side) for side in sides]
    fits, tops, lefts = (torch.stack(column, dim=1) for column in zip(*found, strict=True))
    return Patches(fits, tops, lefts)


def tile_mirrored(
    images: Float[Tensor, "b 3 h w"], tops: Int[Tensor, "b 1"], lefts: Int[Tensor, "b 1"], sides: Int[Tensor, "b 1"]
) -> Float[Tensor, "b 3 h w"]:
    """Squares of images repeated over the whole frame from its upper left corner, every other one mirrored."""
    rows, columns = (
        start + _mirrored(torch.arange(length, device=images.device), sides)
        for start, length in zip((tops, lefts), images.shape[2:], strict=True)
    )
    return take_pixels(images, rows[:, :, None] * images.shape[3] + columns[:, None])


def _mirrored(places: Int[Tensor, " l"], sides: Int[Tensor, "b 1"]) -> Int[Tensor, "b l"]:
    there = places % (2 * sides)
    return torch.minimum(there, 2 * sides - 1 - there)


def _patches(views: Views) -> tuple[dict[Which, Patches], Bool[Tensor, "b k"]]:
    """Patches of an image's donors, and for which sides all of them have room."""
    sides = patch_sides(*views.images.shape[2:])
    donors: dict[Which, Donors | None] = {"same": views.same, "other": views.other}
    patches = {which: find_patches(mask_of(part), sides) for which, part in donors.items() if part is not None}
    return patches, torch.stack([found.fits for found in patches.values()]).all(dim=0)


def _centre(counts: Int[Tensor, "b l"]) -> Int[Tensor, " b"]:
    """The mean place of a mask's pixels along an axis, rounded in whole numbers: the same on every device."""
    places = torch.arange(counts.shape[1], device=counts.device)
    total = counts.sum(dim=1).clamp(min=1)
    return (2 * (counts * places).sum(dim=1) + total) // (2 * total)


def _nearest(
    sums: Int[Tensor, "b y x"], centre: tuple[Int[Tensor, " b"], Int[Tensor, " b"]], side: int
) -> tuple[Bool[Tensor, " b"], Int[Tensor, " b"], Int[Tensor, " b"]]:
    """Of the squares of a side inside the mask, the first of those nearest to its centre."""
    height, width = sums.shape[1] - 1, sums.shape[2] - 1
    step = max(1, min(height, width) // _PLACES)
    starts, ends = slice(None, -side, step), slice(side, None, step)
    area = sums[:, ends, ends] - sums[:, starts, ends] - sums[:, ends, starts] + sums[:, starts, starts]
    rows, columns = (
        torch.arange(0, length - side + 1, step, device=sums.device) + (side - 1) // 2 for length in (height, width)
    )
    distance = (rows - centre[0][:, None]).square()[:, :, None] + (columns - centre[1][:, None]).square()[:, None]
    far = height**2 + width**2
    nearest, place = distance.masked_fill(area < side**2, far).flatten(1).min(dim=1)
    return nearest < far, place // len(columns) * step, place % len(columns) * step


def _flat(part: _Part) -> _Part:
    masks = mask_of(part)
    mean, _ = statistics(part.images, masks)
    return replace(part, images=lay(mean.expand_as(part.images).clone(), masks, part.images))
