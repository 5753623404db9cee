"""Batches of an audit: each image beside the two that lend it a cue."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.decoding import read_image
from longcut.data.jpeg_quality import encode_again
from longcut.data.pool import num_cores
from longcut.data.preprocessing import Preprocessing
from longcut.data.resizing import resize_shorter
from longcut.data.store import Store
from longcut.evaluation.audit.donors import draw_donors
from longcut.evaluation.audit.variants import NUM_UNIFORMS, Donors, Views
from longcut.recipes.audit.backgrounds import has_foreground, leaves_margin, without_foreground


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
    """Donors of each image by `groups [s]`: its class, or its prediction.

    Those that have a background, `lends [s]`, go first. Where a group has none, the others lend what they have.
    """
    uniforms = keyed_uniforms(seed, 0, np.arange(len(groups)), Stream.LENDER, 2)

    def drawn(same: bool) -> NDArray[np.int64]:
        own = uniforms[:, 0 if same else 1]
        first, second = (draw_donors(groups, pool, own, same=same) for pool in (lends, np.ones_like(lends)))
        return np.where(first < 0, second, first)

    return Lenders(drawn(same=True), drawn(same=False))


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

    @property
    def lends(self) -> NDArray[np.bool_]:
        """`[s]` the images with a background to lend: their foreground is known, and leaves a margin beside it."""
        return self._seen[:, 0] & self._seen[:, 1]

    @property
    def leaves_margin(self) -> NDArray[np.bool_]:
        """`[s]` the images that no foreground fills, as far as one is known."""
        return self._seen[:, 1]

    @cached_property
    def _seen(self) -> NDArray[np.bool_]:
        """`[s, 2]` whether a mask shows a foreground, and whether that leaves a margin."""
        found = (self.store[i].mask for i in range(len(self.store)))
        masks = (self.preprocessing.square(mask) for mask in found if mask is not None)
        return np.array([(has_foreground(mask), leaves_margin(mask)) for mask in masks], bool)

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
        with ThreadPoolExecutor(num_cores()) as threads:  # OpenCV lets go of Python's lock while it encodes
            return self._on_device(list(threads.map(self._cut, indices.tolist(), qualities.tolist())))

    def _read(self, indices: NDArray[np.int64], quality: int) -> Donors:
        found = (self.store[i].mask for i in indices)
        images = [self._cut(i, quality) for i in indices.tolist()]
        masks = [self.preprocessing.square(mask) for mask in found if mask is not None]
        filled = [without_foreground(image, mask) for image, mask in zip(images, masks, strict=True)]
        return Donors(*(self._on_device(arrays) for arrays in (images, masks, filled)))

    def _cut(self, index: int, quality: int) -> NDArray[np.uint8]:
        """An image as the model sees it; at a quality above 0 its file is written again at that before."""
        if not quality:
            return self.preprocessing.square(self.store[index].image)
        images = self.store.images
        again = encode_again(read_image(images.root / images.paths[index]), quality)
        return self.preprocessing.square(resize_shorter(again, self.store.recipe.side))

    def _on_device(self, arrays: list[NDArray[np.uint8]]) -> Tensor:
        stacked = np.stack(arrays)
        batch = torch.from_numpy(stacked if stacked.ndim == 4 else stacked[..., None]).to(self.device)
        # Permuted, not copied: in memory each pixel's channels stay together, as convolutions on a CPU want them.
        return batch.permute(0, 3, 1, 2).float().div_(255)
