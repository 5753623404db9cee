"""Which of a model's classes the images' are; without any, an audit goes on without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from longcut.data.image_set import ImageSet
from longcut.evaluation.class_mapping import map_classes
from longcut.recipes.models import Model
from longcut.recipes.reading import OUTSIDE, gathered


@dataclass(frozen=True)
class Labelled:
    """Images beside what says their classes.

    Attributes:
        network: with `encode` and `classify`; its columns are `classes`.
        images: under the classes in common; without targets (-1) where there are none.
        classes: names of the network's columns.
        why_not: why there are no labels; empty where there are.
        note: what was left out; empty where nothing was.
    """

    network: Any
    images: ImageSet
    classes: tuple[str, ...]
    why_not: str = ""
    note: str = ""

    @property
    def labelled(self) -> bool:
        """Whether the images' classes are known to the model."""
        return not self.why_not


def match_classes(model: Model, images: ImageSet, given: Mapping[str, Sequence[str]] | None = None) -> Labelled:
    """Find the images' classes among a model's: by `given`, by name, or by WordNet ids.

    A model that names no classes is taken for one of the images' own, sorted, where there are as many of them.

    Args:
        model: to be audited.
        images: with or without classes.
        given: the model's classes of some folders, as `longcut.evaluation.class_mapping.read_mapping` reads them.

    Raises:
        ValueError: `given` names classes that the model does not have.
    """
    names = model.classes or _numbered(model.num_classes)
    if not images.classes:
        return _unlabelled(model, images, names, "the images have no class folders")
    if not model.classes:
        if model.num_classes != len(images.classes):
            why = f"the model has {model.num_classes} classes without names, the images {len(images.classes)}"
            return _unlabelled(model, images, names, why)
        note = "the model names no classes: its columns are taken for the images' classes in sorted order"
        return Labelled(model.network, images, images.classes, note=note)
    try:
        mapping = map_classes(images.classes, names, given)
    except ValueError as error:
        if given:
            raise
        return _unlabelled(model, images, names, str(error))
    if not mapping.unknown and mapping.classes == names:
        return Labelled(model.network, images, names)
    place = np.array([mapping.place.get(name, -1) for name in images.classes], np.int64)
    targets = np.where(images.targets >= 0, place[images.targets], -1)
    all_known = sum(map(len, mapping.members)) == len(names)
    classes = mapping.classes if all_known else (*mapping.classes, OUTSIDE)
    known = replace(images, classes=classes, targets=targets).select(targets >= 0)
    left_out = len(images) - len(known)
    note = f"{mapping.note}; their {left_out} images are left out" if left_out else ""
    return Labelled(gathered(model, mapping.members, outside=not all_known), known, classes, note=note)


def _unlabelled(model: Model, images: ImageSet, names: Sequence[str], why: str) -> Labelled:
    bare = replace(images, classes=(), targets=np.full(len(images), -1))
    return Labelled(model.network, bare, tuple(names), why_not=why)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"class {place}" for place in range(count))
