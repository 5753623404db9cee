"""An audit of predictions alone: what needs no model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from longcut.data.image_set import ImageSet
from longcut.evaluation.audit_result import AuditResult, Effect, NotRun
from longcut.evaluation.calibration import calibration_effect
from longcut.evaluation.effects import About, Scores, score_effect
from longcut.recipes.audit_effects import Scored
from longcut.recipes.audit_record import versions
from longcut.recipes.audit_rows import class_rows, group_effects
from longcut.recipes.audit_scores import Pass
from longcut.recipes.given_predictions import Say, read_predictions

_NEEDS_MODEL = ("background", "border", "colour", "texture", "file", "patches", "frequency", "attention")
_WHY = "predictions alone do not say what a changed image would be taken for"


def audit_predictions(file: Path, images: ImageSet, out: Path, *, say: Say = lambda line: None) -> AuditResult:
    """Accuracy, calibration and groups of predictions that were made elsewhere; `audit.json` goes to a folder.

    Args:
        file: as `longcut.recipes.given_predictions.read_predictions` reads it.
        images: with classes.
        out: the folder.
        say: is told of lines that are about none of the images.

    Raises:
        ValueError: the images have no classes, or the file does not fit them.
    """
    if not images.classes:
        raise ValueError(f"{images.root} has no class folders, and predictions alone say nothing without labels")
    predicted, confidence = read_predictions(file, images, say=say)
    sure = np.ones(len(images), np.float32) if confidence is None else confidence
    scored = Scored(Scores(predicted, sure, sure), Pass({}, {}), images.targets, "accuracy")
    about = About("accuracy", "Accuracy", "figures")
    effects = [score_effect(about, scored.original, images.targets, unit="accuracy")]
    not_run = [NotRun(suite, _WHY) for suite in _NEEDS_MODEL]
    if confidence is None:
        not_run.append(NotRun("calibration", "the file has no column confidence"))
    else:
        about = About("ece", "Calibration error (15 bins)", "calibration")
        effects.append(calibration_effect(about, confidence, predicted == images.targets))
    grouped, groups = group_effects(scored, images)
    if not grouped:
        not_run.append(NotRun("groups", "the images have no labels of a bias"))
    result = AuditResult(
        title=f"{file.name} on {images.root.name}",
        model={"name": f"predictions:{file}"},
        data={"path": str(images.root), "n": len(images), "classes": list(images.classes), "labelled": True},
        masks={"source": "none"},
        summary=_summary(effects[0], grouped),
        warnings=("Predictions alone: no cue could be changed, so nothing is said of shortcuts but by groups.",),
        shortcuts=(),
        effects=(*effects, *grouped),
        per_class=class_rows(scored, {}, images.classes),
        groups=groups,
        not_run=tuple(not_run),
        versions=versions(),
    )
    result.save(out)
    return result


def _summary(accuracy: Effect, grouped: list[Effect]) -> str:
    text = f"{100 * accuracy.value:.1f} % of {accuracy.n:,} images are recognised."
    worst = next((effect for effect in grouped if effect.name == "worst_group"), None)
    return text if worst is None else f"{text} In the worst group it is {100 * worst.value:.1f} % of {worst.n:,}."
