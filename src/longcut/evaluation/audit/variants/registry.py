"""The variants and the swaps, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from longcut.evaluation.audit.variants.backgrounds import (
    alike_backgrounds,
    only_background,
    only_foreground,
    swap_background,
    usable_backgrounds,
)
from longcut.evaluation.audit.variants.borders import alike_borders, swap_border
from longcut.evaluation.audit.variants.colours import alike_colours, greyscale, swap_colour, usable_colours
from longcut.evaluation.audit.variants.frequencies import high_pass, low_pass
from longcut.evaluation.audit.variants.grids import shuffle_patches
from longcut.evaluation.audit.variants.textures import alike_textures, swap_texture, usable_textures
from longcut.evaluation.audit.variants.types import Make, Neutral, Swap, Usable, Variant, Views, Which, every_image

T = TypeVar("T")
_GRIDS = (2, 4, 8)
NUM_UNIFORMS = max(_GRIDS) ** 2
"""How many uniforms each image needs."""


def _plainly(function: Callable[[Views], T]) -> Callable[[Views], T]:
    """Without gradient, and in float32 whatever a model computes in."""

    def plain(views: Views) -> T:
        with torch.no_grad(), torch.autocast(views.images.device.type, enabled=False):
            return function(views)

    return plain


def _variant(name: str, suite: str, make: Make, usable: Usable = every_image, *, needs_masks: bool = False) -> Variant:
    return Variant(name, suite, needs_masks, _plainly(make), _plainly(usable))


def _swapped(
    cue: str, make: Callable[[Views, Which], Tensor], usable: Usable, *, needs_masks: bool
) -> tuple[Variant, Variant]:
    same = _variant(f"{cue}_same", cue, lambda views: make(views, "same"), usable, needs_masks=needs_masks)
    other = _variant(f"{cue}_other", cue, lambda views: make(views, "other"), usable, needs_masks=needs_masks)
    return same, other


def _swap(cue: str, neutral: Neutral) -> Swap:
    same, other = VARIANTS[f"{cue}_same"], VARIANTS[f"{cue}_other"]
    return Swap(cue, same.name, other.name, same.needs_masks, _plainly(neutral), same.usable)


VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        *_swapped("background", swap_background, usable_backgrounds, needs_masks=True),
        _variant("only_foreground", "background", only_foreground, usable_backgrounds, needs_masks=True),
        _variant("only_background", "background", only_background, usable_backgrounds, needs_masks=True),
        *_swapped("border", swap_border, every_image, needs_masks=False),
        *_swapped("colour", swap_colour, usable_colours, needs_masks=False),
        *_swapped("texture", swap_texture, usable_textures, needs_masks=True),
        *(_variant(f"shuffle_{grid}", "patches", partial(shuffle_patches, grid=grid)) for grid in _GRIDS),
        _variant("greyscale", "colour", greyscale),
        _variant("low_pass", "frequency", low_pass),
        _variant("high_pass", "frequency", high_pass),
    )
}
SWAPS: dict[str, Swap] = {
    cue: _swap(cue, neutral)
    for cue, neutral in (
        ("background", alike_backgrounds),
        ("border", alike_borders),
        ("colour", alike_colours),
        ("texture", alike_textures),
    )
}
