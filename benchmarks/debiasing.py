"""Steps of debiasing methods against ERM's on the same network, what they keep of each sample, and colored MNIST's run.

All on one thread, through the training loop, with the optimizer's step.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.timing import Row, alternate, one_thread
from longcut.backbones import create_backbone
from longcut.core import Batch, Method
from longcut.data.augmentation import Augmentation
from longcut.data.batches import BiasedSets, TrainingData
from longcut.data.cache import open_store
from longcut.data.image_set import ImageSet
from longcut.data.loader import BatchLoader, Normalisation, fetcher
from longcut.data.order import Order
from longcut.data.store import Recipe
from longcut.engine import train
from longcut.engine.optimizers import create_optimizer, create_scheduler
from longcut.methods import ERM, Intrinsic, LfF
from longcut.methods.relative_difficulty import RelativeDifficulty

SAMPLES, CLASSES, BATCH, SIDE = 60_000, 10, 256, 28
RUN, TIMED = 50_000, 250
"""Steps of a run on colored MNIST, and how many of them are timed at each repeat."""
CONFLICTING = 0.05
FACTS = {"num_classes": CLASSES, "num_samples": SAMPLES}
_PLAIN = Augmentation(SIDE, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter=(0.0, 0.0, 0.0, 0.0))
_PIXELS = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def rows() -> Iterator[Row]:
    """Batches lie in memory, except those of the run and Intrinsic's partners, which come from an array as in a run."""
    torch.manual_seed(0)
    with one_thread(), TemporaryDirectory() as folder:
        data = _data(Path(folder))
        large = [_batch(64, 64, seed) for seed in range(2)]
        yield _lff("resnet18", large, steps=1, repeats=7, bar=2.1)
        yield _lff("mlp", _held(data), steps=25, repeats=15, bar=2.3)
        yield _intrinsic(data, "convnet3", repeats=15, bar=3.3)
        yield _state_against_loops()
        yield _state_in_a_step(large)
        yield _run(data)


def _lff(name: str, batches: list[Batch], *, steps: int, repeats: int, bar: float) -> Row:
    size, side = len(batches[0]), batches[0].images.shape[-1]
    ours = _Steps(LfF(_net(name), _net(name), **FACTS), batches)
    other = _Steps(ERM(_net(name), num_classes=CLASSES), batches)
    times = alternate(lambda _: ours.take(steps), lambda _: other.take(steps), repeats=repeats)
    return Row(f"LfF, {_times(steps)}, {name}, {side} px, B={size}, against ERM", *times, bar, "times as long")


def _intrinsic(data: TrainingData, name: str, *, repeats: int, bar: float) -> Row:
    """On the network that the preset for colored MNIST trains: guided from the first step on, with partners to read."""
    method = Intrinsic(_net(name), _net(name), **FACTS, num_steps=RUN, reference_step=0, guidance_step=0)
    method.fetch = fetcher(data, _PIXELS)
    everyone = torch.arange(SAMPLES)
    for rise in range(3):
        losses = torch.rand(SAMPLES) + rise
        method.negatives.update(losses, everyone, _targets(), _conflicting(), referenced=True)
    batches = _held(data)
    ours, other = _Steps(method, batches), _Steps(ERM(_net(name), num_classes=CLASSES), batches)
    times = alternate(lambda _: ours.take(1), lambda _: other.take(1), repeats=repeats)
    what = f"guided Intrinsic, a step, {name}, {SIDE} px, B={BATCH}, against ERM"
    return Row(what, *times, bar, "times as long")


def _times(steps: int) -> str:
    return "a step" if steps == 1 else f"{steps} steps"


class _Steps:
    """A method that trains on batches again and again."""

    def __init__(self, method: Method, batches: list[Batch]) -> None:
        method = method.to(memory_format=torch.channels_last)
        self._logs = train(method, cycle(batches), create_optimizer(method))

    def take(self, count: int) -> None:
        for _ in range(count):
            next(self._logs)


def _net(name: str) -> nn.Module:
    return create_backbone(name, image_size=SIDE if name == "mlp" else None)


def _batch(size: int, side: int, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(size, 3, side, side, generator=generator).contiguous(memory_format=torch.channels_last)
    indices = torch.randint(SAMPLES, (size,), generator=generator)
    return Batch(images, _targets()[indices], indices)


def _targets() -> Tensor:
    return torch.randint(CLASSES, (SAMPLES,), generator=torch.Generator().manual_seed(0))


def _conflicting() -> Tensor:
    return torch.rand(SAMPLES, generator=torch.Generator().manual_seed(0)) < CONFLICTING


# Coloured strokes take the place of colored MNIST: on what cannot be learnt a network dies, and its step with it.


def _data(folder: Path) -> TrainingData:
    np.save(folder / "train.npy", _strokes())
    paths = tuple(f"train.npy#{i}" for i in range(SAMPLES))
    images = ImageSet(folder, paths, _targets().numpy(), tuple("0123456789"))
    conflicting = _conflicting().numpy()
    store = open_store(images, Recipe(SIDE, composites=False))
    return TrainingData(store, _PLAIN, seed=0, sets=BiasedSets(~conflicting, conflicting))


def _strokes() -> NDArray[np.uint8]:
    """A bar at each class's angle, nearly always in the class's colour."""
    generator, targets = np.random.default_rng(0), _targets().numpy()
    shown = np.where(_conflicting().numpy(), generator.integers(CLASSES, size=SAMPLES), targets)
    colours = generator.integers(80, 256, (CLASSES, 3), np.uint8)[shown]
    y, x = (np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2).astype(np.float32)
    angles = (targets + generator.uniform(-0.3, 0.3, SAMPLES)).astype(np.float32)[:, None, None] * np.pi / CLASSES
    cos, sin = np.cos(angles), np.sin(angles)
    bars = (np.abs(y * cos - x * sin) < 2) & (np.abs(x * cos + y * sin) < 10)
    return bars[..., None] * colours[:, None, None]


def _loader(data: TrainingData, steps: int) -> BatchLoader:
    return BatchLoader(data, Order(SAMPLES, BATCH, seed=0).keys(0, steps), normalisation=_PIXELS)


def _held(data: TrainingData) -> list[Batch]:
    return list(_loader(data, 4))


def _run(data: TrainingData) -> Row:
    """ERM's MLP, its batches read and its rate scheduled as in a run: the processor's seconds for all steps."""
    repeats = 7
    method = ERM(_net("mlp"), num_classes=CLASSES).to(memory_format=torch.channels_last)
    optimizer = create_optimizer(method)
    batches = _loader(data, (repeats + 1) * TIMED)
    logs = train(method, batches, optimizer, scheduler=create_scheduler(optimizer, steps=RUN))
    seconds = [_seconds(logs) * RUN / TIMED for _ in range(repeats + 1)][1:]
    what = f"{RUN} ERM steps, mlp, {SIDE} px, B={BATCH}, with the data path (from {TIMED})"
    return Row(what, tuple(seconds), bar=240.0, kind="seconds")


def _seconds(logs: Iterator[object]) -> float:
    start = time.process_time()
    for _ in range(TIMED):
        next(logs)
    return time.process_time() - start


# What LfF keeps of each sample.


def _state_against_loops() -> Row:
    ours, other = _filled(), _Loops()
    batches = [_losses(seed) for seed in range(40)]
    for batch in batches:
        torch.testing.assert_close(ours(*batch), other(*batch), rtol=1e-4, atol=1e-6)

    def all_of(weigh: RelativeDifficulty | _Loops) -> None:
        for batch in batches:
            weigh(*batch)

    times = alternate(lambda _: all_of(ours), lambda _: all_of(other), repeats=9)
    return Row(f"LfF's state, {SAMPLES} samples, {len(batches)} batches of {BATCH}, against loops", *times, 10.0)


def _state_in_a_step(batches: list[Batch]) -> Row:
    state, step = _filled(), _Steps(ERM(_net("resnet18"), num_classes=CLASSES), batches)
    arguments = [_losses(seed) for seed in range(8)]
    times = alternate(lambda repeat: state(*arguments[repeat]), lambda _: step.take(1), repeats=7)
    what = f"LfF's state, {SAMPLES} samples, B={BATCH}, as a share of a resnet18 step, 64 px, B=64"
    return Row(what, *times, 0.02, "times as long")


def _losses(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Losses of both networks on a batch, with its classes and indices."""
    generator = torch.Generator().manual_seed(seed)
    biased, debiased = torch.rand(2, BATCH, generator=generator)
    indices = torch.randperm(SAMPLES, generator=generator)[:BATCH]
    return biased, debiased, _targets()[indices], indices


def _everyone() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    biased, debiased = torch.rand(2, SAMPLES, generator=torch.Generator().manual_seed(0))
    return biased, debiased, _targets(), torch.arange(SAMPLES)


def _filled() -> RelativeDifficulty:
    state = RelativeDifficulty(SAMPLES, CLASSES, momentum=0.7)
    state(*_everyone())
    return state


class _Loops:
    """As the published code does it: for each class and table, numpy searches the labels of all samples.

    There too the labels and both tables are tensors on the host.
    """

    def __init__(self) -> None:
        biased, debiased, self.labels, _ = _everyone()
        self.tables = [(biased, torch.ones(SAMPLES)), (debiased, torch.ones(SAMPLES))]

    def __call__(self, biased: Tensor, debiased: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
        for (averages, seen), losses in zip(self.tables, (biased, debiased), strict=True):
            averages[indices] = 0.7 * averages[indices] + (1 - 0.7 * seen[indices]) * losses
            seen[indices] = 1
        shares = [averages[indices].clone() for averages, _ in self.tables]
        for label in range(CLASSES):
            rows = np.where(targets == label)[0]
            for share, (averages, _) in zip(shares, self.tables, strict=True):
                share[rows] /= averages[np.where(self.labels == label)[0]].max()
        return shares[0] / (shares[0] + shares[1] + 1e-8)
