"""A data set as a model reads it: which of its images, under which of the model's classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.batches import EvaluationData
from longcut.data.cache import estimate_bytes, open_store
from longcut.data.image_set import ImageSet, read_images, splits_of
from longcut.data.imagenet9 import CLASSES as IMAGENET9
from longcut.data.imagenet_classes import known_groups, wordnet_ids
from longcut.data.layouts import LayoutOptions, find_layout
from longcut.data.loader import BatchLoader
from longcut.data.order import evaluation_keys
from longcut.data.store import Store
from longcut.engine.launch import find_device
from longcut.evaluation.class_mapping import ClassMapping
from longcut.evaluation.collect import collect
from longcut.evaluation.foreign.models import ForeignClassifier
from longcut.evaluation.metrics import measure
from longcut.evaluation.models import GatheredClassifier, Gathering, ImageNetClassifier
from longcut.evaluation.predictions import Predictions, predictions_name
from longcut.evaluation.results import Subject, row
from longcut.recipes.inputs import evaluation_recipe
from longcut.recipes.models import Model

Say = Callable[[str], None]
BATCH = 256
OUTSIDE = "outside"
"""What a model says where its class is none of the data's."""
_IN_MEMORY = 2e9  # bytes; a larger set is decoded as it is read


def options_for(model: Model, root: Path, given: LayoutOptions | None = None) -> LayoutOptions:
    """Which target, bias or severity is given, else which a run was trained on where the data holds several."""
    layout = find_layout(root)
    known = layout.options if layout else frozenset()
    trained = {name: value for name, value in vars(model.options).items() if name in known}
    said = {name: value for name, value in vars(given or LayoutOptions()).items() if value is not None}
    return LayoutOptions(**(trained | said))


def measured_split(data: Path, options: LayoutOptions | None = None) -> str:
    """The split to measure on: `test`, else `val`, `valid` or `train`; empty where there is none."""
    splits = splits_of(data, options=options)
    return next((name for name in ("test", "val", "valid", "train") if name in splits), "")


def read_measured(folder: Path, split: str | None, layout: LayoutOptions | None = None) -> ImageSet:
    """The images of a split; where none is named, of that which `measured_split` chooses."""
    return read_images(folder, split or measured_split(folder, layout) or None, options=layout)


def read_for(model: Model, root: Path, split: str | None) -> tuple[Any, ImageSet]:
    """The images of a data set, and the network that says their classes.

    A run has the classes of its data. An ImageNet model is read as one of ImageNet-9 where the folders are that set's,
    its prediction being the class that the largest of all 1000 logits belongs to; and as it is where the folders are
    WordNet ids, all of them or some.

    Raises:
        ValueError: there are no images, or their classes are not the model's.
    """
    if isinstance(model.network, ForeignClassifier) and not model.classes:
        raise ValueError(
            f"{model.subject.preset} does not name its {model.num_classes} classes: open it with class_names, a file"
        )
    if not (isinstance(model.network, ImageNetClassifier | ForeignClassifier) and model.is_imagenet):
        if not model.classes:
            raise ValueError(
                f"{model.subject.run} was trained without classes, so it names none: measure its features with "
                f"'longcut probe {model.subject.run}'"
            )
        only = model.classes if model.chosen else None
        options = options_for(model, root)
        return model.network, read_images(root, split, only=only, classes=model.classes, options=options)
    images = read_images(root, split)
    ids = wordnet_ids()
    if [name[:2] for name in images.classes] == [name[:2] for name in IMAGENET9]:
        members = [tuple(ids.index(wnid) for wnid in known_groups()[name]) for name in IMAGENET9]
        network = gathered(model, members, outside=True)
        return network, replace(images, classes=(*images.classes, OUTSIDE))
    if images.classes and set(images.classes) <= set(ids):
        place = np.array([ids.index(name) for name in images.classes], np.int64)
        return model.network, replace(images, classes=ids, targets=place[images.targets])
    raise ValueError(
        f"{root} has the classes {', '.join(images.classes[:10]) or 'none'}: an ImageNet model is measured on "
        f"ImageNet-9's, {IMAGENET9[0]} to {IMAGENET9[-1]}, or on WordNet ids such as {ids[0]}"
    )


def gathered(
    model: Model, members: Sequence[Sequence[int]], *, how: Gathering = "max", outside: bool = False
) -> GatheredClassifier:
    """A model's network with its classes gathered into groups, on the device."""
    network = GatheredClassifier(model.network, members, num_classes=len(model.classes), how=how, outside=outside)
    return network.to(find_device())


def known_images(images: ImageSet, mapping: ClassMapping) -> ImageSet:
    """The images whose class (and bias, where they have one) a model knows, under the classes in common."""
    place = np.array([mapping.place.get(name, -1) for name in images.classes], np.int64)
    targets = place[images.targets]
    bias = None if images.bias is None else place[images.bias]
    known = targets >= 0 if bias is None else (targets >= 0) & (bias >= 0)
    names = () if bias is None else mapping.classes
    return replace(images, classes=mapping.classes, targets=targets, bias=bias, bias_names=names).select(known)


def limited(images: ImageSet, limit: int | None) -> ImageSet:
    """At most `limit` of the images, drawn at random but always the same ones."""
    if limit is None or limit >= len(images):
        return images
    order = keyed_uniforms(0, 0, np.arange(len(images)), Stream.ORDER, 1)[:, 0]
    return images.select(np.sort(np.argsort(order, kind="stable")[:limit]))


def open_images(images: ImageSet, size: int, *, skip_bad: bool, say: Say) -> Store:
    """The images decoded at twice a model's size at most: in memory where they fit."""
    recipe = evaluation_recipe(size)
    fits = estimate_bytes(images, recipe) < _IN_MEMORY
    return open_store(images, recipe, mode="memory" if fits else "none", skip_bad=skip_bad, say=say)


def predict(model: Model, network: Any, store: Store) -> Predictions:
    """What a network says of every image, prepared as the model's images are."""
    loader = BatchLoader(
        EvaluationData(store, model.image_size),
        evaluation_keys(len(store), BATCH),
        normalisation=model.normalisation,
        device=find_device(),
    )
    return collect(network, loader, store.images, whose=model.subject.run)


def save_predictions(predictions: Predictions, model: Model, dataset: str, out: Path) -> None:
    """Write a model's predictions into `out/predictions`, under the name of its checkpoint and its head.

    Raises:
        OSError: they cannot be written.
    """
    name = predictions_name(dataset, model.subject.selection, model.subject.head)
    predictions.save(out / "predictions" / f"{name}.npz")


def accuracy_rows(
    subject: Subject, dataset: str, predictions: Predictions, about: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Accuracy over all images, then of each class; `about` is the row's `data` and `data_hash`."""
    rows = [row(subject, "accuracy", dataset, measure(predictions.correct), **about)]
    for target, label in enumerate(predictions.classes):
        members = predictions.targets == target
        if members.any():
            measured = measure(predictions.correct[members])
            rows.append(row(subject, "accuracy", dataset, measured, of_class=label, **about))
    return rows
