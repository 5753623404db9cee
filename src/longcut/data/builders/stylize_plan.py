"""Which texture each stylized image gets, and what the files are called."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm

import numpy as np
from numpy.typing import NDArray

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.image_set import ImageSet

_AT_ONCE = 1024  # images whose draws are made together


@dataclass(frozen=True)
class Pair:
    """One image to make: the shape of one and the texture of another."""

    file: str
    """Path of what is made, relative to the destination."""
    image: str
    """Path of the image that gives the shape."""
    shape_class: str
    texture: str
    """Path of the image that gives the texture."""
    texture_class: str


def plan_by_image(images: ImageSet, textures: ImageSet, count: int, seed: int) -> list[Pair]:
    """Give every image `count` different textures of other classes.

    Draws are keyed by the image's path: the texture's class is uniform over the classes other than the image's, and all
    of them come before one comes again; then the texture is uniform within its class.

    Raises:
        ValueError: there is no other class, or there are not enough textures.
    """
    members = [np.flatnonzero(textures.targets == c) for c in range(len(textures.classes))]
    sizes = np.array([len(group) for group in members])
    own = np.array([_place(name, textures.classes) for name in images.classes])[images.targets]
    others = len(members) - (own >= 0)
    _check_enough(count, sizes, images, textures)
    chosen: list[tuple[int, int]] = []
    for start in range(0, len(images), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        keys = [zlib.crc32(path.encode()) for path in images.paths[some]]
        draws = keyed_uniforms(seed, 0, keys, Stream.BUILDER, 2 * len(members))
        rank, first = draws[:, : len(members)], draws[:, len(members) :]
        row = np.arange(len(keys))
        rank[row[own[some] >= 0], own[some][own[some] >= 0]] = 2  # its own class comes after all others
        order = np.argsort(rank, axis=1, kind="stable")
        for n in range(count):
            classes = order[row, n % others[some]]
            turn = n // others[some]
            within = ((first[row, classes] * sizes[classes]).astype(np.int64) + turn) % sizes[classes]
            chosen += [(start + int(i), int(members[c][k])) for i, c, k in zip(row, classes, within, strict=True)]
    return _pairs(chosen, images, textures)


def plan_by_pair(images: ImageSet, textures: ImageSet, count: int, seed: int) -> list[Pair]:
    """Give every pair of a shape's class and another texture's class `count` images, as cue-conflict stimuli have it.

    Draws are keyed by the names of the two classes: all images of the class come before one comes again, and so do all
    textures.

    Raises:
        ValueError: there is no pair, or a pair has not enough images and textures.
    """
    chosen: list[tuple[int, int]] = []
    for c, name in enumerate(images.classes):
        for t, other in enumerate(textures.classes):
            if name == other:
                continue
            shapes, styles = np.flatnonzero(images.targets == c), np.flatnonzero(textures.targets == t)
            if count > len(shapes) * len(styles):
                raise ValueError(
                    f"per_pair is {count}, but {len(shapes)} images of {name!r} and {len(styles)} textures of "
                    f"{other!r} make {len(shapes) * len(styles)} pairs at most"
                )
            key = zlib.crc32(f"{name}\0{other}".encode())
            draws = keyed_uniforms(seed, 1, [key], Stream.BUILDER, len(shapes) + len(styles))[0]
            first, second = np.argsort(draws[: len(shapes)]), np.argsort(draws[len(shapes) :])
            n = np.arange(count)
            again = n // lcm(len(shapes), len(styles))  # the two orders would meet in the same places
            left, right = shapes[first[n % len(shapes)]], styles[second[(n + again) % len(styles)]]
            chosen += zip(left.tolist(), right.tolist(), strict=True)
    if not chosen:
        raise ValueError(_no_other(images, textures))
    return _pairs(chosen, images, textures)


def class_words(classes: Sequence[str]) -> dict[str, str]:
    """A word for each class that can be read back from `<shape><i>-<texture><j>.png`: the label is what follows the
    last hyphen, without the digits at its end.

    A class that has no hyphen and no digit at its end is its own word. In others hyphens become underscores, and an
    underscore follows a last digit: `n02123045` is `n02123045_`.

    Raises:
        ValueError: a class cannot name a folder, or two share one word; names them.
    """
    words: dict[str, str] = {}
    for name in classes:
        if not name or name.startswith(".") or set(name) & set("/\\"):
            raise ValueError(f"{name!r} cannot name a folder: rename the class")
        word = name.replace("-", "_")
        word += "_" if re.search(r"[0-9]\Z", word) else ""
        other = words.setdefault(word, name)
        if other != name:
            raise ValueError(f"the classes {other!r} and {name!r} would share the folder {word!r}: rename one of them")
    return {name: word for word, name in words.items()}


def _pairs(chosen: Sequence[tuple[int, int]], images: ImageSet, textures: ImageSet) -> list[Pair]:
    words = class_words(sorted({*images.classes, *textures.classes}))
    shape_number, texture_number = _numbers(images), _numbers(textures)
    pairs = []
    for i, j in sorted(chosen):
        shape, style = images.classes[images.targets[i]], textures.classes[textures.targets[j]]
        word = words[shape]
        file = f"{word}/{word}{shape_number[i]}-{words[style]}{texture_number[j]}.png"
        pairs.append(Pair(file, images.paths[i], shape, textures.paths[j], style))
    return pairs


def _numbers(images: ImageSet) -> NDArray[np.int64]:
    """Place of each image in its class, from 1."""
    numbers = np.zeros(len(images), np.int64)
    for target in range(len(images.classes)):
        members = np.flatnonzero(images.targets == target)
        numbers[members] = np.arange(1, len(members) + 1)
    return numbers


def _place(name: str, classes: Sequence[str]) -> int:
    return classes.index(name) if name in classes else -1


def _check_enough(count: int, sizes: NDArray[np.int64], images: ImageSet, textures: ImageSet) -> None:
    for name in images.classes:
        others = np.array([size for size, other in zip(sizes, textures.classes, strict=True) if other != name])
        if not len(others):
            raise ValueError(_no_other(images, textures))
        most = len(others) * int(others.min())
        if count > most:
            raise ValueError(
                f"per_image is {count}, but the classes other than {name!r} have {others.min()} textures and more: "
                f"at most {most}; make more textures"
            )


def _no_other(images: ImageSet, textures: ImageSet) -> str:
    return (
        f"{textures.root} holds textures of the class {textures.classes[0]!r} alone, and {images.root} images of it: "
        "a stylized image takes the texture of another class"
    )
