"""Records cut out, composed and augmented, a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.augmentation import Augmentation, Draws, draw, move
from longcut.data.colours import GREY
from longcut.data.crops import crop
from longcut.data.pasting import blend, cover
from longcut.data.statistics import IMAGENET_MEAN
from longcut.data.store import Store

ON_GREY = -1
"""Stands in place of an image that lends its background, where there is to be none."""
MEAN_GREY = round(255 * float(GREY @ IMAGENET_MEAN))


@dataclass(frozen=True)
class Pictures:
    """What is drawn for the images of a batch, and what comes of it."""

    store: Store
    augmentation: Augmentation
    seed: int

    @cached_property
    def lenders(self) -> NDArray[np.int64]:
        """Images that have a background to lend.

        Raises:
            ValueError: none has.
        """
        found = np.flatnonzero(self.store.lends)
        if not len(found):
            raise ValueError(f"no image in {self.store.images.root} has enough background beside its mask to lend")
        return found

    def uniforms(self, epoch: int, indices: NDArray[np.int64], stream: Stream, count: int) -> NDArray[np.float64]:
        """`[b, count]`, keyed by the run's seed, the epoch and the index."""
        return keyed_uniforms(self.seed, epoch, indices, stream, count)

    def draw(
        self,
        epoch: int,
        indices: NDArray[np.int64],
        stream: Stream,
        view: int = 0,
        *,
        shapes: NDArray[np.int64] | None = None,
    ) -> Draws:
        """Parameters for images of `shapes [b, 2]`, those of the records by default."""
        shapes = self.store.shapes[indices] if shapes is None else shapes
        return draw(self.augmentation, shapes, seed=self.seed, epoch=epoch, indices=indices, stream=stream, view=view)

    def empty(self, *counts: int) -> NDArray[np.uint8]:
        """Room for pictures: `[*counts, size, size, 3]`."""
        return np.empty((*counts, self.augmentation.size, self.augmentation.size, 3), np.uint8)

    def shown(
        self,
        epoch: int,
        indices: NDArray[np.int64],
        backgrounds: NDArray[np.int64] | None,
        stream: Stream,
        view: int = 0,
        out: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """What `augment` makes of `draw`'s parameters; whole images that only move, as one array of the records."""
        block, size = self.store.block, self.augmentation.size
        if backgrounds is not None or not self.augmentation.only_moves:
            return self.augment(indices, backgrounds, self.draw(epoch, indices, stream, view), out)
        if block is None or block.shape[1:3] != (size, size):
            return self.augment(indices, None, self.draw(epoch, indices, stream, view), out)
        images = block[indices]
        if not self.augmentation.is_identity:
            images = move(
                images, self.augmentation, seed=self.seed, epoch=epoch, indices=indices, stream=stream, view=view
            )
        if out is not None:
            out[:] = images
        return images if out is None else out

    def augment(
        self,
        indices: NDArray[np.int64],
        backgrounds: NDArray[np.int64] | None,
        draws: Draws,
        out: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """Each image, or its foreground on a background, composed first and augmented after.

        Args:
            indices: `[b]` of the images.
            backgrounds: `[b]` images that lend theirs, or `ON_GREY`; None leaves the images as they are.
            draws: what was drawn for them.
            out: `[b, size, size, 3]` to write into; new where None.
        """
        out = self.empty(len(indices)) if out is None else out
        for row, index in enumerate(indices):
            background = None if backgrounds is None else int(backgrounds[row])
            draws.finish(row, self._part(index, background, draws.crops[row]), out[row])
        return out

    def _part(self, index: int, background: int | None, box: NDArray[np.int64]) -> NDArray[np.uint8]:
        sample = self.store[index]
        part = crop(sample.image, box)
        if background is None:
            return part
        assert sample.mask is not None
        mask = crop(sample.mask, box)
        if background == ON_GREY:
            return blend(part, mask, MEAN_GREY)
        lent = self.store[background].background
        assert lent is not None
        return blend(part, mask, crop(cover(lent, *sample.image.shape[:2]), box))
