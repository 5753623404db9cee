"""Files of named arrays, written whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from longcut.data.decoding import write_whole


def write_arrays(path: Path, **arrays: ArrayLike) -> None:
    """Write a compressed `.npz` that `numpy.load` reads without pickle.

    Raises:
        OSError: the file cannot be written; nothing is left behind.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{name: np.asarray(value) for name, value in arrays.items()})
    write_whole(path, buffer.getvalue())
