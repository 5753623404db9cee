"""A trained model over a data set or a Background Challenge, into `results.jsonl`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from longcut.data.augmentation import centre_crop
from longcut.data.batches import EvaluationData
from longcut.data.cache import estimate_bytes, open_store
from longcut.data.image_set import ImageSet, read_images, splits_of
from longcut.data.imagenet9 import CLASSES as IMAGENET9
from longcut.data.loader import BatchLoader, Normalisation
from longcut.data.order import evaluation_keys
from longcut.data.store import Recipe, Store
from longcut.engine.build import build_normalisation
from longcut.engine.launch import find_device
from longcut.engine.run_folder import load_run
from longcut.evaluation.adversarial import survives_backgrounds
from longcut.evaluation.background_challenge import PAIRS, paired, variants_in
from longcut.evaluation.collect import collect
from longcut.evaluation.metrics import Measure, background_gap, decision_consistency, feature_consistency, measure
from longcut.evaluation.models import ImageNetClassifier
from longcut.evaluation.predictions import Predictions
from longcut.evaluation.results import Subject, append_rows, row, weights_hash

Say = Callable[[str], None]
BATCH = 256
ADVERSARIAL = ("original", "only_bg_t")
"""Variants that give adversarial backgrounds their foregrounds and their backgrounds."""
_IN_MEMORY = 2e9  # bytes; a larger set is decoded as it is read
OUTSIDE = "outside ImageNet-9"
"""What an ImageNet model says where its class belongs to none of the nine."""


@dataclass(frozen=True)
class Model:
    """A classifier with what its images must look like."""

    network: Any
    classes: tuple[str, ...] | None
    """Those that it was trained on, in their order; None for an ImageNet model read as one of ImageNet-9."""
    image_size: int
    normalisation: Normalisation
    subject: Subject


def open_model(
    name: str, *, selection: str = "last", weights: str | None = None, image_size: int = 224, out: Path | None = None
) -> tuple[Model, Path]:
    """A model by its name, and the folder that its results go to.

    Args:
        name: a run's folder (`DIR` or `run:DIR`), or `timm:NAME` for an ImageNet model read as one of ImageNet-9.
        selection: which of a run's checkpoints.
        weights: local weights for `timm:NAME`; timm's own where None.
        image_size: for `timm:NAME`.
        out: folder of the results; the run's own where None.

    Raises:
        ValueError: there is no such model, or `timm:NAME` was given without `out`.
    """
    device = find_device()
    if not name.startswith("timm:"):
        folder = Path(name.removeprefix("run:"))
        run = load_run(folder, selection=selection)
        subject = Subject(
            run=str(folder),
            method=run.settings.method,
            preset=run.settings.preset,
            seed=run.settings.run.seed,
            step=run.step,
            selection=selection,
            starting_weights=run.starting_weights,
            weights_hash=weights_hash(run.method),
        )
        size, normalisation = run.settings.data.image_size, build_normalisation(run.settings)
        return Model(run.method.to(device), run.classes, size, normalisation, subject), out or folder
    if out is None:
        raise ValueError(f"{name} is no run, so say where its results go: --out DIR")
    network = ImageNetClassifier(name.removeprefix("timm:"), weights, image_size=image_size)
    subject = Subject(
        run=str(out),
        method="base_in",
        preset=name,
        seed=None,
        step=None,
        selection="last",
        starting_weights=network.starting_weights,
        weights_hash=weights_hash(network),
    )
    return Model(network.to(device).eval(), None, image_size, Normalisation(), subject), out


def evaluate(
    model: Model,
    data: Path,
    out: Path,
    *,
    adversarial: bool = False,
    skip_bad: bool = False,
    say: Say = lambda line: None,
) -> list[dict[str, Any]]:
    """Measure a model on a data set, or on every variant of a Background Challenge, and keep the rows.

    Predictions go to `out/predictions`, rows to `out/results.jsonl`, where they replace those of the same measurement.

    Args:
        model: to measure.
        data: images in class folders (their `test` or else `val` split, where they have splits), or a challenge.
        out: folder of the results.
        adversarial: also find the share of foregrounds that no background flips; slow.
        skip_bad: leave unreadable images out and say which.
        say: is told which set is being measured.

    Raises:
        ValueError: there are no images, or their classes are not the model's.
    """
    variants = variants_in(data)
    names = variants or (_split(data),)
    rows: list[dict[str, Any]] = []
    collected: dict[str, tuple[Predictions, str]] = {}
    stores: dict[str, Store] = {}
    for name in names:
        images = _images(model, data / name, "val") if variants else _images(model, data, name or None)
        store = _open(images, model.image_size, skip_bad=skip_bad, say=say)
        predictions = _predict(model, store)
        label = name or "all"
        predictions.save(out / "predictions" / f"{label}.npz")
        collected[label] = predictions, store.digest
        if adversarial and name in ADVERSARIAL:
            stores[name] = store
        found = _accuracies(model.subject, label, predictions, data=str(data), data_hash=store.digest)
        say(f"{label}: {found[0]['value']:.1%} of {found[0]['n']}")
        rows += found
    rows += _pair_rows(model.subject, data, collected)
    if adversarial:
        rows.append(_adversarial_row(model, data, stores))
    out.mkdir(parents=True, exist_ok=True)
    append_rows(out / "results.jsonl", rows)
    return rows


def _split(data: Path) -> str:
    splits = splits_of(data)
    return next((name for name in ("test", "val", "valid", "train") if name in splits), "")


def _images(model: Model, root: Path, split: str | None) -> ImageSet:
    images = read_images(root, split, classes=model.classes)
    if model.classes is not None:
        return images
    if [name[:2] for name in images.classes] != [name[:2] for name in IMAGENET9]:
        raise ValueError(
            f"{root} has the classes {', '.join(images.classes)}: an ImageNet model is measured on ImageNet-9's, "
            f"{IMAGENET9[0]} to {IMAGENET9[-1]}"
        )
    return replace(images, classes=(*images.classes, OUTSIDE))


def _open(images: ImageSet, size: int, *, skip_bad: bool, say: Say) -> Store:
    recipe = Recipe(side=2 * size, composites=False)
    fits = estimate_bytes(images, recipe) < _IN_MEMORY
    return open_store(images, recipe, mode="memory" if fits else "none", skip_bad=skip_bad, say=say)


def _predict(model: Model, store: Store) -> Predictions:
    loader = BatchLoader(
        EvaluationData(store, model.image_size),
        evaluation_keys(len(store), BATCH),
        normalisation=model.normalisation,
        device=find_device(),
    )
    return collect(model.network, loader, store.images)


def _accuracies(
    subject: Subject, name: str, predictions: Predictions, *, data: str, data_hash: str
) -> list[dict[str, Any]]:
    """Accuracy over all images, then of each class."""
    about = {"data": data, "data_hash": data_hash}
    rows = [row(subject, "accuracy", name, measure(predictions.correct), **about)]
    for target, label in enumerate(predictions.classes):
        members = predictions.targets == target
        if members.any():
            rows.append(row(subject, "accuracy", name, measure(predictions.correct[members]), of_class=label, **about))
    return rows


def _pair_rows(subject: Subject, data: Path, collected: dict[str, tuple[Predictions, str]]) -> list[dict[str, Any]]:
    """Measures on images that share a foreground."""
    rows = []
    for first, second in PAIRS:
        if first not in collected or second not in collected:
            continue
        (a, digest_a), (b, digest_b) = collected[first], collected[second]
        i, j = paired(a, b)
        if not len(i):
            continue
        about = {"data": str(data), "data_hash": f"{digest_a}+{digest_b}"}

        def add(metric: str, dataset: str, measured: Measure, about: dict[str, str] = about) -> None:
            rows.append(row(subject, metric, dataset, measured, **about))

        add("feature_consistency", f"{first}~{second}", feature_consistency(a.features[i], b.features[j]))
        add("decision_consistency", f"{first}~{second}", decision_consistency(a.predicted[i], b.predicted[j]))
        if (first, second) == ("mixed_same", "mixed_rand"):
            add("bg_gap", f"{first}-{second}", background_gap(a.correct[i], b.correct[j]))
    return rows


def _adversarial_row(model: Model, data: Path, stores: dict[str, Store]) -> dict[str, Any]:
    missing = [name for name in ADVERSARIAL if name not in stores]
    if missing or not (data / "fg_mask").is_dir():
        raise ValueError(f"{data} lacks {', '.join(missing) or 'fg_mask'}: adversarial backgrounds need it")
    original, backgrounds = (stores[name] for name in ADVERSARIAL)
    masks = np.stack([centre_crop(_official_mask(data, path), model.image_size) for path in original.images.paths])
    device = find_device()
    survived = survives_backgrounds(
        model.network,
        torch.from_numpy(_pixels(original, model.image_size)).to(device),
        torch.from_numpy(masks).to(device),
        torch.from_numpy(original.images.targets).to(device),
        torch.from_numpy(_pixels(backgrounds, model.image_size)).to(device),
        normalisation=model.normalisation,
    )
    digest = f"{original.digest}+{backgrounds.digest}"
    return row(model.subject, "challenge_accuracy", "only_bg_t", measure(survived), data=str(data), data_hash=digest)


def _pixels(store: Store, size: int) -> NDArray[np.uint8]:
    return np.stack([centre_crop(store[i].image, size) for i in range(len(store))])


def _official_mask(data: Path, path: str) -> NDArray[np.uint8]:
    """The 0/1 mask of an image of the challenge, as 0 to 255."""
    file = (data / "fg_mask" / path).with_suffix(".npy")
    try:
        return (np.load(file) > 0).astype(np.uint8) * 255
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read the mask {file}: {error}") from None
