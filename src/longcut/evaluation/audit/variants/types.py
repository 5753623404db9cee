"""What variants are made of, and what a variant is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Which = Literal["same", "other"]


@dataclass(frozen=True)
class Donors:
    """For each image of a batch one that lends it a cue, cropped like the batch.

    Attributes:
        images: from 0 to 1, float32.
        masks: 1 on the foreground, values between on soft edges; None where there are none.
        backgrounds: the images with their foregrounds filled with background; None where there are none.
    """

    images: Float[Tensor, "b 3 h w"]
    masks: Float[Tensor, "b 1 h w"] | None = None
    backgrounds: Float[Tensor, "b 3 h w"] | None = None


@dataclass(frozen=True)
class Views:
    """A batch of images and all that their variants are made of, on one device. Nothing of it is changed.

    Attributes:
        images: from 0 to 1, float32.
        masks: as in `Donors`.
        backgrounds: as in `Donors`.
        same: lenders of each image's own class.
        other: lenders of another class.
        uniforms: in [0, 1), float64, at least `NUM_UNIFORMS` for each image: all randomness there is.
        mean: of the data set's pixels; what stands where something is taken away.
        std: of the data set's pixels.
    """

    images: Float[Tensor, "b 3 h w"]
    masks: Float[Tensor, "b 1 h w"] | None
    backgrounds: Float[Tensor, "b 3 h w"] | None
    same: Donors | None
    other: Donors | None
    uniforms: Float[Tensor, "b k"]
    mean: Float[Tensor, "3"]
    std: Float[Tensor, "3"]


Make = Callable[[Views], Float[Tensor, "b 3 h w"]]
Usable = Callable[[Views], Bool[Tensor, " b"]]
Neutral = Callable[[Views], Views]


@dataclass(frozen=True)
class Variant:
    """A change of every image.

    Attributes:
        name: unique.
        suite: that it belongs to.
        needs_masks: whether it cannot be made without masks.
        make: images from 0 to 1, float32, in the images' shape, without gradient. The same views give the same images.
        usable: the images whose variant says something. Others are made all the same, and belong in no effect.
    """

    name: str
    suite: str
    needs_masks: bool
    make: Make
    usable: Usable


@dataclass(frozen=True)
class Swap:
    """A cue that images can have from others.

    Attributes:
        cue: its name.
        same: name of the variant that has it from an image of the same class.
        other: name of the variant that has it from an image of another class.
        needs_masks: whether it cannot be made without masks.
        neutral: the same views with the cue alike in all of them, donors too: then `same` and `other` are alike.
        usable: the images that can be given the cue by both of their donors; others belong in neither score.
    """

    cue: str
    same: str
    other: str
    needs_masks: bool
    neutral: Neutral
    usable: Usable


def every_image(views: Views) -> Bool[Tensor, " b"]:
    """All images are usable."""
    return torch.ones(len(views.images), dtype=torch.bool, device=views.images.device)


def lent(views: Views, which: Which) -> Donors:
    """The donors of the same class or of another.

    Raises:
        ValueError: there are none.
    """
    donors = views.same if which == "same" else views.other
    if donors is None:
        raise ValueError(f"a swap needs donors and views.{which} is None: draw them first")
    return donors


def mask_of(views: Views | Donors) -> Float[Tensor, "b 1 h w"]:
    """The masks of images.

    Raises:
        ValueError: there are none.
    """
    if views.masks is None:
        raise ValueError(f"this variant is made with masks and {type(views).__name__}.masks is None: give masks")
    return views.masks


def background_of(views: Views | Donors) -> Float[Tensor, "b 3 h w"]:
    """The backgrounds of images.

    Raises:
        ValueError: there are none.
    """
    if views.backgrounds is None:
        name = type(views).__name__
        raise ValueError(f"this variant shows backgrounds and {name}.backgrounds is None: read composites")
    return views.backgrounds
