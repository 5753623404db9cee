"""Whole batches of uint8 for a key: cropped, composed and coloured by OpenCV, the same whoever asks and whenever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from longcut.core.seeding import Stream
from longcut.data.augmentation import Augmentation
from longcut.data.composites import Composites, MixedAmplitudes, StylizedShapes, SwappedBackgrounds
from longcut.data.non_semantic import (
    BackgroundNegatives,
    NonSemantics,
    Patches,
    PatchNegatives,
    Query,
    TextureNegatives,
)
from longcut.data.pictures import ON_GREY, Pictures
from longcut.data.resizing import centre_crop
from longcut.data.store import Store
from longcut.data.stylized import Stylized
from longcut.negatives.backgrounds import Balance

__all__ = ["BiasedSets", "EvaluationData", "Parts", "Patches", "TrainingData"]

Images = Literal["original", "mixed_rand", "only_fg"]
NonSemantic = Literal["patch", "texture", "background"]
CompositesFrom = Literal["backgrounds", "amplitude", "stylized"]


@dataclass(frozen=True)
class Parts:
    """What a batch holds beside its images: what a method needs.

    Attributes:
        composites: for each image one with its shape and another class's background or texture.
        views: how many further augmentations of each image.
        non_semantic: which non-semantic negatives; None where there are none.
        num_non_semantic: how many of them for each image.
    """

    composites: bool = False
    views: int = 0
    non_semantic: NonSemantic | None = None
    num_non_semantic: int = 1

    def __post_init__(self) -> None:
        if self.views < 0:
            raise ValueError(f"views is a number of at least 0, not {self.views}")
        if self.non_semantic is not None and self.num_non_semantic < 1:
            raise ValueError(f"num_non_semantic is a number of at least 1, not {self.num_non_semantic}")
        if self.non_semantic == "texture" and self.num_non_semantic > 1:
            raise ValueError(
                f"an image has one texture: num_non_semantic is 1 with 'texture', not {self.num_non_semantic}"
            )


@dataclass(frozen=True)
class BiasedSets:
    """Samples that biased models tell apart."""

    amplified: NDArray[np.bool_]
    """`[s]` whether each sample is in the bias-amplified set."""
    candidates: NDArray[np.bool_]
    """`[s]` whether each sample is a candidate for being bias-conflicting."""


_NOTHING, _PATCHES = Parts(), Patches()


class TrainingData(Dataset[dict[str, Tensor]]):
    """A whole augmented batch for a key `(epoch, indices)`: the same whoever asks and whenever.

    Args:
        store: the records.
        augmentation: what is drawn for each.
        seed: the run's seed.
        images: the images as they are, each foreground on the background of any image (Mixed-Rand), or on mean grey
            (Only-FG); each view draws a background of its own.
        balance: whether composites take backgrounds, or amplitudes, uniformly over images or over classes.
        parts: what a batch holds beside the images.
        patches: how patch negatives are made.
        composites_from: what composites are made from: backgrounds of other classes, which need masks, Fourier
            amplitudes of other classes, or the images of `stylized`.
        textures: records of the images' textures, in the order of the store's.
        stylized: images with other classes' textures.
        sets: what batches tell of samples as `amplified` and `candidates`; None leaves both out.

    Raises:
        ValueError: something that the parts are made from is not there, or the sets are of other samples.
    """

    def __init__(
        self,
        store: Store,
        augmentation: Augmentation,
        *,
        seed: int,
        images: Images = "original",
        balance: Balance = "images",
        parts: Parts = _NOTHING,
        patches: Patches = _PATCHES,
        composites_from: CompositesFrom = "backgrounds",
        textures: Store | None = None,
        stylized: Stylized | None = None,
        sets: BiasedSets | None = None,
    ) -> None:
        self._pictures = Pictures(store, augmentation, seed)
        self._images = images
        self._views = parts.views
        swaps = parts.composites and composites_from == "backgrounds"
        if (swaps or images != "original" or parts.non_semantic == "background") and not store.recipe.composites:
            raise ValueError("backgrounds can be exchanged or removed only where the images have masks")
        self._composites: Composites | None = None
        if parts.composites:
            self._composites = _composites(self._pictures, composites_from, balance, stylized)
        self._non_semantic: NonSemantics | None = None
        if parts.non_semantic is not None:
            self._non_semantic = _non_semantic(self._pictures, parts, patches, textures)
        self._sets = sets
        if sets is not None and not len(sets.amplified) == len(sets.candidates) == len(store):
            raise ValueError(
                f"sets of {len(sets.amplified)} and {len(sets.candidates)} samples do not fit {len(store)} images"
            )

    def __len__(self) -> int:
        return len(self._pictures.store)

    def __getitem__(self, key: tuple[int, NDArray[np.int64]]) -> dict[str, Tensor]:
        epoch, indices = key
        pictures, known = self._pictures, self._pictures.store.images
        backgrounds = self._backgrounds(epoch, indices, 1 + self._views)
        batch: dict[str, NDArray[Any]] = {"targets": known.targets[indices], "indices": indices}
        if self._non_semantic is None:
            batch["images"] = pictures.shown(epoch, indices, backgrounds[0], Stream.IMAGE)
        else:
            draws = pictures.draw(epoch, indices, Stream.IMAGE)
            query = Query(pictures.augment(indices, backgrounds[0], draws), draws, backgrounds[0])
            batch["images"], batch["non_semantic"] = query.images, self._non_semantic(epoch, indices, query)
        if self._views:
            batch["views"] = pictures.empty(len(indices), self._views)
            for view in range(self._views):
                pictures.shown(epoch, indices, backgrounds[1 + view], Stream.VIEW, view, out=batch["views"][:, view])
        if self._composites is not None:
            batch["composites"], batch["background_targets"] = self._composites(epoch, indices)
        if known.bias is not None:
            batch["bias"] = known.bias[indices]
        if self._sets is not None:
            batch["amplified"], batch["candidates"] = self._sets.amplified[indices], self._sets.candidates[indices]
        return {name: torch.from_numpy(array) for name, array in batch.items()}

    def partners(self, indices: NDArray[np.int64], step: int) -> Tensor:
        """Images of any samples, which a method's own state names: uint8 `[b, h, w, 3]`.

        They are drawn as the images of a batch are, in a stream of their own, keyed by (seed, step, index).

        Args:
            indices: `[b]` of the samples.
            step: the optimizer step that they are for.
        """
        # One background more than a batch has: the last one is no batch's, whichever epoch the step's number is.
        backgrounds = self._backgrounds(step, indices, 2 + self._views)[-1]
        return torch.from_numpy(self._pictures.shown(step, indices, backgrounds, Stream.FETCHED))

    def _backgrounds(self, epoch: int, indices: NDArray[np.int64], count: int) -> list[NDArray[np.int64] | None]:
        """For each of `count` views, the first one first: `[b]` images that lend their backgrounds, or None."""
        if self._images == "original":
            return [None] * count
        if self._images == "only_fg":
            return [np.full(len(indices), ON_GREY)] * count
        uniforms, lenders = self._pictures.uniforms(epoch, indices, Stream.MIXED, count), self._pictures.lenders
        return list(lenders[(uniforms.T * len(lenders)).astype(np.int64)])


def _composites(pictures: Pictures, source: CompositesFrom, balance: Balance, stylized: Stylized | None) -> Composites:
    if source == "backgrounds":
        return SwappedBackgrounds(pictures, balance)
    if source == "amplitude":
        return MixedAmplitudes(pictures, balance)
    if stylized is None:
        raise ValueError("composites from 'stylized' need stylized images; make them with 'longcut data stylize'")
    return StylizedShapes(pictures, stylized)


def _non_semantic(pictures: Pictures, parts: Parts, patches: Patches, textures: Store | None) -> NonSemantics:
    if parts.non_semantic == "patch":
        return PatchNegatives(pictures, patches, parts.num_non_semantic)
    if parts.non_semantic == "background":
        return BackgroundNegatives(pictures, parts.num_non_semantic)
    if textures is None:
        raise ValueError("texture negatives need a texture of each image; make them with 'longcut data textures'")
    return TextureNegatives(pictures, textures)


class EvaluationData(Dataset[dict[str, Tensor]]):
    """The central square of each image, for a key of indices."""

    def __init__(self, store: Store, size: int) -> None:
        self._store = store
        self._size = size

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, indices: NDArray[np.int64]) -> dict[str, Tensor]:
        block = self._store.block
        if block is not None and block.shape[1:3] == (self._size, self._size):
            images = block[indices]
        else:
            images = np.stack([centre_crop(self._store[i].image, self._size) for i in indices])
        batch = {"images": images, "targets": self._store.images.targets[indices], "indices": indices}
        if self._store.images.bias is not None:
            batch["bias"] = self._store.images.bias[indices]
        return {name: torch.from_numpy(array) for name, array in batch.items()}
