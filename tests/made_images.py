"""Folders of images made for tests: a bright disc for a foreground, and a background whose hue is the class's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("bird", "cat", "dog")


def write_images(
    root: Path, *, classes: Sequence[str] = CLASSES, count: int = 6, size: int = 36, seed: int = 0
) -> Path:
    """`<root>/<class>/<number>.png`, `count` of each class."""
    for place, name in enumerate(classes):
        for number in range(count):
            pixels, disc = _photograph(np.random.default_rng([seed, place, number]), place, size)
            _save(root / name / f"{number}.png", np.where(disc[..., None], 255 - pixels, pixels))
    return root


def write_masks(root: Path, *, classes: Sequence[str] = CLASSES, count: int = 6, size: int = 36, seed: int = 0) -> Path:
    """The masks of what `write_images` writes."""
    for place, name in enumerate(classes):
        for number in range(count):
            _, disc = _photograph(np.random.default_rng([seed, place, number]), place, size)
            _save(root / name / f"{number}.png", disc.astype(np.uint8) * 255)
    return root


def _photograph(draw: np.random.Generator, place: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    hue = np.roll([150, 60, 20], place)
    pixels = (hue + draw.integers(0, 60, (size, size, 3))).astype(np.uint8)
    y, x = np.mgrid[:size, :size]
    centre, radius = draw.uniform(0.4, 0.6, 2) * size, draw.uniform(0.2, 0.3) * size
    return pixels, (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
