"""Batches of small images from an array, against one PNG file at a time; per core."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.timing import Row, alternate, one_thread
from longcut.data.augmentation import Augmentation
from longcut.data.batches import TrainingData
from longcut.data.cache import open_store
from longcut.data.decoding import write_image
from longcut.data.image_set import ImageSet
from longcut.data.loader import BatchLoader, Normalisation
from longcut.data.order import Order
from longcut.data.statistics import IMAGENET_MEAN, IMAGENET_STD
from longcut.data.store import Recipe

BATCH, SIDE, COUNT, REPEATS = 256, 28, 4096, 7
_PLAIN = Augmentation(SIDE, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter=(0.0, 0.0, 0.0, 0.0))


class _Files(Dataset[tuple[Tensor, int]]):
    """What the published code of colored MNIST trains from: a folder of PNG files."""

    def __init__(self, folder: Path, pixels: np.ndarray) -> None:
        self.files = [folder / f"{i}.png" for i in range(len(pixels))]
        for file, image in zip(self.files, pixels, strict=True):
            write_image(file, image)
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)])

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.files[index]) as image:
            return self.transform(image.convert("RGB")), index % 10


def rows() -> Iterator[Row]:
    """Epochs of shuffled batches of normalised floats on both sides, with their classes."""
    torch.manual_seed(0)
    with one_thread(), TemporaryDirectory() as name:
        folder = Path(name)
        pixels = _strokes()
        np.save(folder / "train.npy", pixels)
        ours, other = _from_array(folder), _from_files(folder, pixels)
        times = alternate(lambda _: _epoch(ours), lambda _: _epoch(other), repeats=REPEATS)
    yield Row(f"{COUNT} images of {SIDE} px, B={BATCH}, from an array, against PNG files with PIL", *times, 46.0)


def _strokes() -> np.ndarray:
    """Coloured strokes on black, about as compressible as coloured digits."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    turn, bend = generator.uniform(0, np.pi, (COUNT, 1, 1)), generator.uniform(-0.05, 0.05, (COUNT, 1, 1))
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    shown = (1.0 - np.abs(across - bend * along**2) / 3).clip(0, 1) * (np.abs(along) < 10)
    return (shown[..., None] * generator.integers(80, 256, (COUNT, 1, 1, 3))).astype(np.uint8)


def _from_array(folder: Path) -> Iterator[object]:
    images = ImageSet(folder, tuple(f"train.npy#{i}" for i in range(COUNT)), np.arange(COUNT) % 10, tuple("0123456789"))
    data = TrainingData(open_store(images, Recipe(SIDE, composites=False)), _PLAIN, seed=0)
    keys = Order(COUNT, BATCH, seed=0).keys(0, (REPEATS + 1) * COUNT // BATCH)
    return iter(BatchLoader(data, keys, normalisation=Normalisation()))


def _from_files(folder: Path, pixels: np.ndarray) -> Iterator[object]:
    loader = DataLoader(_Files(folder, pixels), BATCH, shuffle=True)
    while True:
        yield from loader


def _epoch(batches: Iterator[object]) -> None:
    for _ in range(COUNT // BATCH):
        next(batches)
