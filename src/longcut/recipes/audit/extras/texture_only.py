"""Texture alone: patches of the foreground, in places that say nothing of its shape."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.evaluation.audit.effects import alone_effect
from longcut.evaluation.audit.result import Effect, NotRun
from longcut.evaluation.audit.variants.regions import integral_image, take_pixels
from longcut.recipes.audit.effects import Scored
from longcut.recipes.audit.extras.names import EXTRA_EFFECTS
from longcut.recipes.audit.preparing import Prepared
from longcut.recipes.audit.scores import Changed, Indices, Scorer

_PARTS = 8
_ON = 0.5
_EPOCH = 1  # draws apart from those of the core's variants


def texture_effect(prepared: Prepared, scorer: Scorer, scored: Scored, seed: int) -> Effect | NotRun:
    """Score above chance that the texture of the foreground alone keeps.

    Args:
        prepared: what the audit works on.
        scorer: that ran the core's passes.
        scored: what counts as right.
        seed: of the patches' places.
    """
    about, reader = EXTRA_EFFECTS["textures"], prepared.reader

    def change(indices: Indices) -> Changed:
        images, masks = reader.images(indices), reader.masks(indices)
        count = num_patches(*images.shape[2:])
        uniforms = keyed_uniforms(seed, _EPOCH, indices, Stream.VIEW, count)
        made, usable = texture_only(images, masks, torch.from_numpy(uniforms).to(images.device))
        return Changed({"textures": lambda: made}, {"textures": usable})

    found = scorer.run("textures", change, scored.reference)
    usable = found.usable["textures"]
    if not usable.any():
        return NotRun(about.suite, "no image has a foreground with room for a patch: masks are needed")
    return alone_effect(about, found.scores["textures"], scored.reference, unit=scored.unit, usable=usable)


def num_patches(height: int, width: int) -> int:
    """How many patches cover an image."""
    side = _side(height, width)
    return -(-height // side) * -(-width // side)


def texture_only(
    images: Float[Tensor, "b 3 h w"], masks: Float[Tensor, "b 1 h w"], uniforms: Float[Tensor, "b k"]
) -> tuple[Float[Tensor, "b 3 h w"], Bool[Tensor, " b"]]:
    """Cover each image with square patches, an eighth of its side, from random places that lie wholly in its mask.

    Args:
        images: from 0 to 1.
        masks: 1 on the foreground; a pixel is in it from one half on.
        uniforms: in [0, 1), float64, `num_patches` for each image: all randomness there is.

    Returns:
        The images, and which have room for a patch; others are made of what is outside their mask.

    Source:
        Ge et al., "Robust contrastive learning using negative samples with diminished semantics" (NeurIPS 2021),
        section 2.3, whose patches come from all of the image and are of several sizes.
    """
    height, width = images.shape[2:]
    side = _side(height, width)
    rooms, columns = _rooms(masks, side), width - side + 1
    ranks = rooms.flatten(1).cumsum(1)
    # The n-th place with room is the first one up to which there are n.
    wanted = (uniforms * ranks[:, -1:]).long() + 1
    corners = torch.searchsorted(ranks, wanted).clamp(max=ranks.shape[1] - 1)
    starts = corners // columns * width + corners % columns
    y, x = (torch.arange(length, device=images.device) for length in (height, width))
    cells = (y // side * -(-width // side))[:, None] + x // side
    within = (y % side * width)[:, None] + x % side
    return take_pixels(images, starts[:, cells] + within), rooms.flatten(1).any(dim=1)


def _side(height: int, width: int) -> int:
    return max(1, min(height, width) // _PARTS)


def _rooms(masks: Float[Tensor, "b 1 h w"], side: int) -> Bool[Tensor, "b y x"]:
    """Where the upper left corner of a square inside the mask can be."""
    inside = masks[:, 0] >= _ON
    sums = integral_image(inside)
    sums = sums[:, side:] - sums[:, :-side]
    return sums[:, :, side:] - sums[:, :, :-side] == side**2
