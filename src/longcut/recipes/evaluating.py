"""A trained model over a data set or a Background Challenge, into `results.jsonl`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from longcut.data.destination import check_outside
from longcut.data.layouts import LayoutOptions
from longcut.data.store import Store
from longcut.evaluation.background_challenge import variants_in
from longcut.evaluation.heads import measure_of
from longcut.evaluation.predictions import Predictions
from longcut.evaluation.results import append_rows
from longcut.recipes.challenge import ADVERSARIAL, adversarial_row, check_adversarial, pair_rows
from longcut.recipes.group_rows import group_lines, group_rows
from longcut.recipes.models import Model, open_model
from longcut.recipes.reading import (
    Say,
    accuracy_rows,
    measured_split,
    open_images,
    options_for,
    predict,
    read_for,
    save_predictions,
)

__all__ = ["Model", "evaluate", "evaluate_all", "open_model"]


def evaluate(
    model: Model,
    data: Path,
    out: Path,
    *,
    name: str | None = None,
    adversarial: bool = False,
    skip_bad: bool = False,
    say: Say = lambda line: None,
) -> list[dict[str, Any]]:
    """Measure a model on a data set, or on every variant of a Background Challenge, and keep the rows.

    Predictions go to `out/predictions`, rows to `out/results.jsonl`, where they replace those of the same measurement.
    Where the bias of the images is labelled, there are measures by groups as well.

    Args:
        model: to measure.
        data: images in class folders (their `test` or else `val` split, where they have splits), or a challenge.
        out: folder of the results.
        name: what the set is called in the rows; its split's name where None. A challenge's variants have theirs.
        adversarial: also find the share of foregrounds that no background flips; slow.
        skip_bad: leave unreadable images out and say which.
        say: is told which set is being measured.

    Raises:
        ValueError: there are no images, their classes are not the model's, or `out` lies among them.
        NotFiniteError: some answers name no class; see `longcut.evaluation.finite.check_answers`.
    """
    return evaluate_all([model], data, out, name=name, adversarial=adversarial, skip_bad=skip_bad, say=say)


def evaluate_all(
    models: Sequence[Model],
    data: Path,
    out: Path,
    *,
    name: str | None = None,
    adversarial: bool = False,
    skip_bad: bool = False,
    say: Say = lambda line: None,
) -> list[dict[str, Any]]:
    """Measure several checkpoints of one run side by side, as `evaluate` does one: the images are decoded once.

    Args:
        models: one run's, each of another selection rule.
        data: as for `evaluate`.
        out: likewise.
        name: likewise.
        adversarial: likewise.
        skip_bad: likewise.
        say: likewise.

    Raises:
        ValueError: there are no images, their classes are not the models', or the models are not of one run.
        NotFiniteError: some answers name no class; see `longcut.evaluation.finite.check_answers`.
    """
    first = _first_of_alike(models)
    if adversarial:
        check_adversarial(data)
    rows: list[dict[str, Any]] = []
    collected: list[dict[str, tuple[Predictions, str]]] = [{} for _ in models]
    stores: dict[str, Store] = {}
    networks: list[Any] = [model.network for model in models]
    for label, root, split in parts_of(data, name, options_for(first, data)):
        check_outside(root, out)
        # A run's network reads every part as it is; only that of an ImageNet model, which comes alone, depends on it.
        networks[0], images = read_for(first, root, split)
        store = open_images(images, first.image_size, skip_bad=skip_bad, say=say)
        if adversarial and label in ADVERSARIAL:
            stores[label] = store
        about = {"data": str(data), "data_hash": store.digest}
        said = _predict_each(models, networks, store)
        for line in group_lines(said[0]):
            say(f"{label}: {line}")
        for model, predictions, so_far in zip(models, said, collected, strict=True):
            so_far[label] = predictions, store.digest
            save_predictions(predictions, model, label, out)
            found = accuracy_rows(model.subject, label, predictions, about)
            found += group_rows(model.subject, label, predictions, about)
            say(_told(label, found, model.subject.selection if len(models) > 1 else ""))
            rows += found
    for model, network, so_far in zip(models, networks, collected, strict=True):
        rows += pair_rows(model.subject, data, so_far)
        if adversarial:
            rows.append(adversarial_row(model, network, data, stores))
    out.mkdir(parents=True, exist_ok=True)
    append_rows(out / "results.jsonl", rows)
    return rows


def parts_of(
    data: Path, name: str | None = None, options: LayoutOptions | None = None
) -> list[tuple[str, Path, str | None]]:
    """What is measured of a data set, as label, root and split: each variant of a challenge, else the test split."""
    variants = variants_in(data)
    if variants:
        return [(name, data / name, "val") for name in variants]
    split = measured_split(data, options)
    return [(name or split or "all", data, split or None)]


def _first_of_alike(models: Sequence[Model]) -> Model:
    """The first of some models that read a data set in the same way."""
    first = models[0]
    for model in models[1:]:
        if (model.subject.run, model.classes) != (first.subject.run, first.classes):
            raise ValueError(f"{model.subject.run} is another run than {first.subject.run}: measure them one by one")
    return first


def _predict_each(models: Sequence[Model], networks: Sequence[Any], store: Store) -> list[Predictions]:
    """What each model says; where two rules chose the same step, the network is run once."""
    said: dict[str, Predictions] = {}
    for model, network in zip(models, networks, strict=True):
        if model.subject.weights_hash not in said:
            said[model.subject.weights_hash] = predict(model, network, store)
    return [said[model.subject.weights_hash] for model in models]


def _told(label: str, rows: Sequence[Mapping[str, Any]], rule: str) -> str:
    """The main figures, for the person."""
    values = {measure_of(entry["metric"]): entry["value"] for entry in rows if entry["class"] is None}
    told = f"{label} ({rule})" if rule else label
    told += f": {values['accuracy']:.1%} of {rows[0]['n']}"
    if "unbiased" in values:
        told += f", unbiased {values['unbiased']:.1%}, worst group {values['worst_group']:.1%}"
    return told
