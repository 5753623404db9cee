"""What a run reads: its images, and their records."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from longcut.core.distributed import on_first_process_first
from longcut.data.batches import TrainingData
from longcut.data.cache import open_store
from longcut.data.image_set import ImageSet, read_images, splits_of
from longcut.data.store import Recipe, Store
from longcut.engine.build import build_augmentation
from longcut.engine.settings import Settings, find_method

Say = Callable[[str], None]


@dataclass(frozen=True)
class Inputs:
    """Files that a run reads."""

    data: Path
    masks: Path | None = None
    boxes: Path | None = None
    cache: Path | None = None
    skip_bad: bool = False

    def paths(self) -> dict[str, str]:
        """What a run's folder remembers of them."""
        given = {"data": self.data, "masks": self.masks, "boxes": self.boxes}
        return {name: str(path) for name, path in given.items() if path is not None}


def training_images(settings: Settings, inputs: Inputs, say: Say) -> ImageSet:
    """The images that a run trains on: those of the training split, with masks only those that have one.

    Raises:
        ValueError: there are none of two classes, or masks are needed and there are none.
    """
    images = read_images(inputs.data, "train" if splits_of(inputs.data) else None)
    if len(images.classes) < 2:
        found = f"only the class {images.classes[0]!r}" if images.classes else "no class folders"
        raise ValueError(f"{inputs.data} holds {found}: a classifier needs at least two, one folder for each")
    if settings.data.limit_per_class:
        images = images.limit_per_class(settings.data.limit_per_class)
    if inputs.boxes:
        images = images.with_boxes(inputs.boxes)
    if inputs.masks:
        images = images.with_masks(inputs.masks)
    if images.masks is None:
        if needs_masks(settings):
            what = settings.method.upper() if settings.data.images == "original" else "training on mixed_rand"
            raise ValueError(
                f"{what} needs masks: none given for {inputs.data}; make them with "
                f"'longcut data segment {inputs.data} --out MASKS' and pass --masks MASKS"
            )
        return images
    usable = images.usable_masks()
    if not usable.all():
        say(f"{(~usable).sum()} of {len(images)} images have no mask and are left out")
    _check_every_class(images, usable)
    return images.select(usable)


def needs_masks(settings: Settings) -> bool:
    """Whether a run composes images."""
    return "composites" in find_method(settings.method).needs or settings.data.images == "mixed_rand"


def _check_every_class(images: ImageSet, usable: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
    counts = np.bincount(images.targets[usable], minlength=len(images.classes))
    if not counts.all():
        raise ValueError(f"no image of the class {images.classes[int(counts.argmin())]!r} has a mask")


def training_data(settings: Settings, inputs: Inputs, images: ImageSet, say: Say) -> tuple[TrainingData, ImageSet]:
    """Augmented batches by key, and the images that could be read."""
    store = _open(settings, inputs, images, composites=needs_masks(settings), say=say)
    data = TrainingData(
        store,
        build_augmentation(settings),
        seed=settings.run.seed,
        images=settings.data.images,
        composites="composites" in find_method(settings.method).needs,
        balance=settings.data.balance,
    )
    return data, store.images


def validation_store(settings: Settings, inputs: Inputs, images: ImageSet, say: Say) -> Store | None:
    """Records of the validation split; None where there is none, or it is not wanted."""
    splits = [name for name in ("val", "valid") if name in splits_of(inputs.data)]
    if not splits or not settings.run.validate_epochs:
        return None
    found = read_images(inputs.data, splits[0], classes=images.classes)
    return _open(settings, inputs, found, composites=False, say=say)


def _open(settings: Settings, inputs: Inputs, images: ImageSet, *, composites: bool, say: Say) -> Store:
    """The records, decoded by the first process; shorter side an eighth above the input's, as 256 is to 224."""
    recipe = Recipe(side=math.ceil(settings.data.image_size * 8 / 7), composites=composites)
    return on_first_process_first(
        lambda: open_store(
            images, recipe, mode=settings.data.cache, folder=inputs.cache, skip_bad=inputs.skip_bad, say=say
        )
    )
