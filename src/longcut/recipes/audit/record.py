"""What an audit says of itself: the model, the images, the settings, and what belongs at the top of its page."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from longcut import __version__
from longcut.data.image_set import ImageSet
from longcut.data.stimuli import read_stimuli
from longcut.data.store import Recipe, fingerprint
from longcut.evaluation.audit.result import NotRun
from longcut.evaluation.results import commit
from longcut.recipes.audit.changes import FILE
from longcut.recipes.audit.folder import GIVEN
from longcut.recipes.audit.preparing import AuditOptions, Prepared
from longcut.recipes.audit.scores import Indices
from longcut.recipes.models import Model

_FEW = 30
"""Fewer images give intervals too wide to say much."""


def title_of(model: Model, images: ImageSet) -> str:
    """Names both."""
    root = images.root.resolve()
    return f"{model.subject.preset} on {f'{len(images)} images' if root.name == GIVEN else root.name}"


def warnings_of(prepared: Prepared, predicted: Indices) -> tuple[str, ...]:
    """What belongs at the top of the page.

    Args:
        prepared: what was worked on.
        predicted: `[s]` on the unchanged images.
    """
    labelled, masks = prepared.labelled, prepared.masks
    found = list(map(_sentence, prepared.model.remarks))
    if labelled.why_not:
        found.append(
            f"No labels: {labelled.why_not}. Measured is how often predictions move, not whether they are right."
        )
    if labelled.note:
        found.append(_sentence(labelled.note))
    if len(prepared.store) < _FEW:
        found.append(f"{len(prepared.store)} images are few: intervals are wide, and small shortcuts are not seen.")
    if (predicted == predicted[0]).all():
        name = labelled.classes[predicted[0]]
        found.append(f"The model says {name!r} of every image: what it looks at cannot be told.")
    if masks["source"] == "grabcut":
        found.append("The foreground masks are GrabCut's guess: what rests on them is marked.")
    if masks["source"] != "none" and masks["usable"] < masks["images"]:
        lacking = f"{masks['images'] - masks['usable']} of {masks['images']}"
        found.append(f"Of {lacking} images there is no foreground mask: what rests on masks leaves them out.")
    return tuple(found)


def left_out(prepared: Prepared, options: AuditOptions) -> list[NotRun]:
    """Suites that were asked for and have nothing to work on."""
    found = []
    if "groups" in options.suites and (prepared.images.bias is None or not prepared.labelled.labelled):
        found.append(NotRun("groups", "the images have no labels of a bias, or none of their class"))
    if "calibration" in options.suites and not prepared.labelled.labelled:
        found.append(NotRun("calibration", "without labels nothing says whether the model is right"))
    if FILE in options.suites and not prepared.qualities_differ:
        known = sorted({int(quality) for quality in prepared.jpeg_qualities})
        span = f"{known[0]}" if len(known) == 1 else f"{known[0]} to {known[-1]}" if known else ""
        what = f"all files are JPEG of quality {span}" if known else "no file is a JPEG"
        found.append(NotRun(FILE, f"{what}, so none could lend another a quality"))
    return found


def about_model(model: Model) -> dict[str, Any]:
    """Which model it was."""
    subject = model.subject
    return {
        "name": subject.preset,
        "run": subject.run,
        "step": subject.step,
        "selection": subject.selection,
        "starting_weights": subject.starting_weights,
        "weights_hash": subject.weights_hash,
        "head": subject.head,
        "num_classes": model.num_classes,
        "image_size": model.image_size,
        "crop": model.crop,
        "mean": list(model.normalisation.mean),
        "std": list(model.normalisation.std),
    }


def about_data(prepared: Prepared) -> dict[str, Any]:
    """Which images they were."""
    labelled, images = prepared.labelled, prepared.images
    return {
        "path": str(images.root),
        "hash": prepared.store.digest,
        "n": len(images),
        "classes": list(images.classes),
        "labelled": labelled.labelled,
        "why_not": labelled.why_not,
    }


def settings_of(options: AuditOptions) -> dict[str, Any]:
    """What was asked for."""
    told = {name: value for name, value in vars(options).items() if name not in ("cache", "mapping")}
    told = {name: str(value) if isinstance(value, Path) else value for name, value in told.items()}
    return told | {"suites": list(options.suites)}


def key_of(prepared: Prepared, options: AuditOptions) -> dict[str, Any]:
    """What the scores depend on."""
    model, mapping, conflicts = prepared.model, options.mapping, options.conflicts
    return {
        "model": about_model(model),
        "model_classes": list(model.classes),
        "remarks": list(model.remarks),
        "mapping": None if mapping is None else {folder: list(names) for folder, names in mapping.items()},
        "data": about_data(prepared),
        "masks": {name: prepared.masks[name] for name in ("source", "usable")},
        "conflicts": None if conflicts is None else fingerprint(read_stimuli(conflicts), Recipe(0, composites=False)),
        "suites": list(options.suites),
        "seed": options.seed,
        "batch": options.batch,
        "versions": versions(),
    }


def hash_of(key: Mapping[str, Any], options: AuditOptions) -> str:
    """SHA-256 of everything that an audit's figures depend on: what its scores do, and what is made of them."""
    told = json.dumps([key, settings_of(options)], sort_keys=True)
    return f"sha256:{hashlib.sha256(told.encode()).hexdigest()}"


def versions() -> dict[str, Any]:
    """What an audit was made with."""
    return {
        "longcut": __version__,
        "commit": commit(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _sentence(remark: str) -> str:
    return f"{remark[:1].upper()}{remark[1:]}."
