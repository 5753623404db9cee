"""What discovery found, as files: pseudo-groups to train with, and the images that carry and that break each cue."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from longcut.data.builders.picture_grid import picture_grid
from longcut.data.decoding import read_image, write_image, write_whole
from longcut.data.destination import check_outside
from longcut.evaluation.cues.classifier import margins
from longcut.evaluation.cues.result import Discovery

FILE, GROUPS, CARRY = "discover.json", "pseudo_groups.csv", "carry.csv"
_LISTED = 24  # of each class and kind
_SHOWN = 8
_CLASSES_SHOWN = 4


class Carrier(NamedTuple):
    """An image that carries a cue most clearly, or that breaks it."""

    cue: str
    kind: str
    """`carries`: the cue says the image's own class; `breaks`: it says another."""
    path: str
    target: str
    says: str
    """Class that the cue says."""
    margin: float
    """Score of its own class minus the best of the others."""


def check_folder(root: Path, out: Path) -> None:
    """Refuse a folder that a discovery must not write to, before any work is done.

    Raises:
        ValueError: it lies among the images, or is a file.
    """
    if out.is_file():
        raise ValueError(f"{out} is a file: --out names a folder")
    check_outside(root, out)


def write_discovery(found: Discovery, out: Path, splits: Mapping[str, str] | None = None) -> list[Path]:
    """Write `discover.json`, and where a cue is named `pseudo_groups.csv`, `carry.csv` and a picture for each cue.

    Files of a former discovery in the folder are replaced.

    Args:
        found: what was found.
        out: folder to write in.
        splits: split of each path.

    Returns:
        The files.
    """
    out.mkdir(parents=True, exist_ok=True)
    for former in (out / GROUPS, out / CARRY, *out.glob("carry_*.jpg")):
        former.unlink(missing_ok=True)
    write_whole(out / FILE, json.dumps(found.record(), indent=1).encode())
    files = [out / FILE]
    if found.named:
        _write_table(out / GROUPS, _group_rows(found, out, splits or {}))
        carriers = {cue: carriers_of(found, cue) for cue in found.named}
        rows = [each for members in carriers.values() for each in members]
        _write_table(out / CARRY, iter([Carrier._fields, *((*each[:-1], f"{each.margin:.4f}") for each in rows)]))
        files += [out / GROUPS, out / CARRY]
    for cue in found.named:
        write_image(out / f"carry_{cue}.jpg", _picture(found, carriers[cue]))
        files.append(out / f"carry_{cue}.jpg")
    return files


def carriers_of(found: Discovery, cue: str) -> list[Carrier]:
    """Images of each class that carry a named cue most clearly, then those that break it, clearest first."""
    images, scores = found.images, found.scores[cue]
    margin, says = margins(scores, images.targets), scores.argmax(axis=1)
    carriers = []
    for target, name in enumerate(images.classes):
        mine = np.flatnonzero(found.measured & (images.targets == target))
        ordered = mine[np.argsort(-margin[mine], kind="stable")]
        right = says[ordered] == target
        for kind, members in (("carries", ordered[right]), ("breaks", ordered[~right][::-1])):
            carriers += [
                Carrier(cue, kind, images.paths[i], name, images.classes[says[i]], float(margin[i]))
                for i in members[:_LISTED].tolist()
            ]
    return carriers


def _group_rows(found: Discovery, out: Path, splits: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Rows that `read_images` reads, with the classes' names for biases; files relative to the table's folder."""
    images, groups = found.images, found.pseudo_groups
    assert groups is not None  # a cue is named
    parts = [splits.get(path, "") for path in images.paths]
    has_splits, masks = any(parts), images.masks
    yield "path", "target", *["split"] * has_splits, "bias", *["mask"] * (masks is not None)
    here = out.resolve()
    for i, path in enumerate(images.paths):
        names = images.classes[images.targets[i]], *[parts[i]] * has_splits, images.classes[groups[i]]
        mask = () if masks is None else (_relative(masks[i], here),)
        yield _relative(images.root / path, here), *names, *mask


def _relative(file: Path, folder: Path) -> str:
    return Path(os.path.relpath(file.parent.resolve() / file.name, folder)).as_posix()


def _write_table(file: Path, rows: Iterator[tuple[str, ...]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_whole(file, text.getvalue().encode())


def _picture(found: Discovery, carriers: list[Carrier]) -> NDArray[np.uint8]:
    """A row of those that carry the cue for each of the first classes, and below it a row of those that break it."""
    shown = dict.fromkeys(each.target for each in carriers)
    rows = [
        [each for each in carriers if (each.target, each.kind) == (target, kind)][:_SHOWN]
        for target in list(shown)[:_CLASSES_SHOWN]
        for kind in ("carries", "breaks")
    ]
    rows = [row for row in rows if row]
    return picture_grid(
        [[read_image(found.images.root / each.path) for each in row] for row in rows],
        [
            [each.target if each.kind == "carries" else f"{each.target}, said {each.says}" for each in row]
            for row in rows
        ],
    )
