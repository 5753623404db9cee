"""Batches on the device, from workers that prepare them ahead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from longcut.core import Batch
from longcut.data.statistics import IMAGENET_MEAN, IMAGENET_STD


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
        for name in ("views", "non_semantic"):
            if name in tensors:
                flat = self._normalisation(tensors[name].flatten(0, 1))
                tensors[name] = flat.unflatten(0, tensors[name].shape[:2])
        return Batch(**tensors)


def _single_thread(worker: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
