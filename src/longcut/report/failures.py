"""Images that a model gets right until their background is swapped."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.background_challenge import foreground_name
from longcut.evaluation.predictions import DAMAGED, predictions_name
from longcut.report.groups import Group

REFERENCES = ("mixed_same", "original")
"""Where the model is right; it is wrong on `SWAPPED`."""
SWAPPED = "mixed_rand"

Foreground = tuple[str, str]
"""Class folder of the image that a foreground was cut from, and its path as the manifest says it, or else its stem."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The same foreground, recognised on one background and not on another."""

    group: str
    reference: str
    """Variant on which the model is right."""
    target: str
    predicted: str
    """What the swapped background makes of it."""
    confidence: float
    """Of the wrong class, a probability."""
    reference_confidence: float
    """Of the right class before, a probability."""
    reference_image: Path
    swapped_image: Path
    background: str | None
    """Class that the swapped background comes from, where the manifest says so."""


@dataclass(frozen=True, slots=True)
class _Predicted:
    targets: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64]
    foregrounds: list[Foreground]
    images: list[Path]
    backgrounds: list[str | None]
    classes: list[str]


def find_failures(group: Group, reference: str, limit: int) -> list[Failure]:
    """Failures of a group's first run with predictions: surest first within a class, the classes in turn.

    Args:
        group: whose runs hold predictions of `reference` and of Mixed-Rand.
        reference: variant on which the model is right.
        limit: at most so many.

    Returns:
        Nothing where there are no predictions.

    Raises:
        ValueError: a file of predictions is broken; names it.
    """
    files = {variant: predictions_name(variant, group.selection) for variant in (reference, SWAPPED)}
    runs = [run for run in group.runs if set(files.values()) <= run.predictions.keys()]
    if not runs:
        return []
    right, wrong = (_read(runs[0].predictions[name], variant) for variant, name in files.items())
    place = {f: i for i, f in enumerate(right.foregrounds) if right.predicted[i] == right.targets[i]}
    failing = [j for j, f in enumerate(wrong.foregrounds) if f in place and wrong.predicted[j] != wrong.targets[j]]
    by_class: dict[int, list[int]] = {}
    for j in sorted(failing, key=lambda j: (-wrong.confidence[j], wrong.foregrounds[j])):
        by_class.setdefault(int(wrong.targets[j]), []).append(j)
    in_turn = chain.from_iterable(zip_longest(*(by_class[c] for c in sorted(by_class))))
    chosen = [j for j in in_turn if j is not None][:limit]
    return [_failure(group.label, reference, right, place[wrong.foregrounds[j]], wrong, j) for j in chosen]


def _failure(label: str, reference: str, right: _Predicted, i: int, wrong: _Predicted, j: int) -> Failure:
    return Failure(
        group=label,
        reference=reference,
        target=wrong.classes[wrong.targets[j]],
        predicted=wrong.classes[wrong.predicted[j]],
        confidence=float(wrong.confidence[j]),
        reference_confidence=float(right.confidence[i]),
        reference_image=right.images[i],
        swapped_image=wrong.images[j],
        background=wrong.backgrounds[j],
    )


def _read(path: Path, variant: str) -> _Predicted:
    try:
        with path.open("rb") as stream, np.load(stream) as stored:
            logits, targets = stored["logits"].astype(np.float64), stored["targets"].astype(np.int64)
            paths, root, classes = stored["paths"].tolist(), Path(str(stored["root"])), stored["classes"].tolist()
    except DAMAGED as error:
        raise ValueError(f"{path} holds no whole predictions ({error}): run 'longcut evaluate' again") from error
    if not len(logits) == len(targets) == len(paths):
        raise ValueError(f"{path} holds no whole predictions (lengths differ): run 'longcut evaluate' again")
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    confidence = (exponentials / exponentials.sum(axis=1, keepdims=True)).max(axis=1)
    sources = _read_manifest(root, variant)
    pairs = [sources.get(_tail(p), (_foreground(p), None)) for p in paths]
    images = [root / p for p in paths]
    foregrounds, backgrounds = [f for f, _ in pairs], [b for _, b in pairs]
    return _Predicted(targets, logits.argmax(axis=1), confidence, foregrounds, images, backgrounds, classes)


def _foreground(path: str) -> Foreground:
    """From the name: `dog/fg_<stem>_bg_<stem>.png` or `dog/<stem>.JPEG`."""
    folder, name = _tail(path)
    return folder, foreground_name(Path(name).stem)


def _tail(path: str) -> tuple[str, str]:
    """Class folder and name of a file."""
    parts = path.replace("\\", "/").split("/")
    return (parts[-2] if len(parts) > 1 else ""), parts[-1]


def _read_manifest(root: Path, variant: str) -> dict[tuple[str, str], tuple[Foreground, str | None]]:
    """Foreground and class of the background of each file, from the builder's `manifest.csv` at or above `root`."""
    found = [folder / "manifest.csv" for folder in (root, *list(root.parents)[:2])]
    manifest = next((path for path in found if path.is_file()), None)
    if manifest is None:
        return {}
    with manifest.open(newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(lines)
        needed = {"variant", "file", "foreground", "background_class"}
        if not needed <= set(rows.fieldnames or ()):
            return {}
        return dict(_manifest_entries(rows, variant))


def _manifest_entries(
    rows: csv.DictReader[str], variant: str
) -> Iterator[tuple[tuple[str, str], tuple[Foreground, str | None]]]:
    for row in rows:
        if row["variant"] == variant and row["foreground"]:
            file = _tail(row["file"])
            yield file, ((file[0], row["foreground"]), row["background_class"] or None)


def interleave(lists: Sequence[Sequence[Failure]]) -> list[Failure]:
    """First of each, then second of each: what is cut off at the end is cut off fairly."""
    return [failure for turn in zip_longest(*lists) for failure in turn if failure is not None]
