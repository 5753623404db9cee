"""Which of a model's classes the images' are; without any, an audit goes on without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        ValueError: `given` names classes that the model does not have, or there is nothing to map.
    """
    names = model.classes
    if given and not (names and images.classes):
        lacking = "the images have no class folders" if names else "the model names no classes (--class-names does)"
        raise ValueError(f"there is nothing to map: {lacking}")
    if not images.classes:
        return _unlabelled(model, images, "the images have no class folders")
    if not names:
        if model.num_classes != len(images.classes):
            why = f"the model has {model.num_classes} classes without names, the images {len(images.classes)}"
            return _unlabelled(model, images, why)
        note = "the model names no classes: its columns are taken for the images' classes in sorted order"
        return Labelled(model.network, images, images.classes, note=note)
    try:
        mapping = map_classes(images.classes, names, given)
    except ValueError as error:
        if given:
            raise
        return _unlabelled(model, images, str(error))
    place = np.array([mapping.place.get(name, -1) for name in images.classes], np.int64)
    all_known = sum(map(len, mapping.members)) == len(names)
    classes = mapping.classes if all_known else (*mapping.classes, OUTSIDE)
    in_order = mapping.members == tuple((column,) for column in range(len(names)))
    network = model.network if in_order else gathered(model, mapping.members, outside=not all_known)
    known = _moved(images, place, classes)
    left_out = len(images) - len(known)
    note = f"{mapping.note}; their {left_out} images are left out" if left_out else ""
    return Labelled(network, known, classes, note=note)


def _moved(images: ImageSet, place: NDArray[np.int64], classes: tuple[str, ...]) -> ImageSet:
    """The images of known classes under the classes in common: each class goes to a `place`, -1 where it is unknown."""
    places = np.append(place, -1)  # the last one is for -1
    moved = replace(images, classes=classes, targets=places[images.targets])
    if images.bias is not None and images.bias_is_paired:
        bias, names = _moved_bias(images, places, classes)
        moved = replace(moved, bias=bias, bias_names=names)
    elif moved.bias_is_paired:  # by chance as many values as classes are left: one more that no image has parts them
        moved = replace(moved, bias_names=(*images.bias_names, OUTSIDE))
    return moved.select(moved.targets >= 0)


def _moved_bias(
    images: ImageSet, places: NDArray[np.int64], classes: tuple[str, ...]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Biases that go with classes, moved as these are, so that they still do; -1 for those of unknown classes."""
    count, names = len(images.classes), images.bias_names
    if names[:count] == images.classes:
        kept = classes
    else:
        joined = ["+".join(names[old] for old in np.flatnonzero(places[:-1] == new)) for new in range(len(classes))]
        kept = tuple(name or OUTSIDE for name in joined)
    beyond = names[count:]
    moved = np.concatenate([places[:-1], len(classes) + np.arange(len(beyond)), [-1]])
    return moved[images.bias], (*kept, *beyond)


def _unlabelled(model: Model, images: ImageSet, why: str) -> Labelled:
    bare = replace(images, classes=(), targets=np.full(len(images), -1))
    return Labelled(model.network, bare, model.titles, why_not=why)
