"""Which background each foreground of a Background Challenge gets, and what the files are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from longcut.core.seeding import Stream, keyed_uniforms


def draw_partners(
    targets: NDArray[np.int64], indices: NDArray[np.int64], num_classes: int, seed: int
) -> dict[str, NDArray[np.int64]]:
    """Draw the image that gives each foreground its background.

    `mixed_same`: uniformly from the other images of its class. `mixed_rand`: a class uniformly from all, its own among
    them, then uniformly from that class's images without itself. `mixed_next`: uniformly from the class after its own,
    the first after the last.

    Args:
        targets: `[s]` classes, 0 to `num_classes` - 1, each with at least two images.
        indices: `[s]` what each image's draw is keyed by, beside the seed.
        num_classes: at least 2.
        seed: of the draws.

    Returns:
        For each mixed variant `[s]` positions in `targets`.
    """
    draws = keyed_uniforms(seed, 0, indices, Stream.BUILDER, 4)
    members = [np.flatnonzero(targets == c) for c in range(num_classes)]
    place = np.zeros(len(targets), np.int64)
    for group in members:
        place[group] = np.arange(len(group))
    classes = {
        "mixed_same": targets,
        "mixed_rand": (draws[:, 0] * num_classes).astype(np.int64),
        "mixed_next": (targets + 1) % num_classes,
    }
    partners = {}
    for column, (variant, chosen) in enumerate(classes.items(), start=1):
        own = chosen == targets
        sizes = np.array([len(group) for group in members])[chosen] - own
        picks = (draws[:, column] * sizes).astype(np.int64)
        picks += own & (picks >= place)  # steps over the image itself
        partners[variant] = np.array([members[c][k] for c, k in zip(chosen, picks, strict=True)], np.int64)
    return partners


def check_classes(targets: NDArray[np.int64], classes: Sequence[str], what: str) -> None:
    """Check that every class has backgrounds to give.

    Args:
        targets: `[s]` classes of the images that can be used.
        classes: their names.
        what: the images, for the message.

    Raises:
        ValueError: there is one class or none, or a class with fewer than two images; names it.
    """
    if len(classes) < 2:
        raise ValueError(f"{what} has {len(classes)} class{'es' * (not classes)}: mixed_next needs at least 2")
    counts = Counter(targets.tolist())
    for place, name in enumerate(classes):
        if counts[place] < 2:
            raise ValueError(
                f"class {name!r} of {what} has {counts[place]} image{'s' * (counts[place] != 1)} with a usable mask: "
                "mixed_same needs at least 2; add images or masks, or leave the class out"
            )


def unique_stems(paths: Sequence[str], folders: Sequence[str]) -> list[str]:
    """A name for each image that is its own in its folder: the file's stem, numbered where it is taken.

    Names that differ in case alone count as taken: some file systems do not tell them apart. What marks the parts of a
    mixed image's name is written with a hyphen, so that a foreground can be told from such a name.
    """
    stems = [re.sub("^fg_", "fg-", PurePosixPath(path).stem).replace("_bg_", "_bg-") for path in paths]
    return _numbered(stems, folders)


def mixed_names(foregrounds: Sequence[str], backgrounds: Sequence[str], folders: Sequence[str]) -> list[str]:
    """Names of mixed images, `fg_<stem>_bg_<stem>`, each its own in its folder."""
    return _numbered([f"fg_{f}_bg_{b}" for f, b in zip(foregrounds, backgrounds, strict=True)], folders)


def _numbered(names: Sequence[str], folders: Sequence[str]) -> list[str]:
    reserved = {(folder, name.casefold()) for name, folder in zip(names, folders, strict=True)}
    taken: set[tuple[str, str]] = set()
    numbers: dict[tuple[str, str], int] = {}
    result = []
    for name, folder in zip(names, folders, strict=True):
        own = place = folder, name.casefold()
        free, number = name, numbers.get(own, 1)
        while place in taken or (number > 1 and place in reserved):
            number += 1
            free = f"{name}-{number}"
            place = folder, free.casefold()
        numbers[own] = number
        taken.add(place)
        result.append(free)
    return result
