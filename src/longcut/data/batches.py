"""Whole batches of uint8 for a key: cropped, composed and coloured by OpenCV, the same whoever asks and whenever."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.augmentation import Augmentation, centre_crop, crop, draw, finish
from longcut.data.pasting import blend, cover
from longcut.data.store import Store
from longcut.negatives import BackgroundPool
from longcut.negatives.backgrounds import Balance

Images = Literal["original", "mixed_rand"]


class TrainingData(Dataset[dict[str, Tensor]]):
    """A whole augmented batch for a key `(epoch, indices)`: the same whoever asks and whenever.

    Args:
        store: the records.
        augmentation: what is drawn for each.
        seed: the run's seed.
        images: the images as they are, or each foreground on the background of any image (ERM on Mixed-Rand).
        composites: whether each anchor gets a composite with a background of another class.
        balance: whether those backgrounds are drawn uniformly over images or over classes.
    """

    def __init__(
        self,
        store: Store,
        augmentation: Augmentation,
        *,
        seed: int,
        images: Images = "original",
        composites: bool = False,
        balance: Balance = "images",
    ) -> None:
        self._store = store
        self._augmentation = augmentation
        self._seed = seed
        self._images = images
        lenders = np.flatnonzero(store.lends)
        self._lenders = lenders
        self._pool = BackgroundPool(store.images.targets[lenders], balance) if composites else None

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, key: tuple[int, NDArray[np.int64]]) -> dict[str, Tensor]:
        epoch, indices = key
        targets = self._store.images.targets[indices]
        batch: dict[str, NDArray[Any]] = {"targets": targets, "indices": indices}
        if self._images == "original":
            batch["images"] = self._augmented(epoch, indices, None, Stream.IMAGE)
        else:
            uniforms = keyed_uniforms(self._seed, epoch, indices, Stream.MIXED, 1)[:, 0]
            anyone = self._lenders[(uniforms * len(self._lenders)).astype(np.int64)]
            batch["images"] = self._augmented(epoch, indices, anyone, Stream.IMAGE)
        if self._pool is not None:
            uniforms = keyed_uniforms(self._seed, epoch, indices, Stream.BACKGROUND, 2)
            backgrounds = self._lenders[self._pool.draw(targets, uniforms)]
            batch["composites"] = self._augmented(epoch, indices, backgrounds, Stream.COMPOSITE)
            batch["background_targets"] = self._store.images.targets[backgrounds]
        if self._store.images.bias is not None:
            batch["bias"] = self._store.images.bias[indices]
        return {name: torch.from_numpy(array) for name, array in batch.items()}

    def _augmented(
        self, epoch: int, indices: NDArray[np.int64], backgrounds: NDArray[np.int64] | None, stream: Stream
    ) -> NDArray[np.uint8]:
        """`[b, size, size, 3]`: each image, or its foreground on a background, composed first and augmented after."""
        size = self._augmentation.size
        shapes = self._store.shapes[indices]
        draws = draw(self._augmentation, shapes, seed=self._seed, epoch=epoch, indices=indices, stream=stream)
        out = np.empty((len(indices), size, size, 3), np.uint8)
        for row, index in enumerate(indices):
            sample, box = self._store[index], draws.crops[row]
            part = crop(sample.image, box)
            if backgrounds is not None:
                lent = self._store[backgrounds[row]].background
                assert sample.mask is not None
                assert lent is not None
                fitted = cover(lent, *sample.image.shape[:2])
                part = blend(part, crop(sample.mask, box), crop(fitted, box))
            matrix = None if draws.colours is None else draws.colours[row]
            finish(part, size, bool(draws.flips[row]), matrix, out=out[row])
        return out


class EvaluationData(Dataset[dict[str, Tensor]]):
    """The central square of each image, for a key of indices."""

    def __init__(self, store: Store, size: int) -> None:
        self._store = store
        self._size = size

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, indices: NDArray[np.int64]) -> dict[str, Tensor]:
        images = np.stack([centre_crop(self._store[i].image, self._size) for i in indices])
        batch = {"images": images, "targets": self._store.images.targets[indices], "indices": indices}
        if self._store.images.bias is not None:
            batch["bias"] = self._store.images.bias[indices]
        return {name: torch.from_numpy(array) for name, array in batch.items()}
