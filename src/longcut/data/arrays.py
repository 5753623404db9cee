"""Images as rows of an array: `train.npy#17` is row 17 of the array in `train.npy`.

An array is uint8 of `[s, h, w, 3]` RGB or `[s, h, w]` grey; many small images are read at once as one memory map.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def split_member(path: str) -> tuple[str, int] | None:
    """The array's file and the row that a path names; None where it names a file of its own."""
    file, _, row = path.rpartition("#")
    return (file, int(row)) if file.endswith(".npy") and row.isdecimal() else None


def open_array(file: Path) -> NDArray[np.uint8]:
    """The images of an array, mapped into memory: `[s, h, w, 3]` or `[s, h, w]`.

    Raises:
        ValueError: names a file that cannot be read, or that holds no images.
    """
    try:
        status = file.stat()
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}") from None
    return _mapped(file.absolute(), (status.st_mtime_ns, status.st_size, status.st_ino))


def read_row(file: Path, row: int) -> NDArray[np.uint8]:
    """One image of an array, `[h, w, 3]` or `[h, w]`; a view that cannot be written to.

    Raises:
        ValueError: as `open_array`, or there is no such row.
    """
    array = open_array(file)
    if row >= len(array):
        raise ValueError(f"cannot read {file}#{row}: the array holds {len(array)} images, counted from 0")
    return array[row]


@functools.lru_cache(maxsize=64)
def _mapped(file: Path, stamp: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The array as it was at a time, of a size and in a place on the disk: another `stamp` reads it anew."""
    try:
        array = np.lib.format.open_memmap(file, mode="r")
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {file} as a numpy array: {str(error).splitlines()[0]}") from None
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or array.shape[3:] not in ((), (3,)) or 0 in array.shape:
        raise ValueError(
            f"{file} holds {array.dtype} of the shape {array.shape}: images are uint8 of [s, h, w, 3] or [s, h, w]"
        )
    # As a plain array: slicing numpy's memmap type costs several times as much.
    return np.asarray(array)
