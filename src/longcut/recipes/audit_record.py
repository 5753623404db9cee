"""What an audit says of itself: the model, the images, the settings, and what belongs at the top of its page."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

from longcut import __version__
from longcut.evaluation.audit_result import NotRun
from longcut.evaluation.results import commit
from longcut.recipes.audit_changes import FILE
from longcut.recipes.audit_preparing import AuditOptions, Prepared
from longcut.recipes.models import Model

_FEW = 30
"""Fewer images give intervals too wide to say much."""
_MOVES = "Measured is how often predictions move, not whether they are right."


def warnings_of(prepared: Prepared) -> tuple[str, ...]:
    """What belongs at the top of the page."""
    labelled, found = prepared.labelled, list(prepared.model.remarks)

    if labelled.why_not:
        found.append(
            f"No labels: {labelled.why_not}. Measured is how often predictions move, not whether they are right."
        )
    if labelled.note:
        found.append(labelled.note[:1].upper() + labelled.note[1:] + ".")
    if len(prepared.store) < _FEW:
        found.append(f"{len(prepared.store)} images are few: intervals are wide, and small shortcuts are not seen.")
    if prepared.masks["source"] == "grabcut":
        found.append("The foreground masks are GrabCut's guess: what rests on them is marked.")
    return tuple(found)


def left_out(prepared: Prepared, options: AuditOptions) -> list[NotRun]:
    """Suites that were asked for and have nothing to work on."""
    found = []
    if "groups" in options.suites and (prepared.images.bias is None or not prepared.labelled.labelled):
        found.append(NotRun("groups", "the images have no labels of a bias, or none of their class"))
    if "calibration" in options.suites and not prepared.labelled.labelled:
        found.append(NotRun("calibration", "without labels nothing says whether the model is right"))
    if FILE in options.suites and len(np.unique(prepared.qualities)) < 2:
        quality = int(prepared.qualities[0])
        what = f"are JPEG of quality {quality}" if quality else "are no JPEG"
        found.append(NotRun(FILE, f"all files {what}, so none could lend another a quality"))
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
    return {name: str(value) if isinstance(value, Path) else value for name, value in told.items()}


def key_of(prepared: Prepared, options: AuditOptions) -> dict[str, Any]:
    """What the numbers depend on."""
    masks = {name: prepared.masks[name] for name in ("source", "usable")}
    about = {"model": about_model(prepared.model), "data": about_data(prepared), "masks": masks}
    return {
        **about,
        "suites": list(options.suites),
        "seed": options.seed,
        "batch": options.batch,
        "version": __version__,
    }


def versions() -> dict[str, Any]:
    """What an audit was made with."""
    return {
        "longcut": __version__,
        "commit": commit(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
