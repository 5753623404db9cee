"""Calibration: whether a model is right as often as it says.

Guo et al., "On calibration of modern neural networks" (ICML 2017).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.audit.effects import About, effect_of
from longcut.evaluation.audit.intervals import Estimate, index_blocks, row_counts
from longcut.evaluation.audit.result import Effect


def calibration_error(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], *, bins: int = 15, seed: int = 0
) -> Estimate:
    """Expected calibration error: the mean over images of the gap in their bin (equation 3).

    The gap of a bin is how far its accuracy lies from its mean confidence; bins are of equal width, open below and
    closed above. Resampled images have larger gaps than the images themselves, and those larger ones than all images
    there could be; the interval is therefore the pivotal one, which mirrors the resamples about the value. It reaches
    down to 0 where a model that is right exactly as often as it says would have an error as large in more than 2.5 % of
    draws (consistency resampling).

    Args:
        confidence: `[s]` probability of the predicted class.
        correct: `[s]` whether it is the target.
        bins: how many.
        seed: of the bootstrap.

    Raises:
        ValueError: there are no images, not the same number of both, or a confidence that is no probability.

    Source:
        Bröcker and Smith, "Increasing the reliability of reliability diagrams" (Weather and Forecasting, 2007): the
        resampling under perfect calibration.
    """
    values, n = np.asarray(confidence, np.float64), len(correct)
    if n == 0 or len(values) != n:
        raise ValueError(f"calibration needs a confidence and a decision of the same images: {len(values)} and {n}")
    if not ((values >= 0) & (values <= 1 + 1e-6)).all():
        raise ValueError("calibration needs confidences from 0 to 1: take the softmax of the logits first")
    edges = np.linspace(0, 1, bins + 1)
    places = np.searchsorted(edges[1:-1], values, side="left")
    gaps = correct.astype(np.float64) - values
    error = float(_errors(places[None], gaps[None], bins)[0])
    generator = np.random.default_rng(seed)
    resamples, calibrated = [], []
    for rows in index_blocks(n, seed=seed):
        resamples.append(_errors(places[rows], gaps[rows], bins))
        drawn = (generator.random(rows.shape) < values) - values
        calibrated.append(_errors(np.broadcast_to(places, rows.shape), drawn, bins))
    low, high = 2 * error - np.percentile(np.concatenate(resamples), [97.5, 2.5])
    low = 0.0 if error <= np.percentile(np.concatenate(calibrated), 97.5) else low
    return Estimate(error, float(np.clip(low, 0, error)), float(np.clip(high, error, 1)), n)


def calibration_effect(
    about: About, confidence: NDArray[np.floating], correct: NDArray[np.bool_], *, bins: int = 15, seed: int = 0
) -> Effect:
    """The expected calibration error as an audit keeps it; see `calibration_error`."""
    found = calibration_error(confidence, correct, bins=bins, seed=seed)
    return effect_of(about, "measured", "error", found)


def _errors(places: NDArray[np.int64], gaps: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Of each row of `[r, s]` images: sum over bins of |accuracy - confidence| times the bin's share of the images."""
    return np.abs(row_counts(places, bins, gaps)).sum(axis=1) / places.shape[1]
