"""Pictures small enough to live inside a page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from longcut.data.decoding import read_image

_SIDE = 112
_SMALL = 64


@dataclass(frozen=True, slots=True)
class Picture:
    """An image inside a page."""

    source: str
    """A `data:` address."""
    width: int
    height: int
    """Pixels of the embedded image."""

    @property
    def is_small(self) -> bool:
        """Whether its pixels are better shown as squares than blurred."""
        return max(self.width, self.height) <= _SMALL


def thumbnail(path: Path) -> Picture:
    """An image of at most 112 px; smaller ones keep their pixels.

    Raises:
        ValueError: names a file that is missing or cannot be decoded.
    """
    return _embed(path, _SIDE, _SIDE, quality=82)


def grid_picture(path: Path) -> Picture:
    """A grid of images, at most 1536 px wide.

    Raises:
        ValueError: names a file that is missing or cannot be decoded.
    """
    return _embed(path, 1536, 768, quality=80)


def _embed(path: Path, width: int, height: int, quality: int) -> Picture:
    image = Image.fromarray(read_image(path))
    image.thumbnail((width, height), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, format="WEBP", quality=quality, method=4)
    text = base64.b64encode(stream.getvalue()).decode("ascii")
    return Picture(f"data:image/webp;base64,{text}", *image.size)
