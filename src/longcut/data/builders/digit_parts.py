"""What the sets of coloured digits share: their draws, their splits, and how they are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.builders.biased_set import BiasedSet, Block, Image, Part, in_blocks, write_biased_set
from longcut.data.builders.grey_images import NUM_CLASSES, GreyImages
from longcut.data.builders.painted_digits import Colours, colour_names, draw_colours, paint_digits

Ints = NDArray[np.int64]
Paint = Callable[[Image, Ints, NDArray[np.float64]], Image]
"""Grey images `[b, h, w]`, the class whose colour each gets `[b]`, six draws for each `[b, 6]` -> `[b, h, w, 3]`."""

VALID = 5000
_TRAIN, _TEST = 0, 1  # the numbers of their images overlap, their draws must not
_COLOUR, _ASSIGNMENT = slice(0, 6), slice(6, 9)


def assignment_draws(digits: GreyImages, seed: int, *, test: bool = False) -> NDArray[np.float64]:
    """`[s, 3]` draws for each training or test image: two for its bias, one for its order."""
    count = len(digits.test_labels if test else digits.train_labels)
    return _draws(seed, _TEST if test else _TRAIN, np.arange(count))[:, _ASSIGNMENT]


def around(means: Colours, deviation: float, *, rounded: bool = True) -> Paint:
    """Paint digits in colours drawn around the classes' means."""

    def paint(grey: Image, bias: Ints, draws: NDArray[np.float64]) -> Image:
        return paint_digits(grey, draw_colours(means[bias], deviation, draws), rounded=rounded)

    return paint


def write_digits(
    digits: GreyImages,
    destination: Path,
    *,
    train_bias: Ints,
    held_out: NDArray[np.bool_],
    test_biases: Mapping[str, Ints],
    paint: Paint,
    colours: Image | Colours,
    seed: int,
    settings: Mapping[str, str | int | None],
    what: str,
) -> BiasedSet:
    """Write a set of coloured digits.

    Args:
        digits: what to colour.
        destination: folder to write, as `write_biased_set` says.
        train_bias: `[s]` the class whose colour each training image gets.
        held_out: `[s]` which training images are the split `valid`; there is none where none is.
        test_biases: `[s]` likewise for the test images, by the split's name.
        paint: colours a block of images.
        colours: `[10, 3]` the classes' colours.
        seed: of the draws.
        settings: what the set depends on, beside the digits, what is held out and the seed.
        what: what is built, for the messages.
    """
    train = digits.train_images, digits.train_labels, train_bias, _TRAIN
    parts = [_part("train", *train, np.flatnonzero(~held_out), paint, seed)]
    if held_out.any():
        parts.append(_part("valid", *train, np.flatnonzero(held_out), paint, seed))
    for name, bias in test_biases.items():
        every = np.arange(len(bias))
        parts.append(_part(name, digits.test_images, digits.test_labels, bias, _TEST, every, paint, seed))
    about = {**settings, "valid": int(held_out.sum()), "seed": seed, "digits": digits.digest()}
    classes, names = [str(c) for c in range(NUM_CLASSES)], colour_names(colours)
    return write_biased_set(destination, parts, settings=about, classes=classes, attributes=names, what=what)


def _part(
    name: str, images: Image, labels: Ints, bias: Ints, which: int, chosen: Ints, paint: Paint, seed: int
) -> Part:
    def make(places: Ints) -> Image:
        indices = chosen[places]
        return paint(images[indices], bias[indices], _draws(seed, which, indices)[:, _COLOUR])

    def blocks() -> Iterable[Block]:
        return in_blocks(len(chosen), make)

    source = "test" if which == _TEST else "train"
    sources = [f"{source}#{i}" for i in chosen.tolist()]
    return Part(name, labels[chosen], bias[chosen], sources, (images.shape[1], images.shape[2]), blocks)


def _draws(seed: int, which: int, indices: Ints) -> NDArray[np.float64]:
    return keyed_uniforms(seed, which, indices, Stream.BIAS, _ASSIGNMENT.stop)
