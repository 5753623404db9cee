"""Shape bias on cue-conflict stimuli."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longcut.data.stimuli import read_stimuli
from longcut.evaluation.class_mapping import ClassMapping, map_classes
from longcut.evaluation.metrics import Measure
from longcut.evaluation.results import append_rows, row
from longcut.evaluation.shape_bias import ShapeBias, shape_bias
from longcut.recipes.models import Model
from longcut.recipes.reading import Say, gathered, known_images, limited, open_images, predict, save_predictions
from longcut.recipes.suite_options import SuiteOptions

DATASET = "cue_conflict"


def measure_cue_conflict(model: Model, root: Path, out: Path, options: SuiteOptions, say: Say) -> list[dict[str, Any]]:
    """Shape bias, pooled and of each shape, and the shares of decisions for the shape, the texture and neither.

    A decision is the class with the largest mean probability over those of the model's classes that it is, among the
    classes of the stimuli that the model knows. Stimuli of other classes, of the shape or of the texture, are left out
    and counted, and so are those whose texture is of their shape's class. Stimuli are square: nothing is cropped.

    Raises:
        ValueError: a name tells no texture, no class is in common, or no stimulus is a conflict.
    """
    stimuli = read_stimuli(root)
    mapping = map_classes(stimuli.classes, model.classes, options.mapping)
    known = known_images(stimuli, mapping)
    assert known.bias is not None
    conflicts = known.targets != known.bias
    if not conflicts.any():
        raise ValueError(_no_conflict(root, mapping))
    if mapping.note:
        say(f"cue-conflict: {mapping.note}; {len(stimuli) - len(known)} of {len(stimuli)} stimuli left out")
    if not conflicts.all():
        say(f"cue-conflict: {(~conflicts).sum()} stimuli with the texture of their own class left out")
    images = limited(known.select(conflicts), options.limit)
    store = open_images(images, model.image_size, skip_bad=options.skip_bad, say=say)
    predictions = predict(model, gathered(model, mapping.members, how="mean_probability"), store)
    save_predictions(predictions, model, DATASET, out)
    assert predictions.bias is not None
    found = shape_bias(predictions.predicted, predictions.targets, predictions.bias)
    rows = _rows(model, found, mapping, {"data": str(root), "data_hash": store.digest})
    append_rows(out / "results.jsonl", rows)
    for line in _lines(found, mapping):
        say(f"cue-conflict: {line}")
    return rows


def _rows(model: Model, found: ShapeBias, mapping: ClassMapping, about: Mapping[str, str]) -> list[dict[str, Any]]:
    """What is undefined has no row."""
    whole: dict[str, Measure | None] = {
        "shape_bias": found.pooled,
        "mean_class_shape_bias": found.class_mean,
        "shape_fraction": found.shape_fraction,
        "texture_fraction": found.texture_fraction,
        "other_fraction": found.other_fraction,
    }
    rows = [row(model.subject, name, DATASET, value, **about) for name, value in whole.items() if value is not None]
    return rows + [
        row(model.subject, "shape_bias", DATASET, value, of_class=mapping.classes[place], **about)
        for place, value in found.of_class.items()
        if value is not None
    ]


def _lines(found: ShapeBias, mapping: ClassMapping) -> list[str]:
    decided = "undefined (no decision for the shape or the texture)"
    if found.pooled is not None:
        decided = f"{found.pooled.value:.1%} of {found.pooled.n} decisions for the shape or the texture"
    fractions = (found.shape_fraction, found.texture_fraction, found.other_fraction)
    shares = [f"{name} {part.value:.1%}" for name, part in zip(("shape", "texture", "other"), fractions, strict=True)]
    lines = [f"shape bias {decided}", f"of {found.shape_fraction.n} conflicts: {', '.join(shares)}"]
    undefined = [mapping.classes[place] for place, value in found.of_class.items() if value is None]
    if undefined and found.pooled is not None:
        lines.append(f"shape bias undefined for {', '.join(undefined)}")
    return lines


def _no_conflict(root: Path, mapping: ClassMapping) -> str:
    note = f" ({mapping.note})" if mapping.note else ""
    return f"{root} has no stimulus with a shape and a texture of two classes that the model knows{note}"
