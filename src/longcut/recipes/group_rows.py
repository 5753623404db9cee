"""Measures by groups, as rows, of a data set whose bias is labelled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from longcut.evaluation.groups import GroupMeasures, group_measures
from longcut.evaluation.predictions import Predictions
from longcut.evaluation.results import Subject, row

_SHOWN = 3


def group_rows(
    subject: Subject, dataset: str, predictions: Predictions, about: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Each measure, then the accuracy of each group, whose `class` is `<class>/<bias>`; none without bias labels.

    Args:
        subject: what was measured.
        dataset: what the rows call it.
        predictions: to measure.
        about: `data` and `data_hash`; the rows' hash is also of the bias labels.
    """
    found = _measures(predictions)
    if found is None:
        return []
    about = {**about, "data_hash": f"{about['data_hash']}+{_labels_hash(predictions)}"}
    rows = [row(subject, name, dataset, value, **about) for name, value in found.measures.items()]
    names = _group_names(predictions, list(found.of_group))
    values = zip(names, found.of_group.values(), strict=True)
    return rows + [row(subject, "group_accuracy", dataset, value, of_class=name, **about) for name, value in values]


def group_lines(predictions: Predictions) -> list[str]:
    """What the measures by groups leave out and why, for the person."""
    found = _measures(predictions)
    if found is None:
        return []
    lines = []
    if found.unknown:
        lines.append(f"{found.unknown} of {len(predictions)} images have no bias label and are in no group")
    if found.empty:
        names = ", ".join(_group_names(predictions, found.empty[:_SHOWN]))
        more = f" and {len(found.empty) - _SHOWN} more" if len(found.empty) > _SHOWN else ""
        count = len(found.empty) + len(found.of_group)
        lines.append(f"{len(found.empty)} of {count} groups have no image and count in no mean: {names}{more}")
    if not predictions.bias_is_paired:
        values, classes = len(_bias_names(predictions)), len(predictions.classes)
        lines.append(f"{values} values of the bias do not go with {classes} classes: no image is aligned or conflicts")
    return lines


def _measures(predictions: Predictions) -> GroupMeasures | None:
    """Measures by groups; None where the bias of no image is known."""
    if predictions.bias is None or not (predictions.bias >= 0).any():
        return None
    return group_measures(
        predictions.correct,
        predictions.targets,
        predictions.bias,
        len(predictions.classes),
        len(_bias_names(predictions)),
        paired=predictions.bias_is_paired,
    )


def _group_names(predictions: Predictions, groups: Sequence[tuple[int, int]]) -> list[str]:
    biases = _bias_names(predictions)
    return [f"{predictions.classes[y]}/{biases[b]}" for y, b in groups]


def _bias_names(predictions: Predictions) -> tuple[str, ...]:
    """Names of the bias's values; their numbers where the predictions are of a time without names."""
    assert predictions.bias is not None  # _measures() has refused those without
    return predictions.bias_names or tuple(str(value) for value in range(int(predictions.bias.max()) + 1))


def _labels_hash(predictions: Predictions) -> str:
    """SHA-256 over the names and the label of every image."""
    digest = hashlib.sha256(json.dumps(predictions.bias_names).encode())
    digest.update(np.asarray(predictions.bias, np.int64).tobytes())
    return f"sha256:{digest.hexdigest()}"
