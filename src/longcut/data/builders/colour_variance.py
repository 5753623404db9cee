"""Colour MNIST of a colour variance: no training image conflicts, and the colours of classes run into each other."""

from __future__ import annotations

import math
from pathlib import Path

from longcut.data.builders.bias_assignment import hold_out, independent_bias
from longcut.data.builders.biased_set import BiasedSet
from longcut.data.builders.digit_parts import VALID, around, assignment_draws, write_digits
from longcut.data.builders.grey_images import NUM_CLASSES, read_grey_images
from longcut.data.builders.painted_digits import LNL_COLOURS


def build_colour_mnist(
    source: Path, destination: Path, *, variance: float, valid: int = VALID, seed: int = 0
) -> BiasedSet:
    """Colour the digits themselves around their class's colour, on black.

    Kim, Kim, Kim, Kim and Kim, "Learning Not to Learn: Training Deep Neural Networks with Biased Data" (CVPR 2019): the
    smaller the variance, the more the colour tells of the class. A test image's mean colour is any of the ten. The
    published arrays were made by code that was not published, so that this is their like and not their equal.

    Args:
        source: MNIST, as `read_grey_images` takes it.
        destination: folder to write, as `write_biased_set` says.
        variance: of each channel in [0, 1]; published are 0.02 to 0.05 in steps of 0.005.
        valid: how many training images are held out for validation, drawn from each class alike; the published sets
            hold out none.
        seed: of the draws.

    Returns:
        How many images each split has, and how many of them conflict.

    Raises:
        ValueError: a wrong variance, no MNIST at the source, or a destination that holds something else or was built
            with other settings.
        OSError: the destination cannot be written.
    """
    if not 0 < variance < math.inf:
        raise ValueError(f"variance is {variance}: it must be above 0, 0.02 to 0.05 in the published sets")
    digits = read_grey_images(source)
    draws = assignment_draws(digits, seed, test=True)
    return write_digits(
        digits,
        destination,
        train_bias=digits.train_labels,
        held_out=hold_out(digits.train_labels, digits.train_labels, valid, assignment_draws(digits, seed)[:, 2]),
        test_biases={"test": independent_bias(digits.test_labels, 1 - 1 / NUM_CLASSES, NUM_CLASSES, draws)},
        paint=around(LNL_COLOURS, math.sqrt(variance)),
        colours=LNL_COLOURS,
        seed=seed,
        settings={"build": "colour-mnist", "variance": str(variance)},
        what="Colour MNIST",
    )
