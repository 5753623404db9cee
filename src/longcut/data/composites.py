"""Composites: an image's shape with what a class is mistaken by from another one, its background or its texture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from longcut.core.seeding import Stream
from longcut.data.crops import crop
from longcut.data.pasting import cover
from longcut.data.pictures import Pictures
from longcut.data.stylized import Stylized
from longcut.negatives import BackgroundPool, mix_amplitude
from longcut.negatives.backgrounds import Balance

Composites = Callable[[int, NDArray[np.int64]], tuple[NDArray[np.uint8], NDArray[np.int64]]]
"""From an epoch and `indices [b]`: the composites `[b, h, w, 3]`, and the class that each got its other half from."""


class SwappedBackgrounds:
    """Each foreground on the background of an image of another class (CLAD, section 4.2)."""

    def __init__(self, pictures: Pictures, balance: Balance) -> None:
        self._pictures = pictures
        self._pool = BackgroundPool(pictures.store.images.targets[pictures.lenders], balance)
        self._pool.check(pictures.store.images.targets)

    def __call__(self, epoch: int, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Composites, and the classes of their backgrounds."""
        pictures, targets = self._pictures, self._pictures.store.images.targets
        uniforms = pictures.uniforms(epoch, indices, Stream.BACKGROUND, 2)
        backgrounds = pictures.lenders[self._pool.draw(targets[indices], uniforms)]
        draws = pictures.draw(epoch, indices, Stream.COMPOSITE)
        return pictures.augment(indices, backgrounds, draws), targets[backgrounds]


class MixedAmplitudes:
    """Each image with the Fourier amplitude of an image of another class; needs no masks."""

    def __init__(self, pictures: Pictures, balance: Balance) -> None:
        self._pictures = pictures
        self._pool = BackgroundPool(pictures.store.images.targets, balance)
        self._pool.check(pictures.store.images.targets)

    def __call__(self, epoch: int, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Composites, and the classes of their amplitudes."""
        store, targets = self._pictures.store, self._pictures.store.images.targets
        others = self._pool.draw(targets[indices], self._pictures.uniforms(epoch, indices, Stream.BACKGROUND, 2))
        draws = self._pictures.draw(epoch, indices, Stream.COMPOSITE)
        out = self._pictures.empty(len(indices))
        for row, (index, other) in enumerate(zip(indices, others, strict=True)):
            content = store[index].image
            mixed = mix_amplitude(content, cover(store[other].image, *content.shape[:2]))
            draws.finish(row, crop(mixed, draws.crops[row]), out[row])
        return out, targets[others]


class StylizedShapes:
    """For each image one of those that show its shape with the texture of another class."""

    def __init__(self, pictures: Pictures, stylized: Stylized) -> None:
        self._stylized = stylized
        self._pictures = Pictures(stylized.store, pictures.augmentation, pictures.seed)

    def __call__(self, epoch: int, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Composites, and the classes of their textures."""
        rows = self._stylized.draw(indices, self._pictures.uniforms(epoch, indices, Stream.BACKGROUND, 1)[:, 0])
        draws = self._pictures.draw(epoch, indices, Stream.COMPOSITE, shapes=self._stylized.store.shapes[rows])
        return self._pictures.augment(rows, None, draws), self._stylized.texture_targets[rows]
