"""ImageNet-C as it is published: folders `<corruption>/<severity>/<class>` of images that are corrupted already.

Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations" (ICLR 2019).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from longcut.corruptions import CORRUPTIONS, EXTRA
from longcut.data.image_set import ImageSet, read_images
from longcut.data.store import Recipe, fingerprint
from longcut.evaluation.class_mapping import map_classes
from longcut.evaluation.results import append_rows
from longcut.recipes.cells import Cell, Cells, cell_rows, mean_line, mean_rows, missing_note
from longcut.recipes.models import Model
from longcut.recipes.reading import Say, gathered, known_images, limited, open_images, predict
from longcut.recipes.suite_options import SuiteOptions

DATASET = "imagenet_c"


def measure_imagenet_c(model: Model, root: Path, out: Path, options: SuiteOptions, say: Say) -> list[dict[str, Any]]:
    """Accuracy on each corruption and severity that is there, and the means that are complete.

    A prediction of any of the model's classes counts, also of one that the folders lack. Folders of classes that the
    model does not know are said and left out. What is measured is kept in `out/suites`, and called again it goes on.

    Raises:
        ValueError: there is no corruption's folder, no class in common, or a corruption lacks some of the images.
    """
    chosen = _corruptions_in(root, options.only)
    cells = Cells(out / "suites" / DATASET / _key(model, root, options))
    measured: dict[tuple[str, int], Cell] = {}
    rows: list[dict[str, Any]] = []
    reference: Sequence[str] = ()
    for name, severity, folder in _cells_in(root, chosen, options.severities):
        classes, images = _read(model, folder, options, say, first=not reference)
        reference = reference or images.paths
        _check_same(folder, images.paths, reference)
        stamp = fingerprint(images, Recipe(model.image_size, composites=False))
        cell = cells.load(name, severity)
        if cell is None or cell.stamp != stamp:
            store = open_images(images, model.image_size, skip_bad=False, say=say)
            network = gathered(model, classes, outside=True)
            cell = Cell(predict(model, network, store).correct, store.digest, stamp)
            cells.save(name, severity, cell)
        measured[name, severity] = cell
        found = cell_rows(model.subject, DATASET, {(name, severity): cell}, data=str(root))
        append_rows(out / "results.jsonl", found)
        rows += found
        say(f"{name}/{severity}: {cell.correct.mean():.1%} of {len(cell.correct)}")
    means = mean_rows(model.subject, DATASET, measured, CORRUPTIONS, data=str(root), mce=model.is_imagenet)
    append_rows(out / "results.jsonl", means)
    say(missing_note(measured, CORRUPTIONS) or mean_line(means, DATASET))
    return rows + means


def _corruptions_in(root: Path, only: Sequence[str]) -> list[str]:
    wanted = [name for name in (*CORRUPTIONS, *EXTRA) if not only or name in only]
    there = [name for name in wanted if (root / name).is_dir()]
    if not there:
        raise ValueError(f"{root} holds no <corruption>/<severity>/<class>: none of {', '.join(wanted)}")
    return there


def _cells_in(root: Path, names: Sequence[str], severities: Sequence[int]) -> Iterator[tuple[str, int, Path]]:
    for name in names:
        for severity in severities:
            folder = root / name / str(severity)
            if folder.is_dir():
                yield name, severity, folder


def _read(
    model: Model, folder: Path, options: SuiteOptions, say: Say, *, first: bool
) -> tuple[tuple[tuple[int, ...], ...], ImageSet]:
    """Members of the classes in common, and the images of those."""
    images = read_images(folder)
    mapping = map_classes(images.classes, model.classes, options.mapping)
    if first and mapping.note:
        say(f"imagenet-c: {mapping.note}; left out")
    return mapping.members, limited(known_images(images, mapping), options.limit)


def _check_same(folder: Path, paths: Sequence[str], reference: Sequence[str]) -> None:
    if tuple(paths) != tuple(reference):
        other = sorted(set(paths) ^ set(reference))[0]
        raise ValueError(
            f"{folder} does not hold the same images as the other corruptions ({other} for one): unpack ImageNet-C anew"
        )


def _key(model: Model, root: Path, options: SuiteOptions) -> str:
    """Of everything that a measured cell depends on, but the files."""
    normalisation = asdict(model.normalisation)
    about = [
        model.subject.weights_hash,
        model.subject.head,
        str(root.absolute()),
        model.image_size,
        normalisation,
        options.limit,
    ]
    mapping = {folder: list(names) for folder, names in (options.mapping or {}).items()}
    return hashlib.sha256(json.dumps([about, mapping], sort_keys=True).encode()).hexdigest()[:16]
