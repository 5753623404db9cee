"""Which images discovery measures, and what it needs of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longcut.data.image_set import ImageSet, images_of, in_split, read_images, read_samples, split_names
from longcut.recipes.discovery.reading import Say

_TRAIN = "train"


@dataclass(frozen=True)
class ImagesToDiscover:
    """Images, and which of them cues are measured on."""

    images: ImageSet
    measured: NDArray[np.bool_]
    splits: Mapping[str, str]
    """Split of each path."""


def read_set(
    root: Path, split: str | None = None, *, masks: Path | None = None, limit: int | None = None
) -> ImagesToDiscover:
    """Read a set of images: the cues of its training split are measured, where it has one and none is named.

    Args:
        root: a folder or a CSV, as `read_images` takes it.
        split: the only one to read.
        masks: tree of masks that mirrors the images'.
        limit: at most so many images, as many of each class as of the others, and none that is not measured.

    Raises:
        ValueError: there are no images, or fewer are wanted than there are classes.
    """
    if split is not None:
        images = read_images(root, split)
        splits, measured = dict.fromkeys(images.paths, split), np.ones(len(images), bool)
    else:
        samples = read_samples(root)
        images, splits = images_of(samples), dict(zip(samples.paths, samples.splits.tolist(), strict=True))
        measured = in_split(samples, _TRAIN) if _TRAIN in split_names(samples) else np.ones(len(images), bool)
    images = images if masks is None else images.with_masks(masks)
    if limit is not None:
        images = _limited(images.select(measured), limit)
        measured = np.ones(len(images), bool)
    return ImagesToDiscover(images, measured, splits)


def _limited(images: ImageSet, limit: int) -> ImageSet:
    count = max(1, len(images.classes))
    if limit < 2 * count:
        raise ValueError(f"limit is {limit}: at least 2 images of each of {count} classes are needed")
    return images.limit_per_class(limit // count)


def check_classes(images: ImageSet, measured: NDArray[np.bool_], folds: int) -> None:
    """Refuse what cannot be cross-validated.

    Args:
        images: all of them.
        measured: `[s]` those that the cues are measured on.
        folds: of the cross-validation.

    Raises:
        ValueError: there are fewer than two classes, or fewer images of one than folds.
    """
    if not images.classes:
        raise ValueError(
            f"{images.root} has no classes, and discovery asks how well they are told: give a folder with a folder "
            "for each class, or a CSV 'path,target'"
        )
    counts = np.bincount(images.targets[measured], minlength=len(images.classes))
    present = np.flatnonzero(counts)
    if len(present) < 2:
        raise ValueError(
            f"{images.root} has images of one class, {images.classes[present[0]] if len(present) else 'none'!r}: "
            "at least two are needed to ask what tells them apart"
        )
    least = present[counts[present].argmin()]
    if counts[least] < folds:
        few = "1 image" if counts[least] == 1 else f"{counts[least]} images"
        way_out = f", or fewer folds (--folds {counts[least]})" if counts[least] > 1 else ""
        raise ValueError(
            f"class {images.classes[least]!r} of {images.root} has {few}: cross-validation in {folds} folds needs "
            f"{folds} of each class that differ; add images, leave the class out{way_out}"
        )


def with_mask_file(images: ImageSet, measured: NDArray[np.bool_], say: Say) -> tuple[ImageSet, NDArray[np.bool_]]:
    """The images that have a mask, where masks were given: some with and some without could not be compared.

    Args:
        images: with masks or without.
        measured: `[s]`.
        say: is told how many are left out.

    Raises:
        ValueError: none has its mask.
    """
    if images.masks is None:
        return images, measured
    usable = images.usable_masks()
    if not usable.any():
        raise ValueError(f"none of the images in {images.root} has its mask: {images.masks[0]} was expected, for one")
    if not usable.all():
        say(f"left out: {(~usable).sum()} of {len(images)} images, which have no mask")
    return images.select(usable), measured[usable]
