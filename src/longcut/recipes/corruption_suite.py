"""Accuracy under corruptions that are made on the fly, in batch on the device."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longcut import __version__
from longcut.corruptions import CORRUPTIONS, EXTRA, corrupt
from longcut.data.batches import EvaluationData
from longcut.data.loader import Normalisation
from longcut.data.order import evaluation_keys
from longcut.data.store import Store
from longcut.engine.launch import find_device
from longcut.evaluation.finite import check_answers
from longcut.evaluation.metrics import measure
from longcut.evaluation.results import append_rows, row
from longcut.recipes.cells import Cell, Cells, cell_rows, mean_line, mean_rows, missing_note
from longcut.recipes.models import Model
from longcut.recipes.reading import BATCH, Say, limited, measured_split, open_images, options_for, read_for
from longcut.recipes.suite_options import SuiteOptions

_ON_DEVICE = 2e9  # bytes of clean images that stay there; a larger set is prepared anew for each corruption


def measure_corruptions(
    model: Model, data: Path | None, out: Path, options: SuiteOptions, say: Say, *, extra: bool = False
) -> list[dict[str, Any]]:
    """Accuracy under each corruption and severity, and their means.

    What is measured is kept in `out/suites`, and its rows are written as each corruption is done: called again, it goes
    on, and measures nothing twice of the same weights on the same images. Each corruption and severity draws from
    generators of its own, so the result depends neither on their order nor on which are measured.

    Args:
        model: to measure.
        data: clean images; those that the run was trained on (their `test` or else `val` split) where None.
        out: folder of the results.
        options: which corruptions and severities, and of how many images.
        say: is told each corruption's accuracies.
        extra: the four further corruptions instead of the fifteen.

    Raises:
        ValueError: there are no images, their classes are not the model's, or some answers name no class; see
            `check_answers`.
    """
    data = data or model.data
    if data is None:
        raise ValueError("needs --data, as the model is no run whose data would be taken")
    dataset, every = ("corruptions_extra", EXTRA) if extra else ("corruptions", CORRUPTIONS)
    chosen = [name for name in every if not options.only or name in options.only]
    if not chosen:
        raise ValueError(f"has none of {', '.join(options.only)}: its corruptions are {', '.join(every)}")
    network, images = read_for(model, data, measured_split(data, options_for(model, data)) or None)
    store = open_images(limited(images, options.limit), model.image_size, skip_bad=options.skip_bad, say=say)
    about = {"data": str(data), "data_hash": store.digest}
    clean = CleanImages(store, model.image_size)
    right = _correct(network, model, clean)
    rows = [row(model.subject, "accuracy", f"{dataset}/clean", measure(right), **about)]
    append_rows(out / "results.jsonl", rows)
    say(f"clean: {right.mean():.1%} of {len(store)}")
    cells = Cells(out / "suites" / dataset / _key(model, store))
    for place, name in enumerate(chosen, 1):
        todo = [severity for severity in options.severities if cells.load(name, severity) is None]
        for severity, found in _correct_under(network, model, clean, name, todo).items():
            cells.save(name, severity, Cell(found, store.digest))
        measured = {(name, severity): cells[name, severity] for severity in options.severities}
        found_rows = cell_rows(model.subject, dataset, measured, data=str(data))
        append_rows(out / "results.jsonl", found_rows)
        rows += found_rows
        shares = [f"{cell.correct.mean():.1%}" for cell in measured.values()]
        say(f"{name}: {' '.join(shares)} ({place}/{len(chosen)})")
    imagenet = model.is_imagenet and network is model.network
    known = cells.all(every)
    means = mean_rows(model.subject, dataset, known, every, data=str(data), mce=imagenet and not extra)
    append_rows(out / "results.jsonl", means)
    say(missing_note(known, every) or mean_line(means, dataset))
    return rows + means


class CleanImages:
    """The clean images of a store, `[b, c, h, w]` uint8 on the device with their targets, batch by batch.

    They stay on the device where they fit, so that images are decoded once for all corruptions.
    """

    def __init__(self, store: Store, size: int) -> None:
        self.paths = store.images.paths
        self._data = EvaluationData(store, size)
        self._keys = evaluation_keys(len(store), BATCH)
        self._kept: list[tuple[Tensor, Tensor]] | None = [] if len(store) * size**2 * 3 < _ON_DEVICE else None

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for place, key in enumerate(self._keys):
            if self._kept is not None and place < len(self._kept):
                yield self._kept[place]
                continue
            batch, device = self._data[key], find_device()
            prepared = batch["images"].permute(0, 3, 1, 2).contiguous().to(device), batch["targets"].to(device)
            if self._kept is not None:
                self._kept.append(prepared)
            yield prepared


@torch.inference_mode()
def _correct(network: Any, model: Model, clean: CleanImages) -> NDArray[np.bool_]:
    parts = [_right(network, model.normalisation, images, targets) for images, targets in clean]
    return _gathered(parts, clean, model)


@torch.inference_mode()
def _correct_under(
    network: Any, model: Model, clean: CleanImages, name: str, severities: Sequence[int]
) -> Mapping[int, NDArray[np.bool_]]:
    """`[s]` for each severity: whether each image is recognised."""
    parts: dict[int, list[Tensor]] = {severity: [] for severity in severities}
    if not severities:
        return {}
    for place, (images, targets) in enumerate(clean):
        for severity in severities:
            generator = torch.Generator(images.device).manual_seed(_seed(name, severity, place))
            corrupted = corrupt(images, name, severity, generator=generator)
            parts[severity].append(_right(network, model.normalisation, corrupted, targets))
    return {s: _gathered(found, clean, model, f"{name} of severity {s}") for s, found in parts.items()}


def _right(network: Any, normalisation: Normalisation, images: Tensor, targets: Tensor) -> Tensor:
    """`[2, b]` whether each image is recognised, as 0 or 1, and its largest logit."""
    logits: Tensor = network.classify(network.encode(normalisation(images.permute(0, 2, 3, 1))))
    largest, predicted = logits.float().max(dim=1)
    return torch.stack([(predicted == targets).to(largest), largest])


def _gathered(parts: Sequence[Tensor], clean: CleanImages, model: Model, form: str = "") -> NDArray[np.bool_]:
    right, largest = torch.cat(list(parts), dim=1).cpu().numpy()
    check_answers(largest, clean.paths, model.subject.run, form=form)
    found: NDArray[np.bool_] = right == 1
    return found


def _seed(name: str, severity: int, batch: int) -> int:
    """Of a batch's generator: the same whatever else is measured, before it or at all."""
    return int.from_bytes(hashlib.sha256(f"{name} {severity} {batch}".encode()).digest()[:7])


def _key(model: Model, store: Store) -> str:
    """Of everything that a measured cell depends on."""
    about = [
        model.subject.weights_hash,
        model.subject.head,
        store.digest,
        model.image_size,
        asdict(model.normalisation),
        BATCH,
        __version__,
    ]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
