"""Which corruption goes with which class."""

from __future__ import annotations

from collections.abc import Sequence

from longcut.corruptions import CORRUPTIONS, EXTRA

ORIGINAL = "original"
"""What an uncorrupted image goes by in a list of corruptions."""
LISTS: dict[str, tuple[str, ...]] = {
    "type0": (
        "snow",
        "frost",
        "fog",
        "brightness",
        "contrast",
        "spatter",
        "elastic_transform",
        "jpeg_compression",
        "pixelate",
        "saturate",
    ),
    "type1": (
        "gaussian_noise",
        "shot_noise",
        "impulse_noise",
        "speckle_noise",
        "gaussian_blur",
        "defocus_blur",
        "glass_blur",
        "motion_blur",
        "zoom_blur",
        ORIGINAL,
    ),
}
"""The two lists of Nam et al., in their order."""


def corruptions_for(given: str | Sequence[str], num_classes: int) -> tuple[str, ...]:
    """A corruption for each class.

    Args:
        given: a list's name, or the names of corruptions, in a sequence or separated by commas.
        num_classes: how many; of a list that many are taken, of names there must be as many.

    Raises:
        ValueError: an unknown name, one that comes twice, or another number of names.
    """
    known = isinstance(given, str) and given in LISTS
    if isinstance(given, str):
        names = LISTS[given] if known else tuple(name.strip() for name in given.split(","))
    else:
        names = tuple(given)
    every = (*CORRUPTIONS, *EXTRA, ORIGINAL)
    for name in names:
        if name not in every:
            raise ValueError(f"no corruption is called {name!r}: give type0, type1, or names of {', '.join(every)}")
    if len(names) < num_classes or (len(names) > num_classes and not known):
        raise ValueError(f"{len(names)} corruptions for {num_classes} classes: give one for each class, by name")
    if len(set(names)) < len(names):
        raise ValueError(f"corruptions are given twice: {', '.join(names)}")
    return names[:num_classes]
