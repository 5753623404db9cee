"""What an image's file tells without its pixels: how it was written, how large the image is, and its proportions.

The number of bytes is left out: it says more of what is shown than of the file. `s` counts images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from longcut.data.jpeg_quality import jpeg_quality

Values = NDArray[np.float32]

FILE_CUES = ("file", "size", "aspect")
_MOST = 16  # values that each have a column of their own
_BINS = 8


class FileFacts(NamedTuple):
    """Properties of a file, from its header."""

    format: str
    mode: str
    """Of the stored pixels: RGB, L, CMYK, P and others."""
    quality: int
    """Of a JPEG; 0 of all others."""
    progressive: bool
    exif: bool
    profile: bool
    """Whether it has a colour profile."""


def read_facts(file: Path) -> FileFacts | None:
    """Properties of a file; None where Pillow cannot tell them."""
    try:
        with Image.open(file) as image:
            form, mode, info = str(image.format), image.mode, dict(image.info)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    progressive = bool(info.get("progressive") or info.get("interlace"))
    return FileFacts(form, mode, jpeg_quality(file) or 0, progressive, "exif" in info, "icc_profile" in info)


def file_numbers(facts: Sequence[FileFacts | None], shapes: NDArray[np.int64]) -> dict[str, Values]:
    """Numbers of each of `FILE_CUES`; without columns where all images are alike in it.

    The size is the shorter side and the aspect the ratio of both, so that neither tells the other.

    Args:
        facts: `[s]`; the cue `file` has no columns where an image has none, as the rows of an array.
        shapes: `[s, 2]` height and width.

    Returns:
        `[s, d]` for each cue.
    """
    known = [each for each in facts if each is not None]
    columns = zip(*known, strict=True) if known and len(known) == len(facts) else ()
    file = [_columns(np.unique(np.array(column), return_inverse=True)[1]) for column in columns]
    height, width = np.log(np.maximum(shapes, 1)).T
    return {
        "file": np.concatenate([np.empty((len(facts), 0), np.float32), *file], axis=1),
        "size": _columns(np.minimum(height, width)),
        "aspect": _columns(width - height),
    }


def _columns(values: NDArray[Any]) -> Values:
    """`[s, d]` one column for each value; of many values, for the value and each eighth of the images."""
    distinct, place = np.unique(np.round(values, 6), return_inverse=True)
    if len(distinct) < 2:
        return np.empty((len(values), 0), np.float32)
    if len(distinct) <= _MOST:
        return (place[:, None] == np.arange(len(distinct))).astype(np.float32)
    edges = np.quantile(values, np.arange(1, _BINS) / _BINS)
    bins = np.searchsorted(edges, values, side="right")
    return np.column_stack([values, bins[:, None] == np.arange(_BINS)]).astype(np.float32)
