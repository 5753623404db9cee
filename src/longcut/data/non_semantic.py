"""Non-semantic negatives of a batch's queries: their patches, their textures, or others on their backgrounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longcut.core.seeding import Stream
from longcut.data.augmentation import Draws
from longcut.data.crops import scale_crops
from longcut.data.pictures import Pictures
from longcut.data.resizing import centre_crop
from longcut.data.store import Store
from longcut.negatives.patches import num_patch_uniforms, patch_sizes, tile_patches


@dataclass(frozen=True)
class Patches:
    """How patch negatives are made, as in `longcut.negatives.patch_negatives`.

    Attributes:
        size_range: smallest and largest side of a patch, pixels of a picture of 224.
        overlap: whether the places that patches come from may overlap.
        per_sample: a side for each image, rather than one for all images of an epoch.
        scale_sizes: sides are scaled with the picture; else taken as they are.
        source: what is cut up: the query with its augmentation (the code of Ge et al.), or the centre of the image
            as it is (their paper).
    """

    size_range: tuple[int, int] = (16, 72)
    overlap: bool = True
    per_sample: bool = True
    scale_sizes: bool = True
    source: Literal["query", "image"] = "query"


class Query(NamedTuple):
    """The first view of a batch: what it shows, and how it came about."""

    images: NDArray[np.uint8]
    """`[b, h, w, 3]`."""
    draws: Draws
    backgrounds: NDArray[np.int64] | None
    """`[b]` images that lent theirs, or `pictures.ON_GREY`; None where the images have their own."""


NonSemantics = Callable[[int, NDArray[np.int64], Query], NDArray[np.uint8]]
"""From an epoch, `indices [b]` and their query: the negatives `[b, v, h, w, 3]`."""


class PatchNegatives:
    """The query's, or the image's, patches in disorder."""

    def __init__(self, pictures: Pictures, patches: Patches, count: int) -> None:
        self._pictures = pictures
        self._patches = patches
        self._count = count
        side = pictures.augmentation.size
        self._sides = patch_sizes(patches.size_range, side, side, scale=patches.scale_sizes)
        self._width = num_patch_uniforms(side, side, self._sides[0])

    def __call__(self, epoch: int, indices: NDArray[np.int64], query: Query) -> NDArray[np.uint8]:
        """`count` negatives for each image."""
        shown = _channels_first(query.images if self._patches.source == "query" else self._centres(indices))
        uniforms = self._uniforms(epoch, indices)
        out = self._pictures.empty(len(indices), self._count)
        for number in range(self._count):
            tile_patches(
                shown,
                torch.from_numpy(uniforms[:, number]),
                self._sides,
                overlap=self._patches.overlap,
                out=_channels_first(out[:, number]),
            )
        return out

    def _uniforms(self, epoch: int, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        """`[b, v, k]`, whatever else is in the batch: a side that all share is that of the set's first image."""
        keys = indices if self._patches.per_sample else np.append(indices, 0)
        drawn = self._pictures.uniforms(epoch, keys, Stream.NON_SEMANTIC, self._count * self._width)
        drawn = drawn.reshape(-1, self._count, self._width)
        if not self._patches.per_sample:
            drawn[:, :, 0] = drawn[-1, :, 0]
        return drawn[: len(indices)]

    def _centres(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        store, side = self._pictures.store, self._pictures.augmentation.size
        return np.stack([centre_crop(store[index].image, side) for index in indices])


def _channels_first(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


class TextureNegatives:
    """The image's texture, with the query's own flip, colours and blur and its crop's share of the frame."""

    def __init__(self, pictures: Pictures, textures: Store) -> None:
        if len(textures) != len(pictures.store):
            raise ValueError(f"{len(pictures.store)} images need as many textures, not {len(textures)}")
        self._shapes = pictures.store.shapes
        self._pictures = Pictures(textures, pictures.augmentation, pictures.seed)

    def __call__(self, epoch: int, indices: NDArray[np.int64], query: Query) -> NDArray[np.uint8]:
        """One negative for each image."""
        crops = scale_crops(query.draws.crops, self._shapes[indices], self._pictures.store.shapes[indices])
        return self._pictures.augment(indices, None, replace(query.draws, crops=crops))[:, None]


class BackgroundNegatives:
    """Foregrounds of other images on the query's background, with an augmentation of their own.

    Source:
        Ryali, Schwab and Morcos, "Characterizing and improving the robustness of self-supervised learning through
        background augmentations" (2021), background swaps; where an image's own background is too small to be lent,
        another image's takes its place.
    """

    def __init__(self, pictures: Pictures, count: int) -> None:
        if len(pictures.store) < 2:
            raise ValueError("foregrounds of other images need at least two images")
        self._pictures = pictures
        self._count = count

    def __call__(self, epoch: int, indices: NDArray[np.int64], query: Query) -> NDArray[np.uint8]:
        """`count` negatives for each image."""
        pictures, store = self._pictures, self._pictures.store
        uniforms = pictures.uniforms(epoch, indices, Stream.PARTNER, 1 + self._count)
        backgrounds = query.backgrounds
        if backgrounds is None:
            lenders = pictures.lenders
            drawn = lenders[(uniforms[:, 0] * len(lenders)).astype(np.int64)]
            backgrounds = np.where(store.lends[indices], indices, drawn)
        out = pictures.empty(len(indices), self._count)
        for number in range(self._count):
            further = 1 + (uniforms[:, 1 + number] * (len(store) - 1)).astype(np.int64)
            others = (indices + further) % len(store)
            draws = pictures.draw(epoch, indices, Stream.NON_SEMANTIC, number, shapes=store.shapes[others])
            pictures.augment(others, backgrounds, draws, out[:, number])
        return out
