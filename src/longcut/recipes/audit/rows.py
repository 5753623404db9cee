"""An audit's tables: classes, and groups where the bias is labelled."""

from __future__ import annotations

from typing import Any

import numpy as np

from longcut.data.image_set import ImageSet
from longcut.evaluation.audit.result import Effect
from longcut.evaluation.audit.step_down import Differences
from longcut.evaluation.groups import group_measures
from longcut.recipes.audit.changes import SWAPPED
from longcut.recipes.audit.effects import Scored

GROUP_TITLES = {
    "class_balanced": "Mean accuracy of the classes",
    "unbiased": "Mean accuracy of the groups",
    "worst_group": "Accuracy of the worst group",
    "bias_aligned": "Accuracy where the bias goes with the class",
    "bias_conflicting": "Accuracy where it does not",
    "bias_gap": "Aligned less conflicting",
}
"""Measures by groups, and what they are called."""


def class_rows(scored: Scored, differences: Differences, classes: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    """A row for each class with images: its accuracy, and what each swap costs it."""
    rows = []
    for place in np.unique(scored.reference):
        members = scored.reference == place
        row: dict[str, Any] = {"name": classes[place], "n": int(members.sum())}
        if scored.unit == "accuracy":
            row["accuracy"] = float((scored.original.predicted[members] == place).mean())
        for cue, values in differences.items():
            own = values[members & np.isfinite(values)]
            row[SWAPPED[cue].name] = float(own.mean()) if len(own) else None
        rows.append(row)
    return tuple(rows)


def group_effects(scored: Scored, images: ImageSet) -> tuple[list[Effect], tuple[dict[str, Any], ...]]:
    """Measures by groups, and a row for each group; none without labels of class and bias."""
    if images.bias is None or scored.unit != "accuracy" or not (images.bias >= 0).any():
        return [], ()
    right = scored.original.predicted == scored.reference
    sizes = len(images.classes), len(images.bias_names)
    found = group_measures(right, scored.reference, images.bias, *sizes, paired=images.bias_is_paired)
    effects = [
        Effect(name, title, "groups", "measured", "accuracy", m.value, m.low, m.high, m.n)
        for name, title in GROUP_TITLES.items()
        if (m := found.measures.get(name)) is not None
    ]
    rows = [
        {
            "target": images.classes[target],
            "bias": images.bias_names[bias],
            "n": measured.n,
            "accuracy": measured.value,
            "low": measured.low,
            "high": measured.high,
        }
        for (target, bias), measured in found.of_group.items()
    ]
    return effects, tuple(rows)
