"""What selection rules read: the scores of a model on a validation split, quickly, while it trains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.groups import group_accuracies
from longcut.evaluation.predictions import Predictions


def scores(predictions: Predictions, num_bias: int) -> dict[str, float]:
    """Scores by name, as `group_measures` defines them but without intervals.

    Args:
        predictions: of at least one sample, with their classes.
        num_bias: how many values the bias has, over all splits; 0 where it is not labelled.

    Returns:
        `accuracy` and `class_balanced`; where the bias of some sample is known also `unbiased` and `worst_group`; and
        where a value goes with each class `bias_aligned`, `bias_conflicting` and `bias_conflicting_samples`, each where
        it has a sample.
    """
    correct, targets, num_classes = predictions.correct, predictions.targets, len(predictions.classes)
    whole = group_accuracies(correct, targets, np.zeros_like(targets), num_classes, 1)
    found = {"accuracy": float(correct.mean()), "class_balanced": _mean(*whole)}
    if predictions.bias is None or not num_bias or not (predictions.bias >= 0).any():
        return found
    sums, counts = group_accuracies(correct, targets, predictions.bias, num_classes, num_bias)
    there = counts > 0
    found |= {"unbiased": _mean(sums, counts), "worst_group": float((sums[there] / counts[there]).min())}
    if num_bias != num_classes and not predictions.bias_is_paired:
        return found
    aligned = np.eye(num_classes, num_bias, dtype=bool)
    if counts[aligned].any():
        found["bias_aligned"] = _mean(sums[aligned], counts[aligned])
    if counts[~aligned].any():
        found["bias_conflicting"] = _mean(sums[~aligned], counts[~aligned])
        found["bias_conflicting_samples"] = float(sums[~aligned].sum() / counts[~aligned].sum())
    return found


def _mean(sums: NDArray[np.int64], counts: NDArray[np.int64]) -> float:
    """Mean accuracy of those groups that have a sample."""
    there = counts > 0
    return float((sums[there] / counts[there]).mean())
