"""Photographs of about 257 pixels to measure on: the pack that is given, or crops of those that the libraries ship."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from longcut.data.builders.digits import load_photographs
from longcut.data.decoding import write_image
from longcut.data.image_set import ImageSet, read_images
from longcut.data.resizing import resize

HEIGHT = 256


@contextmanager
def photographs(count: int, *, height: int = HEIGHT) -> Iterator[ImageSet]:
    """`count` JPEG files: from `$LONGCUT_DATA/bar_224/train` where that is there, else made with the given height."""
    with TemporaryDirectory() as made:
        given = Path(os.environ.get("LONGCUT_DATA", "")) / "bar_224" / "train"
        if not given.is_dir():
            given = Path(made)
            _make(given, count, height)
        images = read_images(given)
        yield images.select(np.linspace(0, len(images) - 1, min(count, len(images))).astype(np.int64))


def _make(root: Path, count: int, height: int) -> None:
    sources, generator = load_photographs(), np.random.default_rng(0)
    for number in range(count):
        which = number % len(sources)
        shape = np.array(sources[which].shape[:2])
        side = min(*shape, 2 * HEIGHT)
        top, left = generator.integers(0, shape - side + 1)
        part = np.ascontiguousarray(sources[which][top : top + side, left : left + side])
        write_image(root / str(which) / f"{number:04d}.jpg", resize(part, height, height + 1), quality=90)
