"""Batches composed, cropped, flipped and coloured, against one PIL image at a time; per core."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.datasets.folder import default_loader
from torchvision.transforms import functional

from benchmarks.photographs import HEIGHT, photographs
from benchmarks.timing import Row, alternate, one_thread
from longcut.core import Batch
from longcut.data.augmentation import Augmentation
from longcut.data.batches import Parts, TrainingData
from longcut.data.cache import open_store
from longcut.data.decoding import write_image
from longcut.data.image_set import ImageSet
from longcut.data.loader import BatchLoader, Normalisation
from longcut.data.order import Order
from longcut.data.resizing import centre_crop
from longcut.data.statistics import IMAGENET_MEAN, IMAGENET_STD
from longcut.data.store import Recipe, Store

BATCH, SIDE, COUNT, REPEATS = 64, 224, 256, 9
JITTER = (0.4, 0.4, 0.4, 0.1)
_TO_TENSOR = transforms.Compose([transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)])
_CROP = transforms.Compose([transforms.RandomResizedCrop(SIDE), transforms.RandomHorizontalFlip()])


def rows() -> Iterator[Row]:
    """Both sides draw other crops at each repeat and, reading, other files.

    The bars of decoding are on what workers do, which ends at uint8 on both sides; its rows without a bar go on to
    normalised floats on the CPU, where a GPU would make them. Composing ends at those floats on both sides, as the
    published code composes floats.
    """
    torch.manual_seed(0)
    with one_thread(), photographs(COUNT) as images, TemporaryDirectory() as folder:
        yield _composing(images, Path(folder))
        for cached, bar in ((False, 6.0), (True, 20.0)):
            yield _decoding(images, Path(folder), cached=cached, floats=False, bar=bar)
            yield _decoding(images, Path(folder), cached=cached, floats=True, bar=0.0)


def _composing(images: ImageSet, folder: Path) -> Row:
    """Anchors and composites, without jitter: the published code's does nothing."""
    images = _with_masks(images, folder / "masks")
    store = open_store(images, Recipe(HEIGHT, composites=True), folder=folder, workers=1)
    data = TrainingData(store, Augmentation(SIDE, jitter=(0.0, 0.0, 0.0, 0.0)), seed=0, parts=Parts(composites=True))
    keys = _keys(len(images))
    batches, parts = _batches(data, keys), _parts(store, keys[0][1])
    ours, other = alternate(lambda _: next(batches), lambda _: _one_by_one(*parts), repeats=REPEATS)
    return Row(f"composing and augmenting, {SIDE} px, B={BATCH}, from the cache, against PIL", ours, other, 3.0)


def _decoding(images: ImageSet, folder: Path, *, cached: bool, floats: bool, bar: float) -> Row:
    store = open_store(
        images, Recipe(HEIGHT, composites=False), mode="disk" if cached else "none", folder=folder, workers=1
    )
    data = TrainingData(store, Augmentation(SIDE, jitter=JITTER), seed=0)
    to_tensor = _TO_TENSOR if floats else transforms.PILToTensor()
    transform = transforms.Compose([_CROP, transforms.ColorJitter(*JITTER), to_tensor])
    keys = _keys(len(images))
    batches = _batches(data, keys) if floats else (data[key] for key in keys)

    def with_pil(repeat: int) -> Tensor:
        files = [images.root / images.paths[i] for i in keys[repeat][1]]
        return torch.stack([transform(default_loader(str(file))) for file in files])

    ours, other = alternate(lambda _: next(batches), with_pil, repeats=REPEATS)
    source, end = "from the cache" if cached else "decoded", "floats" if floats else "uint8"
    return Row(f"crop, flip, full jitter, {SIDE} px, {source}, to {end}, against ImageFolder", ours, other, bar)


def _keys(count: int) -> list[tuple[int, NDArray[np.int64]]]:
    return list(Order(count, BATCH, seed=0).keys(0, REPEATS + 1))


def _batches(data: TrainingData, keys: list[tuple[int, NDArray[np.int64]]]) -> Iterator[Batch]:
    return iter(BatchLoader(data, keys, normalisation=Normalisation()))


def _with_masks(images: ImageSet, folder: Path) -> ImageSet:
    """An ellipse in the middle of each photograph."""
    for path in images.paths:
        height, width = cv2.imread(str(images.root / path)).shape[:2]
        mask = np.zeros((height, width), np.uint8)
        cv2.ellipse(mask, (width // 2, height // 2), (width // 4, height // 4), 0, 0, 360, 255, -1, cv2.LINE_AA)
        write_image((folder / path).with_suffix(".png"), mask)
    return images.with_masks(folder)


def _parts(store: Store, indices: NDArray[np.int64]) -> tuple[list[Image.Image], Tensor, Tensor]:
    """What the published code has in memory: pictures, and foregrounds and backgrounds as tensors in [0, 1]."""
    samples = [store[int(index)] for index in indices]
    pictures = [Image.fromarray(sample.image.copy()) for sample in samples]
    foregrounds = [centre_crop(np.where(s.mask[..., None] > 127, s.image, np.uint8(0)), SIDE) for s in samples]
    backgrounds = [centre_crop(sample.background, SIDE) for sample in samples]
    first, second = (
        torch.stack([functional.to_tensor(p.copy()) for p in parts]) for parts in (foregrounds, backgrounds)
    )
    return pictures, first, second


def _one_by_one(pictures: list[Image.Image], foregrounds: Tensor, backgrounds: Tensor) -> tuple[Tensor, Tensor]:
    """Foregrounds are what is not black; each composite becomes a PIL image to be cropped and flipped."""
    anchors = torch.stack([_TO_TENSOR(_CROP(picture)) for picture in pictures])
    empty = (foregrounds == 0).all(dim=1, keepdim=True)
    composites = empty * backgrounds.roll(1, dims=0) + foregrounds
    return anchors, torch.stack([_TO_TENSOR(_CROP(functional.to_pil_image(each))) for each in composites])
