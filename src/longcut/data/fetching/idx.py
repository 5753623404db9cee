"""MNIST's own file format, turned into class folders."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_GZIP = b"\x1f\x8b"


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of bytes, gzipped or not.

    The header is two zeros, the type (8 for bytes), the number of axes, and the length of each axis as a big-endian
    32-bit integer (LeCun, Cortes and Burges, "The MNIST database").

    Raises:
        ValueError: the file is damaged or holds something else.
    """
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}); delete it and run the command again") from error
    axes = content[3] if content[:3] == b"\x00\x00\x08" and len(content) > 3 else 0
    start = 4 + 4 * axes
    shape = np.frombuffer(content[4:start], ">u4").astype(int) if axes else np.zeros(1, int)
    if not axes or len(content) - start != int(shape.prod()):
        raise ValueError(f"{path} is no IDX file of bytes; delete it and run the command again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def write_digits(downloads: Path, destination: Path) -> None:
    """Write MNIST's four files as `train/<digit>/<index>.png` and `test/<digit>/<index>.png`.

    Args:
        downloads: folder of the files under their own names.
        destination: folder to write into.
    """
    from PIL import Image

    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = read_idx(downloads / f"{prefix}-images-idx3-ubyte.gz")
        labels = read_idx(downloads / f"{prefix}-labels-idx1-ubyte.gz")
        for digit in np.unique(labels):
            (destination / split / str(digit)).mkdir(parents=True, exist_ok=True)
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            Image.fromarray(image).save(destination / split / str(label) / f"{index:05}.png")
