"""Which images a builder works on."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path

import numpy as np

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.destination import check_outside
from longcut.data.image_set import ImageSet, read_images, splits_of


def choose_images(
    root: Path,
    split: str | None = None,
    *,
    destination: Path,
    limit: int | None = None,
    limit_per_class: int | None = None,
    masks: Path | None = None,
    boxes: Path | None = None,
) -> ImageSet:
    """Read the images to build from.

    Args:
        root: a folder or a CSV, as `read_images` takes it.
        split: which split; None reads all.
        destination: folder that will be built in.
        limit: at most so many images, spread evenly over the classes.
        limit_per_class: at most so many images of each class; always the same ones, and with n classes those that a
            limit of n times as many takes.
        masks: tree of masks that mirrors the images' tree.
        boxes: CSV of boxes.

    Raises:
        ValueError: a limit below 1, a destination among the images, or no images.
    """
    for name, count in (("limit", limit), ("limit per class", limit_per_class)):
        if count is not None and count < 1:
            raise ValueError(f"{name} is {count}: at least 1 image is needed")
    check_outside(root, destination)
    images = read_images(root, split, masks=masks, boxes=boxes)
    images = images if limit_per_class is None else images.limit_per_class(limit_per_class)
    return images if limit is None else _spread(images, limit)


def choose_textures(root: Path, split: str | None = None, *, destination: Path) -> ImageSet:
    """Read textures to build from: those of a split where they have it, all where they have not.

    Raises:
        ValueError: a destination among the textures, or no textures.
    """
    check_outside(root, destination)
    return read_images(root, split if split in splits_of(root) else None)


def check_distinct(images: ImageSet, file_of: Callable[[str], Hashable], what: str) -> None:
    """Refuse images of which two would be given one file.

    Args:
        images: to build for.
        file_of: the file that is made for the image of a path.
        what: one such file is, for the message.

    Raises:
        ValueError: names the first two.
    """
    owners: dict[Hashable, str] = {}
    for path in images.paths:
        other = owners.setdefault(file_of(path), path)
        if other != path:
            raise ValueError(f"{other} and {path} in {images.root} would share one {what}: rename one of them")


def _spread(images: ImageSet, limit: int) -> ImageSet:
    """A first image of each class, then a second of each, and so on."""
    order = np.argsort(keyed_uniforms(0, 0, np.arange(len(images)), Stream.ORDER, 1)[:, 0], kind="stable")
    rank = np.empty(len(images), np.int64)
    for target in np.unique(images.targets):
        members = order[images.targets[order] == target]
        rank[members] = np.arange(len(members))
    return images.select(np.sort(np.lexsort((images.targets, rank))[:limit]))
