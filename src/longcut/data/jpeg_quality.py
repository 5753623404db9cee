"""The quality that a JPEG file was written with, and images as another quality leaves them."""

from __future__ import annotations

import functools
import io
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile


def jpeg_quality(path: Path) -> int | None:
    """The quality, 1 to 100, by which libjpeg writes the luminance table that is nearest to the file's.

    The tables are compared by their sums, in which every step of quality differs.

    Args:
        path: an image file.

    Returns:
        None where the file is no JPEG, or cannot be read.
    """
    try:
        with JpegImageFile(path) as image:  # Image.open would refuse one of very many pixels, none of which is read
            tables = image.quantization
    except (OSError, SyntaxError):  # what Pillow says of a file that is no JPEG
        return None
    if not tables:
        return None
    return int(np.abs(_sums_by_quality() - sum(tables[min(tables)])).argmin()) + 1


@functools.cache
def _sums_by_quality() -> NDArray[np.int64]:
    """`[100]` the sum of the luminance table that is written for each quality."""
    sums = []
    for quality in range(1, 101):
        file = io.BytesIO()
        Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
        file.seek(0)
        sums.append(sum(JpegImageFile(file).quantization[0]))
    return np.array(sums)


def encode_again(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """An image as it comes back from a JPEG file of this quality.

    Args:
        image: `[h, w, 3]` RGB.
        quality: 1 to 100.
    """
    _, content = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR_RGB), np.uint8)
