"""Accuracy under corruptions, and the mean corruption error.

Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations" (ICLR 2019).
All measures are means over images of a number that each image has, so their intervals resample images: the same image
under all corruptions stays together.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.metrics import Measure, measure

SEVERITIES = (1, 2, 3, 4, 5)

ALEXNET_ERRORS: Mapping[str, float] = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
"""Published errors of AlexNet on ImageNet-C, each the mean over the five severities."""


def mean_accuracy(correct: Mapping[tuple[str, int], NDArray[np.bool_]]) -> Measure:
    """Plain mean over corruptions and severities.

    Args:
        correct: `[s]` for each corruption and severity, whether each image is recognised; the same images in all.

    Raises:
        ValueError: there is nothing to measure, or the images are not the same.
    """
    return measure(_stacked(correct).mean(axis=0), bounds=(0, 1))


def mean_corruption_error(correct: Mapping[tuple[str, int], NDArray[np.bool_]]) -> Measure:
    """mCE: the mean over the 15 corruptions of the error over five severities, as a share of AlexNet's.

    1 is as bad as AlexNet; the papers write it as a percentage.

    Args:
        correct: `[s]` for each corruption and severity; further corruptions do not count.

    Raises:
        ValueError: a corruption or a severity is missing, or the images are not the same.
    """
    wanted = [(name, severity) for name in ALEXNET_ERRORS for severity in SEVERITIES]
    missing = [f"{name} at severity {severity}" for name, severity in wanted if (name, severity) not in correct]
    if missing:
        raise ValueError(f"mCE needs the 15 corruptions at 5 severities: {missing[0]} is missing")
    wrong = 1 - _stacked({key: correct[key] for key in wanted})
    weights = np.repeat([1 / error for error in ALEXNET_ERRORS.values()], len(SEVERITIES))
    return measure((wrong * weights[:, None]).mean(axis=0), bounds=(0, weights.mean()))


def _stacked(correct: Mapping[tuple[str, int], NDArray[np.bool_]]) -> NDArray[np.float64]:
    """`[corruptions and severities, s]`"""
    sizes = {len(values) for values in correct.values()}
    if len(sizes) != 1:
        raise ValueError(f"a mean over corruptions needs the same images under each, not {sorted(sizes)} images")
    return np.stack([np.asarray(values, np.float64) for values in correct.values()])
