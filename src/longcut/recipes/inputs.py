"""What a run reads: its images, and their records."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longcut.core import Method
from longcut.core.distributed import on_first_process_first
from longcut.data.batches import BiasedSets, Parts, TrainingData
from longcut.data.builders.stylized_table import read_stylized
from longcut.data.cache import open_store
from longcut.data.class_lists import read_class_list
from longcut.data.image_set import ImageSet, read_images, splits_of, texture_path
from longcut.data.layouts import LayoutOptions
from longcut.data.store import Recipe, Store
from longcut.data.stylized import Stylized
from longcut.data.tiles import HALF
from longcut.engine.build import build_augmentation, build_patches
from longcut.engine.settings import Settings, find_method

Say = Callable[[str], None]


@dataclass(frozen=True)
class Inputs:
    """Files that a run reads."""

    data: Path
    masks: Path | None = None
    boxes: Path | None = None
    textures: Path | None = None
    stylized: Path | None = None
    cache: Path | None = None
    ensembles: Path | None = None
    """Where runs with equal settings share their biased models; each run has its own where None."""
    skip_bad: bool = False

    def table(self, settings: Settings) -> dict[str, Any]:
        """What a run's folder remembers: the settings, and those of the files that the run reads."""
        read = ["data", "masks", "boxes"]
        read += ["textures"] * (getattr(settings.hyper_parameters, "non_semantic", None) == "texture")
        read += ["stylized"] * (settings.data.composites == "stylized")
        given = {name: getattr(self, name) for name in read}
        return {**settings.to_dict(), "paths": {name: str(path) for name, path in given.items() if path is not None}}


def training_images(settings: Settings, inputs: Inputs) -> ImageSet:
    """The images of the training split.

    Raises:
        ValueError: there are none, or none of two classes where the method learns from classes.
    """
    options = layout_options(settings)
    split = "train" if splits_of(inputs.data, options=options) else None
    only = read_class_list(settings.data.class_list) if settings.data.class_list else None
    images = read_images(inputs.data, split, labelled=settings.data.labels, only=only, options=options)
    images = images if settings.data.bias_labels else images.without_bias()
    if len(images.classes) < 2:
        if find_method(settings.method).supervised:
            found = f"only the class {images.classes[0]!r}" if images.classes else "no class folders"
            raise ValueError(f"{inputs.data} holds {found}: a classifier needs at least two, one folder for each")
        images = replace(images, classes=(), targets=np.full(len(images), -1))
    if settings.data.limit_per_class:
        images = images.limit_per_class(settings.data.limit_per_class)
    return images.with_boxes(inputs.boxes) if inputs.boxes else images


def layout_options(settings: Settings) -> LayoutOptions:
    """What is read of a layout that holds several targets, biases or severities."""
    return LayoutOptions(target=settings.data.target, bias=settings.data.bias, severity=settings.data.severity)


def with_companions(settings: Settings, method: Method, inputs: Inputs, images: ImageSet, say: Say) -> ImageSet:
    """The images that have what belongs to them: a mask where masks are given, a texture where one is read.

    Raises:
        ValueError: the method reads what was not given, or a class is left without an image.
    """
    if inputs.masks:
        images = _only(images.with_masks(inputs.masks), "mask", say)
    elif images.masks is not None:
        images = _only(images, "mask", say)
    elif needs_masks(settings, method):
        what = settings.method.upper() if settings.data.images == "original" else f"training on {settings.data.images}"
        raise ValueError(
            f"{what} needs masks: none given for {inputs.data}; make them with "
            f"'longcut data segment {inputs.data} --out MASKS' and pass --masks MASKS"
        )
    if "non_semantic" in method.needs and method.non_semantic == "texture":
        if inputs.textures is None:
            way_out = _textures_for(inputs.data)
            raise ValueError(f"texture negatives need a texture of each image: none given for {inputs.data}; {way_out}")
        images = with_textures(images, inputs.textures, inputs.data, say)
    if needs_stylized(settings, method):
        images = _with_stylized(inputs, images, say)
    return images


def check_labels(settings: Settings, method: Method, images: ImageSet) -> None:
    """Refuse to train a classifier without images of a class, and what reads bias labels where some images have none.

    Raises:
        ValueError: names the first such class, or one of those images.
    """
    counts = images.class_counts()
    if method.supervised and not all(counts):
        raise ValueError(
            f"{images.root} has no training image of the class {images.classes[counts.index(0)]!r} that can be read: "
            "add some, or take the class out of the data"
        )
    if "bias" in method.needs and images.bias is not None and (images.bias < 0).any():
        unknown = np.flatnonzero(images.bias < 0)
        raise ValueError(
            f"{settings.method} reads the bias of every image, and {len(unknown)} have none, "
            f"{images.paths[unknown[0]]} for one: label them, or leave them out"
        )


def needs_masks(settings: Settings, method: Method) -> bool:
    """Whether a run composes images of foregrounds and backgrounds."""
    swaps = "composites" in method.needs and settings.data.composites == "backgrounds"
    matched = "non_semantic" in method.needs and method.non_semantic == "background"
    return swaps or matched or settings.data.images != "original"


def needs_stylized(settings: Settings, method: Method) -> bool:
    """Whether a run's composites are stylized images."""
    return "composites" in method.needs and settings.data.composites == "stylized"


def _only(images: ImageSet, what: str, say: Say) -> ImageSet:
    return _kept(images, images.usable_masks(), what, say)


def with_textures(images: ImageSet, textures: Path, data: Path, say: Say) -> ImageSet:
    """The images of `data` that have a texture in a tree that mirrors theirs.

    Raises:
        ValueError: none has, or a class is left without an image.
    """
    there = np.array([(textures / texture_path(path)).is_file() for path in images.paths], bool)
    if not there.any():
        expected = textures / texture_path(images.paths[0])
        raise ValueError(
            f"{textures} holds no texture of the images in {data}: {expected} was expected, for one; "
            f"{_textures_for(data)}"
        )
    return _kept(images, there, "texture", say)


def texture_images(images: ImageSet, textures: Path) -> ImageSet:
    """The textures of images, in their order."""
    return ImageSet(textures, tuple(texture_path(path) for path in images.paths), images.targets, images.classes)


def _textures_for(data: Path) -> str:
    return f"make them with 'longcut data textures {data} --out TEXTURES' and pass --textures TEXTURES"


def _with_stylized(inputs: Inputs, images: ImageSet, say: Say) -> ImageSet:
    if inputs.stylized is None:
        raise ValueError(
            f"stylized composites need stylized images: none given for {inputs.data}; make them with "
            f"'longcut data stylize {inputs.data} --textures TEXTURES --out STYLIZED' and pass --stylized STYLIZED"
        )
    _, shapes = read_stylized(inputs.stylized).shown_by(images)
    return _kept(images, np.isin(np.arange(len(images)), shapes), "stylized image", say)


def _kept(images: ImageSet, there: NDArray[np.bool_], what: str, say: Say) -> ImageSet:
    if not there.all():
        say(f"{(~there).sum()} of {len(images)} images have no {what} and are left out")
    counts = np.bincount(images.targets[there & (images.targets >= 0)], minlength=len(images.classes))
    if not counts.all():
        raise ValueError(f"no image of the class {images.classes[int(counts.argmin())]!r} has a {what}")
    return images.select(there)


def training_store(settings: Settings, method: Method, inputs: Inputs, images: ImageSet, say: Say) -> Store:
    """Records of the training images that could be read.

    Raises:
        ValueError: no mask shows a foreground; says what values there are.
    """
    masked = needs_masks(settings, method)
    recipe = training_recipe(settings.data.image_size, composites=masked)
    store = _open(settings, inputs, images, recipe, say=say)
    if masked:
        _check_foregrounds(store, say)
    return store


def _check_foregrounds(store: Store, say: Say) -> None:
    highest = int(store.peaks.max())
    if highest < HALF:
        raise ValueError(
            f"the masks of {store.images.root} hold values up to {highest}: "
            f"foreground is {HALF} to 255, so write it as 255"
        )
    if empty := int((store.peaks < HALF).sum()):
        say(
            f"{empty} of {len(store)} masks show no foreground ({HALF} to 255): "
            "their images lend no background, and on another nothing is seen of them"
        )


def training_data(
    settings: Settings, method: Method, inputs: Inputs, store: Store, say: Say, sets: BiasedSets | None = None
) -> TrainingData:
    """Augmented batches by key, with what the method needs; `sets` are those that a bias ensemble told apart."""
    needs = method.needs
    parts = Parts(
        composites="composites" in needs,
        views=method.num_views if "views" in needs else 0,
        non_semantic=method.non_semantic if "non_semantic" in needs else None,
        num_non_semantic=method.num_non_semantic,
    )
    return TrainingData(
        store,
        build_augmentation(settings),
        seed=settings.run.seed,
        images=settings.data.images,
        balance=settings.data.balance,
        parts=parts,
        patches=build_patches(settings),
        composites_from=settings.data.composites,
        textures=_textures(settings, inputs, store.images, say) if parts.non_semantic == "texture" else None,
        stylized=_stylized(settings, inputs, store.images, say) if needs_stylized(settings, method) else None,
        sets=sets,
    )


def _textures(settings: Settings, inputs: Inputs, images: ImageSet, say: Say) -> Store:
    assert inputs.textures is not None
    textures = texture_images(images, inputs.textures)
    recipe = training_recipe(settings.data.image_size, composites=False)
    return _open(settings, replace(inputs, skip_bad=False), textures, recipe, say=say)


def _stylized(settings: Settings, inputs: Inputs, images: ImageSet, say: Say) -> Stylized:
    assert inputs.stylized is not None
    pictures, shapes = read_stylized(inputs.stylized).shown_by(images)
    recipe = training_recipe(settings.data.image_size, composites=False)
    store = _open(settings, replace(inputs, skip_bad=False), pictures, recipe, say=say)
    return Stylized.group(store, shapes, pictures.targets, images.paths)


def validation_store(settings: Settings, inputs: Inputs, images: ImageSet, say: Say) -> Store | None:
    """Records of the validation split; None where there is none, or it is not wanted."""
    splits = [name for name in ("val", "valid") if name in splits_of(inputs.data, options=layout_options(settings))]
    if not splits or not settings.run.validate_epochs or not images.classes:
        return None
    return _open_measured(settings, inputs, images, splits[0], say)


def oracle_store(settings: Settings, inputs: Inputs, images: ImageSet, say: Say) -> Store | None:
    """Records of the test split, for a run that is told to keep what is best there; None for every other.

    Raises:
        ValueError: there is no test split.
    """
    if not settings.run.oracle:
        return None
    if "test" not in splits_of(inputs.data, options=layout_options(settings)):
        raise ValueError(
            f"oracle=true keeps what is best on the test split, and {inputs.data} has none: set oracle=false"
        )
    return _open_measured(settings, inputs, images, "test", say)


def _open_measured(settings: Settings, inputs: Inputs, images: ImageSet, split: str, say: Say) -> Store:
    """Records of a split beside the training split, with the classes of that."""
    only = images.classes if settings.data.class_list else None
    found = read_images(inputs.data, split, only=only, classes=images.classes, options=layout_options(settings))
    found = found if settings.data.bias_labels else found.without_bias()
    return _open(settings, inputs, found, evaluation_recipe(settings.data.image_size), say=say)


def training_recipe(image_size: int, *, composites: bool) -> Recipe:
    """Records to train on: the shorter side an eighth above the input's, as 256 is to 224."""
    return Recipe(side=math.ceil(image_size * 8 / 7), composites=composites)


def evaluation_recipe(image_size: int) -> Recipe:
    """Records to measure on, at validation as after training: at most twice the input's size."""
    return Recipe(side=2 * image_size, composites=False)


def _open(settings: Settings, inputs: Inputs, images: ImageSet, recipe: Recipe, *, say: Say) -> Store:
    """The records: kept on disk they are decoded by the first process alone, else by each, the first one at first."""
    return on_first_process_first(
        lambda: open_store(
            images, recipe, mode=settings.data.cache, folder=inputs.cache, skip_bad=inputs.skip_bad, say=say
        )
    )
