"""Colored MNIST: digits in the colour of their class but for a few, in the two ways that are published."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from longcut.data.builders.bias_assignment import block_bias, check_share, hold_out, independent_bias
from longcut.data.builders.biased_set import BiasedSet
from longcut.data.builders.digit_parts import VALID, Ints, Paint, around, assignment_draws, write_digits
from longcut.data.builders.grey_images import NUM_CLASSES, GreyImages, read_grey_images
from longcut.data.builders.painted_digits import LFF_COLOURS, LFF_DEVIATIONS, LNL_COLOURS, Colours

Construction = Literal["lff", "pgd"]

_SEVERITY = 4
_PGD_DEVIATION, _PGD_TRAIN = 1e-4, 0.9


def build_colored_mnist(
    source: Path,
    destination: Path,
    *,
    ratio: float,
    construction: Construction = "lff",
    severity: int | None = None,
    valid: int | None = None,
    seed: int = 0,
) -> BiasedSet:
    """Colour the digits themselves, on black.

    "lff": Nam et al., "Learning from Failure" (NeurIPS 2020). Which image conflicts follows from its place in its class
    (`block_bias`); the colour varies from image to image; colours of the test set are independent of the class.

    "pgd": Ahn, Kim and Yun, "Mitigating Dataset Bias by Using Per-sample Gradient" (ICLR 2023), with the colours of
    Kim et al. (CVPR 2019). Each image conflicts by a draw of its own, a test image with the probability 0.9. The colour
    varies by less than a level of 255, so that little of that is left in 8 bits.

    Args:
        source: MNIST, as `read_grey_images` takes it.
        destination: folder to write, as `write_biased_set` says.
        ratio: share of the training images that conflict.
        construction: "lff" or "pgd".
        severity: 1 to 5, of "lff" alone: the higher, the less the colour varies. 4 where None, as in published tables.
        valid: how many training images are held out for validation, drawn so that they are as biased as those that
            stay. Where None, 5,000 for "lff", whose published sets hold out none, and a tenth for "pgd".
        seed: of the draws.

    Returns:
        How many images each split has, and how many of them conflict.

    Raises:
        ValueError: a wrong ratio, severity or construction, no MNIST at the source, so few images that none conflicts,
            or a destination that holds something else or was built with other settings.
        OSError: the destination cannot be written.
    """
    check_share("ratio", ratio)
    if construction not in ("lff", "pgd"):
        raise ValueError(f"unknown construction {construction!r}: 'lff' or 'pgd'")
    if construction == "pgd" and severity is not None:
        raise ValueError(f"severity {severity} is one of the construction 'lff': leave it out for 'pgd'")
    if severity is not None and severity not in range(1, len(LFF_DEVIATIONS) + 1):
        raise ValueError(f"severity must be 1 to {len(LFF_DEVIATIONS)}, not {severity}")
    digits = read_grey_images(source)
    if construction == "lff":
        plan = _plan_lff(digits, ratio, severity or _SEVERITY, valid, seed)
    else:
        plan = _plan_pgd(digits, ratio, valid, seed)
    if (plan.train_bias == digits.train_labels).all():
        count = len(digits.train_labels)
        raise ValueError(f"ratio is {ratio}, by which none of {count} training images conflicts: give a higher one")
    return write_digits(
        digits,
        destination,
        train_bias=plan.train_bias,
        held_out=plan.held_out,
        test_biases={"test": plan.test_bias},
        paint=plan.paint,
        colours=plan.colours,
        seed=seed,
        settings={
            "build": "cmnist",
            "construction": construction,
            "ratio": str(ratio),
            "severity": plan.severity,
        },
        what="Colored MNIST",
    )


class _Plan(NamedTuple):
    train_bias: Ints
    test_bias: Ints
    held_out: NDArray[np.bool_]
    paint: Paint
    colours: Colours
    severity: int | None


def _plan_lff(digits: GreyImages, ratio: float, severity: int, valid: int | None, seed: int) -> _Plan:
    labels = digits.train_labels
    bias = block_bias(labels, 1 - ratio, NUM_CLASSES)
    return _Plan(
        train_bias=bias,
        test_bias=block_bias(digits.test_labels, 1 / NUM_CLASSES, NUM_CLASSES),
        held_out=hold_out(labels, bias, VALID if valid is None else valid, assignment_draws(digits, seed)[:, 2]),
        paint=around(LFF_COLOURS, LFF_DEVIATIONS[severity - 1], rounded=False),
        colours=LFF_COLOURS,
        severity=severity,
    )


def _plan_pgd(digits: GreyImages, ratio: float, valid: int | None, seed: int) -> _Plan:
    labels, count = digits.train_labels, len(digits.train_labels)
    draws, test_draws = (assignment_draws(digits, seed, test=test) for test in (False, True))
    bias = independent_bias(labels, ratio, NUM_CLASSES, draws)
    number = count - int(count * _PGD_TRAIN) if valid is None else valid
    return _Plan(
        train_bias=bias,
        test_bias=independent_bias(digits.test_labels, 1 - 1 / NUM_CLASSES, NUM_CLASSES, test_draws),
        # The authors hold out the last tenth, which in a set that is sorted by class is one class.
        held_out=hold_out(labels, bias, number, draws[:, 2]),
        paint=around(LNL_COLOURS, _PGD_DEVIATION),
        colours=LNL_COLOURS,
        severity=None,
    )
