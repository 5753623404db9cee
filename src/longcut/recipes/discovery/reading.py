"""Images read once and described, in small pieces on all cores; nothing of them is kept but a few numbers."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from longcut.data.arrays import split_member
from longcut.data.decoding import ImageError, image_size, read_bytes, read_image, read_mask
from longcut.data.image_set import ImageSet
from longcut.data.pool import map_items
from longcut.data.resizing import resize
from longcut.evaluation.cues.features import LEAST_SIDE, pixel_features
from longcut.evaluation.cues.features_file import FileFacts, read_facts
from longcut.evaluation.cues.statistics import Values

Say = Callable[[str], None]
_SIDE = 64
_CHUNK = 32
_LABEL = f"reading, {_CHUNK} images at a time"
_FEW = 1024  # images that are read sooner than a pool of processes has started
_SAMPLED = 64


@dataclass(frozen=True)
class Described:
    """Images with what is known of each. `s` counts those that could be read."""

    kept: NDArray[np.int64]
    """`[s]` positions among the images that were to be read."""
    features: dict[str, Values]
    """`[s, d]` each; see `pixel_features`."""
    facts: list[FileFacts | None]
    shapes: NDArray[np.int64]
    """`[s, 2]` height and width."""
    digests: list[bytes]
    """SHA-256 of each file."""


class _One(NamedTuple):
    """One image at the common size, and what is known of its file."""

    picture: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None
    shape: tuple[int, int]
    facts: FileFacts | None
    digest: bytes


class _Part(NamedTuple):
    """What a worker hands back of one piece."""

    errors: list[str]
    """For each image that was to be read, what is wrong with it; empty where nothing is."""
    features: dict[str, Values]
    facts: list[FileFacts | None]
    shapes: list[tuple[int, int]]
    digests: list[bytes]


def describe_images(images: ImageSet, *, skip_bad: bool, workers: int | None, say: Say) -> Described:
    """Read and describe every image, with its mask where the set has masks.

    Args:
        images: with masks or without.
        skip_bad: leave unreadable images out and say which.
        workers: processes; None takes every core.
        say: is told what was left out.

    Raises:
        ImageError: names the unreadable file, unless they are skipped.
        ValueError: no image can be read.
    """
    files = [(images.root / path, images.masks[i] if images.masks else None) for i, path in enumerate(images.paths)]
    chunks = [files[at : at + _CHUNK] for at in range(0, len(files), _CHUNK)]
    few = len(files) < _FEW
    work = functools.partial(_describe, common_side(images))
    parts: list[_Part] = []
    with closing(map_items(work, chunks, workers=1 if few else workers, label=None if few else _LABEL)) as results:
        for part in results:
            for error in filter(None, part.errors):
                if not skip_bad:
                    raise ImageError(f"{error}; remove it, or leave out all such files with --skip-bad")
                say(f"left out: {error}")
            parts.append(part)
    good = np.flatnonzero([not error for part in parts for error in part.errors])
    if not len(good):
        raise ValueError(f"none of the {len(images)} images in {images.root} can be read")
    whole = [part for part in parts if part.features]
    return Described(
        kept=good,
        features={name: np.concatenate([part.features[name] for part in whole]) for name in whole[0].features},
        facts=[each for part in parts for each in part.facts],
        shapes=np.array([each for part in parts for each in part.shapes], np.int64),
        digests=[each for part in parts for each in part.digests],
    )


def common_side(images: ImageSet) -> int:
    """Side at which images are described: 64 pixels, or the usual shorter side of some of them where that is less."""
    sides = []
    for index in range(0, len(images), max(1, len(images) // _SAMPLED)):
        try:
            sides.append(min(image_size(images.root / images.paths[index])))
        except ImageError:
            continue
    return int(np.clip(np.median(sides), LEAST_SIDE, _SIDE)) if sides else _SIDE


def _describe(side: int, files: list[tuple[Path, Path | None]]) -> _Part:
    read = [_read_or_tell(side, *each) for each in files]
    ones = [each for each in read if isinstance(each, _One)]
    masks = [one.mask for one in ones if one.mask is not None]
    pictures = np.stack([one.picture for one in ones]) if ones else None
    return _Part(
        errors=["" if isinstance(each, _One) else each for each in read],
        features={} if pictures is None else pixel_features(pictures, np.stack(masks) if masks else None),
        facts=[one.facts for one in ones],
        shapes=[one.shape for one in ones],
        digests=[one.digest for one in ones],
    )


def _read_or_tell(side: int, file: Path, mask: Path | None) -> _One | str:
    try:
        return _read(side, file, mask)
    except ImageError as error:
        return str(error)


def _read(side: int, file: Path, mask: Path | None) -> _One:
    content = read_bytes(file)
    pixels = read_image(file, content)
    shape = pixels.shape[0], pixels.shape[1]
    foreground = None if mask is None else read_mask(mask)
    if foreground is not None and foreground.shape != shape:
        sizes = f"{foreground.shape[1]}x{foreground.shape[0]}, its image {shape[1]}x{shape[0]}"
        raise ImageError(f"mask {mask} is {sizes}")
    facts = None if split_member(str(file)) else read_facts(file)
    small = None if foreground is None else resize(foreground, side, side)
    return _One(resize(pixels, side, side), small, shape, facts, hashlib.sha256(content).digest())
