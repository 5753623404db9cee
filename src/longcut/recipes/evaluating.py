"""A trained model over a data set or a Background Challenge, into `results.jsonl`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from longcut.data.store import Store
from longcut.evaluation.background_challenge import variants_in
from longcut.evaluation.predictions import Predictions
from longcut.evaluation.results import append_rows
from longcut.recipes.challenge import ADVERSARIAL, adversarial_row, pair_rows
from longcut.recipes.models import Model, open_model
from longcut.recipes.reading import Say, accuracy_rows, measured_split, open_images, predict, read_for

__all__ = ["Model", "evaluate", "open_model"]


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

    Args:
        model: to measure.
        data: images in class folders (their `test` or else `val` split, where they have splits), or a challenge.
        out: folder of the results.
        name: what the set is called in the rows; its split's name where None. A challenge's variants have theirs.
        adversarial: also find the share of foregrounds that no background flips; slow.
        skip_bad: leave unreadable images out and say which.
        say: is told which set is being measured.

    Raises:
        ValueError: there are no images, or their classes are not the model's.
    """
    rows: list[dict[str, Any]] = []
    collected: dict[str, tuple[Predictions, str]] = {}
    stores: dict[str, Store] = {}
    network: Any = model.network
    for label, root, split in parts_of(data, name):
        network, images = read_for(model, root, split)
        store = open_images(images, model.image_size, skip_bad=skip_bad, say=say)
        predictions = predict(model, network, store)
        predictions.save(out / "predictions" / f"{label}.npz")
        collected[label] = predictions, store.digest
        if adversarial and label in ADVERSARIAL:
            stores[label] = store
        found = accuracy_rows(model.subject, label, predictions, {"data": str(data), "data_hash": store.digest})
        say(f"{label}: {found[0]['value']:.1%} of {found[0]['n']}")
        rows += found
    rows += pair_rows(model.subject, data, collected)
    if adversarial:
        rows.append(adversarial_row(model, network, data, stores))
    out.mkdir(parents=True, exist_ok=True)
    append_rows(out / "results.jsonl", rows)
    return rows


def parts_of(data: Path, name: str | None = None) -> list[tuple[str, Path, str | None]]:
    """What is measured of a data set, as label, root and split: each variant of a challenge, else the test split."""
    variants = variants_in(data)
    if variants:
        return [(name, data / name, "val") for name in variants]
    split = measured_split(data)
    return [(name or split or "all", data, split or None)]
