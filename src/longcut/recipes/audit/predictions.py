"""An audit of predictions alone: what needs no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from longcut.backbones.weight_files import file_hash
from longcut.data.image_set import ImageSet
from longcut.data.store import content_hash
from longcut.evaluation.audit.effects import Scores
from longcut.evaluation.audit.result import AuditResult, Effect, NotRun
from longcut.recipes.audit.effects import Scored, figures_of
from longcut.recipes.audit.extras.names import EXTRA
from longcut.recipes.audit.folder import drop_pictures, held
from longcut.recipes.audit.passes import keep_scores
from longcut.recipes.audit.preparing import AuditOptions
from longcut.recipes.audit.record import settings_of, versions
from longcut.recipes.audit.rows import class_rows, group_effects
from longcut.recipes.audit.scores import Pass
from longcut.recipes.given_predictions import Say, read_predictions
from longcut.recipes.opening.sources import PREDICTIONS
from longcut.recipes.reading import limited

_NEEDS_MODEL = ("background", "border", "colour", "texture", "file", "patches", "frequency", "attention", *EXTRA)
_WHY = "predictions alone do not say what a changed image would be taken for"


def audit_predictions(
    file: Path, images: ImageSet, out: Path, options: AuditOptions | None = None, *, say: Say = lambda line: None
) -> AuditResult:
    """Accuracy, calibration and groups of predictions that were made elsewhere; `audit.json` goes to a folder.

    Args:
        file: as `longcut.recipes.given_predictions.read_predictions` reads it.
        images: with classes.
        out: the folder.
        options: what is asked for.
        say: is told of lines that are about none of the images.

    Raises:
        ValueError: the images have no classes, or the file does not fit them.
    """
    options = options or AuditOptions()
    images = limited(images, options.limit)
    if not images.classes:
        raise ValueError(f"{images.root} has no class folders, and predictions alone say nothing without labels")
    predicted, confidence = read_predictions(file, images, say=say)
    sure = np.ones(len(images), np.float32) if confidence is None else confidence
    scored = Scored(Scores(predicted, sure, sure), Pass({}, {}), images.targets, "accuracy")
    known = options.suites if confidence is not None else tuple(s for s in options.suites if s != "calibration")
    figures = figures_of(scored, known)
    grouped, groups = group_effects(scored, images) if "groups" in options.suites else ([], ())
    result = AuditResult(
        title=f"{file.name} on {images.root.resolve().name}",
        model={"name": f"{PREDICTIONS}{file}", "hash": f"sha256:{file_hash(file)}"},
        data=_about(images),
        masks={"source": "none"},
        summary=_summary(figures[0], grouped),
        warnings=("Predictions alone: no cue could be changed, so nothing is said of shortcuts but by groups.",),
        shortcuts=(),
        effects=(*figures, *grouped),
        per_class=class_rows(scored, {}, images.classes),
        groups=groups,
        not_run=tuple(_not_run(options.suites, sure=confidence is not None, grouped=bool(grouped))),
        settings=settings_of(options),
        versions=versions(),
    )
    with held(out):
        keep_scores(out, images.paths, scored)
        result.save(out)
        drop_pictures(out, ())
    return result


def _about(images: ImageSet) -> dict[str, Any]:
    """Which images they were; nobody read them, so the hash is of their paths and classes."""
    return {
        "path": str(images.root),
        "hash": content_hash(images, [b""] * len(images)),
        "n": len(images),
        "classes": list(images.classes),
        "labelled": True,
    }


def _not_run(suites: tuple[str, ...], *, sure: bool, grouped: bool) -> list[NotRun]:
    lacking = dict.fromkeys(_NEEDS_MODEL, _WHY)
    lacking |= {} if sure else {"calibration": "the file has no column confidence"}
    lacking |= {} if grouped else {"groups": "the images have no labels of a bias"}
    return [NotRun(suite, lacking[suite]) for suite in suites if suite in lacking]


def _summary(accuracy: Effect, grouped: list[Effect]) -> str:
    text = f"{100 * accuracy.value:.1f} % of {accuracy.n:,} images are recognised."
    worst = next((effect for effect in grouped if effect.name == "worst_group"), None)
    return text if worst is None else f"{text} In the worst group it is {100 * worst.value:.1f} % of {worst.n:,}."
