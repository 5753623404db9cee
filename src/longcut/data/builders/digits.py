"""Handwritten digits on photographs: a data set with a background shortcut, made of what the dependencies ship.

The digits are scikit-learn's 1,797 (Alpaydin and Kaynak 1998), the photographs scikit-image's and scikit-learn's. Each
digit has a photograph of its own, on which it stands most of the time. Test digits were written by none of the training
digits' files, and test backgrounds come from a part of each photograph that training never shows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.decoding import write_image
from longcut.data.pasting import blend
from longcut.data.resizing import resize

SIZE = 64
TEST_SHARE = 0.3
_SEAM = 0.6
"""Training backgrounds come from the left of this share of a photograph's width, test backgrounds from the right."""


def build_digits(destination: Path, *, seed: int, correlation: float = 0.85) -> None:
    """Write `images/{train,test}/<digit>/*.png` and the exact masks in `masks/`, mirroring them.

    Args:
        destination: folder to write; files that are there are written anew.
        seed: of positions, sizes, colours and backgrounds, and of the split.
        correlation: share of the images whose background is their class's; the others' is any other class's.

    Raises:
        ValueError: the correlation is no probability.
    """
    from sklearn.datasets import load_digits

    if not 0 <= correlation <= 1:
        raise ValueError(f"correlation is a probability, not {correlation}")
    digits = load_digits()
    photographs = load_photographs()
    indices = np.arange(len(digits.target))
    draws = keyed_uniforms(seed, 0, indices, Stream.BUILDER, 12)
    for index, (pixels, target, drawn) in enumerate(zip(digits.images, digits.target, draws, strict=True)):
        split = "test" if drawn[0] < TEST_SHARE else "train"
        image, mask = _place(pixels, photographs, int(target), split, correlation, drawn[1:])
        name = f"{split}/{target}/{index:04d}.png"
        write_image(destination / "images" / name, image)
        write_image(destination / "masks" / name, mask)


def load_photographs() -> list[NDArray[np.uint8]]:
    """Ten photographs and textures, RGB, that scikit-image and scikit-learn ship."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    names = ("china.jpg", "flower.jpg")
    shipped: tuple[Callable[[], NDArray[np.uint8]], ...] = (
        data.grass,
        data.gravel,
        data.brick,
        data.coffee,
        data.immunohistochemistry,
        data.hubble_deep_field,
        data.chelsea,
        data.retina,
    )
    images = [load() for load in shipped] + [load_sample_image(name) for name in names]
    return [image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2) for image in images]


def _place(
    pixels: NDArray[np.float64],
    photographs: list[NDArray[np.uint8]],
    target: int,
    split: str,
    correlation: float,
    drawn: NDArray[np.float64],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One digit in a colour of its own on a crop of a photograph, and its mask."""
    others = [c for c in range(len(photographs)) if c != target]
    source = target if drawn[0] < correlation else others[int(drawn[1] * len(others))]
    background = _crop(photographs[source], split, drawn[2:5])
    side = int(44 + drawn[5] * 16)
    top, left = (drawn[6:8] * (SIZE - side + 1)).astype(int)
    stroke = cv2.resize(pixels / 16, (side, side), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    # Half ink is the edge; the slope keeps it soft over about a pixel.
    mask[top : top + side, left : left + side] = np.rint(np.clip((stroke - 0.5) * 4 + 0.5, 0, 1) * 255)
    colour = np.broadcast_to((128 + drawn[8:11] * 127).astype(np.uint8), (SIZE, SIZE, 3))
    return blend(np.ascontiguousarray(colour), mask, background), mask


def _crop(photograph: NDArray[np.uint8], split: str, drawn: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A square of one to two times the image's size, from the split's part of a photograph."""
    seam = int(photograph.shape[1] * _SEAM)
    part = photograph[:, :seam] if split == "train" else photograph[:, seam:]
    side = int(SIZE * (1 + drawn[0]))
    top, left = (drawn[1:] * (np.array(part.shape[:2]) - side + 1)).astype(int)
    return resize(np.ascontiguousarray(part[top : top + side, left : left + side]), SIZE, SIZE)
