"""Batches on the device, from workers that prepare them ahead."""

from __future__ import annotations

import functools
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from longcut.core import Batch
from longcut.core.method import Fetch
from longcut.data.batches import TrainingData
from longcut.data.pool import start_forkserver
from longcut.data.script_main import main_not_imported
from longcut.data.statistics import IMAGENET_MEAN, IMAGENET_STD

_ONE_ROW = 2**14  # values of an image that is normalised as one row, 73 px
_IN_CACHE = 2**17  # values that are normalised at once: they stay in the processor's cache


@dataclass(frozen=True)
class Normalisation:
    """uint8 `[b, h, w, c]` to float `[b, c, h, w]`, per channel `(x / 255 - mean) / std`."""

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __call__(self, images: Tensor) -> Tensor:
        """The normalised images; their memory stays channels-last."""
        # In rows of pixels, a small image being one row: a loop over three channels as the innermost one costs several
        # times as much.
        values = images.shape[1:].numel()
        pixels = images.flatten(1 if values <= _ONE_ROW else 2)
        scale, shift = _scale_and_shift(self, pixels.shape[-1] // 3, images.device)
        if images.device.type != "cpu":
            rows = torch.addcmul(shift, pixels.float(), scale)
        else:
            rows = torch.empty(pixels.shape)
            at_once = max(1, _IN_CACHE // values)
            for some, out in zip(pixels.split(at_once), rows.split(at_once), strict=True):
                torch.addcmul(shift, out.copy_(some), scale, out=out)
        return rows.view(images.shape).permute(0, 3, 1, 2)


@functools.lru_cache(maxsize=64)
def _scale_and_shift(normalisation: Normalisation, pixels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """What a row of so many pixels is multiplied by, and what is added: `[3 * pixels]`."""
    mean, std = torch.tensor(normalisation.mean), torch.tensor(normalisation.std)
    return (1 / (std * 255)).repeat(pixels).to(device), (-mean / std).repeat(pixels).to(device)


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
        self._data, self._keys, self._workers = data, keys, workers

    def __iter__(self) -> Iterator[Batch]:
        for arrays in self._prepared():
            yield self._batch({k: t.to(self._device, non_blocking=True) for k, t in arrays.items()})

    def _prepared(self) -> Iterable[dict[str, Tensor]]:
        """Batches on the CPU, in memory that a GPU copies from where it is one that they go to."""
        if not self._workers and self._device.type == "cpu":
            # Torch's loader has nothing to add here, and takes longer for a batch of small images than making it does.
            return (self._data[key] for key in self._keys)
        loader = DataLoader(
            self._data,
            sampler=self._keys,
            batch_size=None,
            num_workers=self._workers,
            pin_memory=self._device.type == "cuda",
            worker_init_fn=_begin if self._workers else None,
            multiprocessing_context="forkserver" if self._workers else None,
            generator=torch.Generator(),  # else each new iterator draws from the global one, and a resumed run differs
        )
        with main_not_imported(type(self._data).__module__):
            if self._workers:
                start_forkserver()
            return iter(loader)

    def _batch(self, tensors: dict[str, Tensor]) -> Batch:
        for name in ("images", "composites"):
            if name in tensors:
                tensors[name] = self._normalisation(tensors[name])
        for name in ("views", "non_semantic"):
            if name in tensors:
                flat = self._normalisation(tensors[name].flatten(0, 1))
                tensors[name] = flat.unflatten(0, tensors[name].shape[:2])
        return Batch(**tensors)


def fetcher(data: TrainingData, normalisation: Normalisation, device: torch.device | str = "cpu") -> Fetch:
    """What a method that `fetches` asks for images: those of `data.partners`, normalised on the device.

    A GPU is waited for at each call: the indices are copied to the host, where the images are.

    Args:
        data: the samples.
        normalisation: applied on the device.
        device: where the images go.
    """

    def fetch(indices: Int[Tensor, " b"], step: int) -> Float[Tensor, "b c h w"]:
        return normalisation(data.partners(indices.cpu().numpy(), step).to(device, non_blocking=True))

    return fetch


def _begin(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle, whoever started the forkserver
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
