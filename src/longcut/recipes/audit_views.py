"""Batches of an audit: each image beside the two that lend it a cue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.decoding import read_image
from longcut.data.jpeg_quality import encode_again
from longcut.data.preprocessing import Preprocessing
from longcut.data.resizing import resize_shorter
from longcut.data.store import Store
from longcut.data.tiles import LARGEST_SHARE, box_area, box_of_mask, tile_background
from longcut.evaluation.donors import draw_donors
from longcut.evaluation.variants import NUM_UNIFORMS, Donors, Views
from longcut.evaluation.variants.borders import frame_width


@dataclass(frozen=True)
class Lenders:
    """`[s]` positions of each image's donors, -1 where there is none."""

    same: NDArray[np.int64]
    other: NDArray[np.int64]

    @property
    def pairs(self) -> NDArray[np.int64]:
        """`[s, 2]` both; an image without a donor stands in for it."""
        places = np.arange(len(self.same))
        return np.column_stack([np.where(row >= 0, row, places) for row in (self.same, self.other)])

    @property
    def complete(self) -> NDArray[np.bool_]:
        """`[s]` whether an image has both."""
        return (self.same >= 0) & (self.other >= 0)


def draw_lenders(groups: NDArray[np.int64], lends: NDArray[np.bool_], seed: int) -> Lenders:
    """Donors of each image by `groups [s]`: its class, or its prediction."""
    uniforms = keyed_uniforms(seed, 0, np.arange(len(groups)), Stream.LENDER, 2)
    return Lenders(
        same=draw_donors(groups, lends, uniforms[:, 0], same=True),
        other=draw_donors(groups, lends, uniforms[:, 1], same=False),
    )


@dataclass(frozen=True)
class ViewReader:
    """Reads batches of an audit's images.

    Attributes:
        store: records with masks and backgrounds.
        preprocessing: what an image must look like before the model sees it.
        seed: of the draws that variants take.
        device: where the batches go.
        mean: of the images' pixels, a number for each channel.
        std: likewise.
    """

    store: Store
    preprocessing: Preprocessing
    seed: int
    device: torch.device
    mean: Tensor
    std: Tensor

    def images(self, indices: NDArray[np.int64]) -> Tensor:
        """`[b, 3, h, w]`, 0 to 1."""
        return self._on_device([self.preprocessing.square(self.store[i].image) for i in indices])

    def masks(self, indices: NDArray[np.int64]) -> Tensor:
        """`[b, 1, h, w]`, 1 on the foreground."""
        masks = [mask for i in indices if (mask := self.store[i].mask) is not None]
        return self._on_device([self.preprocessing.square(mask) for mask in masks])

    def views(self, indices: NDArray[np.int64], lenders: Lenders, quality: int = 0) -> Views:
        """Everything that variants are made of; an image without a donor stands in for it.

        Args:
            indices: `[b]` positions.
            lenders: of all images.
            quality: of JPEG, that all pictures are written at before they are cut; 0 leaves them as they are.
        """
        own = self._read(indices, quality)
        same, other = lenders.pairs[indices].T
        uniforms = keyed_uniforms(self.seed, 0, indices, Stream.VIEW, NUM_UNIFORMS)
        return Views(
            own.images,
            own.masks,
            own.backgrounds,
            self._read(same, quality),
            self._read(other, quality),
            torch.from_numpy(uniforms).to(self.device),
            self.mean,
            self.std,
        )

    def encoded(self, indices: NDArray[np.int64], qualities: NDArray[np.int64]) -> Tensor:
        """The files' images written again at `qualities [b]` before they are resized; at 0 as they are."""
        images = self.store.images
        pixels = []
        for index, quality in zip(indices.tolist(), qualities.tolist(), strict=True):
            image = read_image(images.root / images.paths[index])
            image = resize_shorter(encode_again(image, quality) if quality else image, self.store.recipe.side)
            pixels.append(self.preprocessing.square(image))
        return self._on_device(pixels)

    def _read(self, indices: NDArray[np.int64], quality: int) -> Donors:
        def cut(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
            written = encode_again(array, quality) if quality and array.ndim == 3 else array
            return self.preprocessing.square(written)

        records = [self.store[i] for i in indices]
        images = [cut(record.image) for record in records]
        masks = [cut(record.mask) for record in records if record.mask is not None]
        filled = [_without_foreground(image, mask) for image, mask in zip(images, masks, strict=True)]
        return Donors(*(self._on_device(arrays) for arrays in (images, masks, filled)))

    def _on_device(self, arrays: list[NDArray[np.uint8]]) -> Tensor:
        stacked = np.stack(arrays)
        batch = torch.from_numpy(stacked if stacked.ndim == 4 else stacked[..., None]).to(self.device)
        # Permuted, not copied: in memory each pixel's channels stay together, as convolutions on a CPU want them.
        return batch.permute(0, 3, 1, 2).float().div_(255)


def _without_foreground(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image's background, the foreground's box filled with the widest margin beside it.

    The outermost frame is left out of what fills, so that a mark in it is in the frame alone.
    """
    edge = frame_width(*mask.shape)
    inner = slice(edge, -edge)
    box = box_of_mask(mask[inner, inner])
    if box is None or box_area(box) > LARGEST_SHARE * mask[inner, inner].size:
        return image
    filled = image.copy()
    filled[inner, inner] = tile_background(image[inner, inner], box)
    return filled
