"""Biased-MNIST: white digits on the colour of their class but for a few."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.builders.bias_assignment import check_share, hold_out, shuffled_bias
from longcut.data.builders.biased_set import BiasedSet, Image
from longcut.data.builders.digit_parts import VALID, assignment_draws, write_digits
from longcut.data.builders.grey_images import NUM_CLASSES, read_grey_images
from longcut.data.builders.painted_digits import REBIAS_COLOURS, paint_backgrounds


def build_biased_mnist(source: Path, destination: Path, *, rho: float, valid: int = VALID, seed: int = 0) -> BiasedSet:
    """Colour the backgrounds.

    Bahng, Chun, Yun, Choo and Oh, "Learning De-biased Representations with Biased Representations" (ICML 2020). Of the
    test images there are two versions: in the split `test` a tenth has its class's colour, in `biased_test` all have.

    Args:
        source: MNIST, as `read_grey_images` takes it.
        destination: folder to write, as `write_biased_set` says.
        rho: share of the training images whose background has their class's colour; 1 is all.
        valid: how many training images are held out for validation, drawn so that they are as biased as those that
            stay; the published sets hold out none.
        seed: of the draws.

    Returns:
        How many images each split has, and how many of them conflict.

    Raises:
        ValueError: a wrong rho, no MNIST at the source, or a destination that holds something else or was built with
            other settings.
        OSError: the destination cannot be written.
    """
    check_share("rho", rho, one=True)
    digits = read_grey_images(source)
    draws, test_draws = (assignment_draws(digits, seed, test=test)[:, 2] for test in (False, True))
    bias = shuffled_bias(digits.train_labels, rho, NUM_CLASSES, draws, _orders(seed, 0))
    unbiased = shuffled_bias(digits.test_labels, 1 / NUM_CLASSES, NUM_CLASSES, test_draws, _orders(seed, 1))
    return write_digits(
        digits,
        destination,
        train_bias=bias,
        held_out=hold_out(digits.train_labels, bias, valid, assignment_draws(digits, seed)[:, 0]),
        test_biases={"test": unbiased, "biased_test": digits.test_labels},
        paint=_paint,
        colours=REBIAS_COLOURS,
        seed=seed,
        settings={"build": "biased-mnist", "rho": str(rho)},
        what="Biased-MNIST",
    )


def _orders(seed: int, which: int) -> NDArray[np.float64]:
    """Of the other colours, for each class of the training or the test images."""
    return keyed_uniforms(seed, which, np.arange(NUM_CLASSES), Stream.BUILDER, NUM_CLASSES - 1)


def _paint(grey: Image, bias: NDArray[np.int64], draws: NDArray[np.float64]) -> Image:
    return paint_backgrounds(grey, REBIAS_COLOURS[bias])
