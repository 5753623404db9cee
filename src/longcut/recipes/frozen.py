"""Features of a network that no longer changes: computed once, kept beside the run, read ever after."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longcut.data.augmentation import Augmentation
from longcut.data.batches import EvaluationData, TrainingData
from longcut.data.image_set import ImageSet, read_images
from longcut.data.loader import BatchLoader
from longcut.data.order import evaluation_keys
from longcut.data.store import Store, fingerprint
from longcut.engine.launch import find_device
from longcut.evaluation.foreign.models import ForeignClassifier
from longcut.recipes.inputs import evaluation_recipe
from longcut.recipes.models import Model
from longcut.recipes.reading import BATCH, Say, open_images, options_for


@dataclass(frozen=True)
class Frozen:
    """Features of a set of images."""

    passes: NDArray[np.float32]
    """`[1 + v, s, d]`: of the central squares, then of each random crop."""
    images: ImageSet
    """Those that could be read."""
    digest: str
    """Of the images' contents, order and targets."""

    @property
    def features(self) -> NDArray[np.float32]:
        """`[s, d]` of the central squares."""
        return self.passes[0]


def frozen_features(
    model: Model,
    images: ImageSet,
    name: str,
    folder: Path,
    *,
    views: int = 0,
    seed: int = 0,
    skip_bad: bool = False,
    say: Say = lambda line: None,
) -> Frozen:
    """Features of a set of images by a model in evaluation mode, from `folder` where they are there already.

    They are kept as `<name>-<key>.npz`; the key stands for the weights, the files (their paths, sizes and times), their
    targets and how they come to the network. Only the features are ever held as a whole, in float32.

    Args:
        model: whose `encode` gives the features.
        images: to encode.
        name: what the set is called, its split for one.
        folder: of the kept features.
        views: how many passes of random crops and flips follow the pass over central squares.
        seed: of these crops.
        skip_bad: leave unreadable images out and say which.
        say: is told whether features are computed or read.

    Raises:
        ValueError: an image cannot be read, or the features are not finite.
    """
    file = folder / f"{name}-{_key(model, images, views, seed)}.npz"
    kept = _load(file, images, say)
    if kept is not None:
        say(f"{name}: features of {len(kept.images)} images read from {file}")
        return kept
    what = "scores, the only features known," if isinstance(model.network, ForeignClassifier) else "features"
    say(f"{name}: computing {what} of {len(images)} images once")
    store = open_images(images, model.image_size, skip_bad=skip_bad, say=say)
    passes = _encode_all(model, store, views, seed)
    if not np.isfinite(passes).all():
        raise ValueError(f"{model.subject.run} gives features that are not finite: its training has diverged")
    frozen = Frozen(passes, store.images, store.digest)
    _save(file, frozen)
    return frozen


def read_known(model: Model, data: Path, split: str | None, *, labelled: bool = True) -> ImageSet:
    """Images of a data set; of those classes alone that a run was told to choose from it, where they are there.

    Args:
        model: that the images are for; it need not know their classes.
        data: as `read_images` has it.
        split: which one; None reads all.
        labelled: False takes every image as one without a class.

    Raises:
        ValueError: nothing is there.
    """
    options = options_for(model, data)
    images = read_images(data, split, labelled=labelled, options=options)
    if model.chosen and set(model.classes) <= set(images.classes):
        return read_images(data, split, only=model.classes, options=options)
    return images


def _key(model: Model, images: ImageSet, views: int, seed: int) -> str:
    recipe = evaluation_recipe(model.image_size)
    known = [
        model.subject.weights_hash,
        fingerprint(images, recipe),
        images.classes,
        model.image_size,
        model.normalisation.mean,
        model.normalisation.std,
        views,
        seed if views else 0,
    ]
    return hashlib.sha256(json.dumps(known).encode() + images.targets.tobytes()).hexdigest()[:16]


@torch.inference_mode()
def _encode_all(model: Model, store: Store, views: int, seed: int) -> NDArray[np.float32]:
    passes: NDArray[np.float32] | None = None
    for number in range(1 + views):
        start = 0
        for encoded in _encoded(model, store, number, seed):
            if passes is None:
                passes = np.empty((1 + views, len(store), encoded.shape[1]), np.float32)
            passes[number, start : start + len(encoded)] = encoded.float().cpu().numpy()
            start += len(encoded)
    assert passes is not None
    return passes


def _encoded(model: Model, store: Store, number: int, seed: int) -> Iterator[Tensor]:
    """Features of the pass 0, of central squares, or of a later one, of random crops."""
    keys = evaluation_keys(len(store), BATCH)
    crops = Augmentation(size=model.image_size, jitter=(0.0, 0.0, 0.0, 0.0))
    loader = BatchLoader(
        TrainingData(store, crops, seed=seed) if number else EvaluationData(store, model.image_size),
        [(number, indices) for indices in keys] if number else keys,
        normalisation=model.normalisation,
        device=find_device(),
    )
    for batch in loader:
        yield model.network.encode(batch.images)


def _save(file: Path, frozen: Frozen) -> None:
    """Write an `.npz`, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{os.getpid()}.part.npz")
    try:
        np.savez(part, allow_pickle=False, passes=frozen.passes, paths=frozen.images.paths, digest=frozen.digest)
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _load(file: Path, images: ImageSet, say: Say) -> Frozen | None:
    """What `_save` wrote; None where there is nothing, or nothing whole."""
    if not file.is_file():
        return None
    try:
        with file.open("rb") as stream, np.load(stream) as arrays:
            passes, paths, digest = arrays["passes"], set(arrays["paths"].tolist()), str(arrays["digest"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        say(f"{file} is broken ({error}): computing it anew")
        return None
    return Frozen(passes, images.select(np.array([path in paths for path in images.paths])), digest)
