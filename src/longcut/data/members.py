"""Records straight from arrays: nothing is decoded, and nothing is written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longcut.data.arrays import open_array, split_member
from longcut.data.image_set import ImageSet
from longcut.data.mapped import MappedRows
from longcut.data.store import Recipe, Store, content_hash


def open_members(images: ImageSet, recipe: Recipe) -> Store | None:
    """The records of images that are rows of arrays and need no change: all of one size, no larger than the recipe's.

    The store is the one that decoding would give, its digest included; with the images in the order of one array they
    are not even copied. None where images are to be decoded, which tells of rows that are not there.

    Raises:
        ValueError: names an array that cannot be read, or that holds no images.
    """
    if recipe.composites or not len(images) or split_member(images.paths[0]) is None:
        return None
    members = [found for found in map(split_member, images.paths) if found is not None]
    if len(members) < len(images):
        return None
    files = sorted({file for file, _ in members})
    place = {file: i for i, file in enumerate(files)}
    rows = np.array([(place[file], row) for file, row in members], np.int64)
    arrays = [open_array(images.root / file) for file in files]
    lengths, sizes = np.array([len(array) for array in arrays]), {array.shape[1:3] for array in arrays}
    if len(sizes) > 1 or min(arrays[0].shape[1:3]) > recipe.side or (rows[:, 1] >= lengths[rows[:, 0]]).any():
        return None
    height, width = arrays[0].shape[1:3]
    return Store(
        images=images,
        recipe=recipe,
        lends=np.zeros(len(images), bool),
        peaks=np.zeros(len(images), np.uint8),
        digest=content_hash(images, _digests(arrays, rows)),
        shapes=np.tile(np.array([height, width], np.int64), (len(images), 1)),
        offsets=np.arange(len(images), dtype=np.int64) * 3 * height * width,
        records=_mapped(images.root / files[0], arrays, rows) or _gathered(arrays, rows),
    )


def _digests(arrays: list[NDArray[np.uint8]], rows: NDArray[np.int64]) -> Iterator[bytes]:
    for place, row in rows.tolist():
        yield hashlib.sha256(arrays[place][row].tobytes()).digest()


def _mapped(file: Path, arrays: list[NDArray[np.uint8]], rows: NDArray[np.int64]) -> MappedRows | None:
    """RGB rows that follow each other in one file, as they lie there; None for others."""
    follow = len(arrays) == 1 and (np.diff(rows[:, 1]) == 1).all()
    if not follow or arrays[0].ndim == 3 or not arrays[0].flags.c_contiguous:
        return None
    return MappedRows(file, int(rows[0, 1]), len(rows))


def _gathered(arrays: list[NDArray[np.uint8]], rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The rows' RGB pixels in memory, one after the other."""
    if len(arrays) == 1 and arrays[0].ndim == 4:
        return arrays[0][rows[:, 1]].reshape(-1)
    gathered = np.empty((len(rows), *arrays[0].shape[1:3], 3), np.uint8)
    for place, array in enumerate(arrays):
        mine = rows[:, 0] == place
        chosen = array[rows[mine, 1]]
        gathered[mine] = chosen if array.ndim == 4 else chosen[..., None]
    return gathered.reshape(-1)
