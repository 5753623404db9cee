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


def write_celeba(root: Path, *, count: int = 24, size: int = 32) -> Path:
    """Noise in CelebA's layout: the first two thirds of the images for training, the others to test on.

    Attributes: `Blond_Hair` of every other image, `Male` of every other two, `Smiling` of every other four.
    """
    names = [f"{number:06}.png" for number in range(count)]
    attributes = [(i % 2, i // 2 % 2, i // 4 % 2) for i in range(count)]
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 256, (size, size, 3))
        _save(root / "img_align_celeba" / name, pixels)
    rows = [" ".join([name, *(str(2 * has - 1) for has in row)]) for name, row in zip(names, attributes, strict=True)]
    (root / "list_attr_celeba.txt").write_text("\n".join([str(count), "Blond_Hair Male Smiling", *rows]))
    splits = [f"{name} {2 * (number >= count * 2 // 3)}" for number, name in enumerate(names)]
    (root / "list_eval_partition.txt").write_text("\n".join(splits))
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
