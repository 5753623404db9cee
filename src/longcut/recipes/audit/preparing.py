"""What an audit reads: images under the model's classes, with masks, decoded once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longcut.data.cache import estimate_bytes, open_store
from longcut.data.image_set import ImageSet
from longcut.data.jpeg_quality import jpeg_quality
from longcut.data.store import CacheMode, Recipe, Store
from longcut.engine.launch import find_device
from longcut.evaluation.audit.step_down import LEAST
from longcut.recipes.audit.changes import CORE, FILE
from longcut.recipes.audit.classes import Labelled, match_classes
from longcut.recipes.audit.masks import with_masks
from longcut.recipes.audit.views import ViewReader
from longcut.recipes.models import Model
from longcut.recipes.reading import limited

Say = Callable[[str], None]
MASKLESS = (FILE, "patches", "frequency", "groups", "calibration", "corruptions", "cue-conflict")
"""Suites that need no foreground masks."""
_IN_MEMORY = 2e9  # bytes; a larger set is kept on disk
_FEWEST = 2  # images
_SAMPLED = 256  # images that the mean colour is taken of
_NEAR = 3  # JPEG qualities that differ by less are taken for one


@dataclass(frozen=True)
class AuditOptions:
    """What an audit is asked for.

    Attributes:
        suites: names.
        masks: tree of foreground masks that mirrors the images'; where None those that the set names, else GrabCut's.
        mapping: the model's classes of class folders, by name.
        conflicts: folder of cue-conflict stimuli, for the suite `cue-conflict`.
        limit: at most so many images, drawn at random; all where None.
        seed: of which image lends to which.
        least: effects below it are not named.
        batch: images at a time.
        gallery: how many flips of each effect are drawn.
        cache: folder of decoded images and masks; `$XDG_CACHE_HOME/longcut` where None.
        skip_bad: leave unreadable images out.
    """

    suites: tuple[str, ...] = CORE
    masks: Path | None = None
    mapping: Mapping[str, Sequence[str]] | None = None
    conflicts: Path | None = None
    limit: int | None = None
    seed: int = 0
    least: float = LEAST
    batch: int = 64
    gallery: int = 8
    cache: Path | None = None
    skip_bad: bool = False


@dataclass(frozen=True)
class Prepared:
    """What an audit works on."""

    model: Model
    labelled: Labelled
    reader: ViewReader
    masks: dict[str, Any]
    """Where they are from, and their quality."""
    qualities: NDArray[np.int64]
    """`[s]` JPEG quality of each file, 0 where it is no JPEG; empty where nobody asks for it."""

    @property
    def store(self) -> Store:
        """The images' records."""
        return self.reader.store

    @property
    def images(self) -> ImageSet:
        """The images that were readable."""
        return self.store.images

    @property
    def jpeg_qualities(self) -> NDArray[np.int64]:
        """Those of the JPEG files alone."""
        return self.qualities[self.qualities > 0]

    @property
    def qualities_differ(self) -> bool:
        """Whether files can lend each other a quality: JPEG files of several, or some among other files."""
        known = self.jpeg_qualities
        return len(known) > 0 and bool(np.ptp(known) >= _NEAR or len(known) < len(self.qualities))


def prepare(model: Model, images: ImageSet, options: AuditOptions, say: Say) -> Prepared:
    """Read everything.

    Args:
        model: to be audited.
        images: with classes or without.
        options: what is asked for.
        say: is told, in lines, what a person wants to know.

    Raises:
        ValueError: there are fewer than two images, one cannot be read, or the mapping or the masks are wrong.
    """
    labelled = match_classes(model, images, options.mapping)
    for line in filter(None, (*model.remarks, labelled.note)):
        say(line)
    if labelled.why_not:
        say(f"no labels: {labelled.why_not}; measured is how often predictions move")
    chosen = limited(labelled.images, options.limit)
    _check_enough(chosen, " of classes that the model knows" if labelled.note else "")
    make = not set(options.suites) <= set(MASKLESS)
    masked, about = with_masks(chosen, options.masks, options.cache, make=make, say=say)
    store = _open(masked, model, options, say)
    _check_enough(store.images, " that can be read")
    mean, std = _statistics(store, model)
    reader = ViewReader(store, model.preprocessing, options.seed, find_device(), mean, std)
    return Prepared(model, labelled, reader, about, _qualities(store.images, options))


def _check_enough(images: ImageSet, which: str) -> None:
    if len(images) < _FEWEST:
        number = "1 image" if len(images) == 1 else f"{len(images)} images"
        raise ValueError(f"{images.root} has {number}{which}: an audit needs at least {_FEWEST}")


def _open(images: ImageSet, model: Model, options: AuditOptions, say: Say) -> Store:
    """The images, their masks and their backgrounds, decoded at the size that the model's are cut out of."""
    recipe = Recipe(side=round(model.image_size / model.crop), composites=True)
    mode: CacheMode = "memory" if estimate_bytes(images, recipe) < _IN_MEMORY else "disk"
    folder = None if options.cache is None else options.cache / "audit"
    return open_store(images, recipe, mode=mode, folder=folder, skip_bad=options.skip_bad, say=say)


def _qualities(images: ImageSet, options: AuditOptions) -> NDArray[np.int64]:
    if FILE not in options.suites:
        return np.zeros(0, np.int64)
    return np.array([jpeg_quality(images.root / path) or 0 for path in images.paths], np.int64)


def _statistics(store: Store, model: Model) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel over some images, 0 to 1."""
    places = np.linspace(0, len(store) - 1, min(len(store), _SAMPLED)).astype(np.int64)
    pixels = np.stack([model.preprocessing.square(store[i].image) for i in places]).reshape(-1, 3) / 255
    mean, std = (torch.tensor(values, dtype=torch.float32) for values in (pixels.mean(axis=0), pixels.std(axis=0)))
    return mean.to(find_device()), std.to(find_device())
