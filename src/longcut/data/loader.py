"""Batches: records are cropped, composed and coloured in workers, and made float on the device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from longcut.core import Batch
from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.augmentation import Augmentation, centre_crop, crop, draw, finish
from longcut.data.pasting import blend, cover
from longcut.data.store import Store
from longcut.negatives import BackgroundPool
from longcut.negatives.backgrounds import Balance

Images = Literal["original", "mixed_rand"]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Normalisation:
    """uint8 `[b, h, w, c]` to float `[b, c, h, w]`, per channel `(x / 255 - mean) / std`."""

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __call__(self, images: Tensor) -> Tensor:
        """The normalised images; their memory stays channels-last."""
        # In rows of pixels: a loop over three channels as the innermost one costs several times as much.
        pixels = images.flatten(2)
        scale = (1 / (torch.tensor(self.std) * 255)).repeat(images.shape[2]).to(images.device)
        shift = (-torch.tensor(self.mean) / torch.tensor(self.std)).repeat(images.shape[2]).to(images.device)
        if images.device.type != "cpu":
            rows = torch.addcmul(shift, pixels.float(), scale)
        else:
            rows = torch.empty(pixels.shape)
            for image, out in zip(pixels, rows, strict=True):  # one image at a time stays in the processor's cache
                torch.addcmul(shift, out.copy_(image), scale, out=out)
        return rows.view(images.shape).permute(0, 3, 1, 2)


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


@dataclass(frozen=True)
class Order:
    """Which samples make which step's batch: an endless shuffled pass, addressable at any step.

    The images of a step are cut into contiguous slices, first for accumulation and then for the processes; what is left
    over at the end of an epoch is dropped. A set smaller than a batch is a batch.

    Attributes:
        num_samples: size of the set.
        batch_size: images of one optimizer step, over all processes.
        seed: the run's seed.
        accumulate: slices that follow each other within a step.
        rank: this process.
        world_size: number of processes.
    """

    num_samples: int
    batch_size: int
    seed: int
    accumulate: int = 1
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if self.images_per_step % (self.accumulate * self.world_size):
            raise ValueError(
                f"a batch of {self.images_per_step} images cannot be cut into accumulate {self.accumulate} x processes "
                f"{self.world_size} equal slices: choose another batch_size"
            )

    @property
    def images_per_step(self) -> int:
        """Images of one optimizer step."""
        return min(self.batch_size, self.num_samples)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the data."""
        return max(1, self.num_samples // self.batch_size)

    def keys(self, start: int, stop: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Epoch and this process's indices for the slices of the steps `start` to `stop - 1`, counted from 0."""
        order, drawn = self._permutation(0), 0
        for step in range(start, stop):
            epoch, position = divmod(step, self.steps_per_epoch)
            if epoch != drawn:
                order, drawn = self._permutation(epoch), epoch
            batch = order[position * self.batch_size : (position + 1) * self.batch_size]
            for part in np.split(batch, self.accumulate):
                yield epoch, np.split(part, self.world_size)[self.rank]

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        draws = keyed_uniforms(self.seed, epoch, np.arange(self.num_samples), Stream.ORDER, 2)
        return np.lexsort(draws.T)


class BatchLoader:
    """An iterable of batches on a device.

    Args:
        data: gives a batch for each of `keys`.
        keys: what to ask it for; anything that can be iterated once.
        normalisation: applied on the device.
        device: where the batches go.
        workers: processes that prepare batches ahead; 0 prepares them in this one.
    """

    def __init__(
        self,
        data: Dataset[dict[str, Tensor]],
        keys: Any,
        *,
        normalisation: Normalisation,
        device: torch.device | str = "cpu",
        workers: int = 0,
    ) -> None:
        self._normalisation = normalisation
        self._device = torch.device(device)
        self._loader = DataLoader(
            data,
            sampler=keys,
            batch_size=None,
            num_workers=workers,
            pin_memory=self._device.type == "cuda",
            worker_init_fn=_single_thread if workers else None,
            multiprocessing_context="forkserver" if workers else None,
            generator=torch.Generator(),  # else each new iterator draws from the global one, and a resumed run differs
        )

    def __iter__(self) -> Iterator[Batch]:
        for arrays in self._loader:
            yield self._batch({k: t.to(self._device, non_blocking=True) for k, t in arrays.items()})

    def _batch(self, tensors: dict[str, Tensor]) -> Batch:
        for name in ("images", "composites"):
            if name in tensors:
                tensors[name] = self._normalisation(tensors[name])
        return Batch(**tensors)


def evaluation_keys(num_samples: int, batch_size: int) -> list[NDArray[np.int64]]:
    """Every index once, in order, in batches."""
    return np.array_split(np.arange(num_samples), range(batch_size, num_samples, batch_size))


def _single_thread(worker: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
