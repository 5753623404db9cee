"""Audits by the name of a model and a folder of images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longcut.data.destination import check_outside
from longcut.data.layouts import LayoutOptions
from longcut.evaluation.audit.result import AuditResult
from longcut.recipes.audit.changes import ALONE, REMOVED, SWAPPED
from longcut.recipes.audit.extras.names import EXTRA_EFFECTS
from longcut.recipes.audit.folder import check_folder
from longcut.recipes.audit.predictions import audit_predictions
from longcut.recipes.audit.preparing import AuditOptions, Say
from longcut.recipes.audit.rows import GROUP_TITLES
from longcut.recipes.audit.run import run_audit
from longcut.recipes.models import open_model
from longcut.recipes.opening.model import ModelOptions
from longcut.recipes.opening.sources import PREDICTIONS
from longcut.recipes.reading import options_for, read_measured

AUDIT_FIGURES = (
    *("accuracy", "ece", "consistency", "attention_excess"),
    *(about.name for effects in (SWAPPED, REMOVED, ALONE) for about in effects.values()),
    *(about.name for about in EXTRA_EFFECTS.values()),
    *GROUP_TITLES,
)
"""Names of all effects that an audit can have."""


def audit_named(
    name: str,
    folder: Path,
    out: Path,
    options: AuditOptions | None = None,
    *,
    split: str | None = None,
    layout: LayoutOptions | None = None,
    say: Say = lambda line: None,
    **opening: Any,
) -> AuditResult:
    """Audit a model by its name on a folder of images.

    Args:
        name: as `longcut.recipes.models.open_model` takes it, or `predictions:FILE.csv`.
        folder: images, as `longcut.data.image_set.read_images` reads them.
        out: folder of the audit.
        options: what is asked for.
        split: of the images; else `test`, `val`, `valid` or `train`, the first that there is.
        layout: what to read of a layout that holds several targets or biases; else what a run was trained on.
        say: is told, in lines, what a person wants to know.
        opening: what `open_model` takes beside the name.

    Raises:
        ValueError: there is no such model, there are no images, one does not go with the other, or `out` lies among
            the images.
    """
    check_folder(out)
    check_outside(folder, out)
    options = options or AuditOptions()
    if name.startswith(PREDICTIONS):
        check_unsaid(opening)
        images = read_measured(folder, split, layout)
        return audit_predictions(Path(name.removeprefix(PREDICTIONS)), images, out, options, say=say)
    model, _ = open_model(name, out=out, or_random=True, **opening)
    images = read_measured(folder, split, options_for(model, folder, layout))
    return run_audit(model, images, out, options, say=say)


def check_unsaid(opening: Mapping[str, Any]) -> None:
    """Refuse what says something of a model where there is none.

    Args:
        opening: values of `ModelOptions` by name.

    Raises:
        ValueError: one is not as it is where nothing is said.
    """
    for option, value in opening.items():
        if value != getattr(ModelOptions(), option):
            raise ValueError(f"--{option.replace('_', '-')} goes with a model, and {PREDICTIONS}FILE.csv names none")
