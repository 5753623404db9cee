"""A whole CLAD step through the training loop, against the two passes that it cannot do without."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn import functional

from benchmarks.timing import Row, alternate, one_thread
from longcut.backbones import create_backbone
from longcut.core import Batch
from longcut.engine import train
from longcut.engine.optimizers import create_optimizer
from longcut.methods import CLAD

BATCH, SIDE, CLASSES, REPEATS = 64, 64, 9, 9


def rows() -> Iterator[Row]:
    """Forward and backward of anchors and composites and an Adam step, with the method around them and bare."""
    with one_thread():
        yield _row()


def _row() -> Row:
    torch.manual_seed(0)
    batch = _batch()
    method, bare = (
        CLAD(create_backbone("resnet18"), num_classes=CLASSES).to(memory_format=torch.channels_last) for _ in range(2)
    )
    steps = train(method, (batch for _ in range(REPEATS + 1)), create_optimizer(method))
    optimizer = create_optimizer(bare)

    def two_passes(_: int) -> None:
        assert batch.composites is not None
        optimizer.zero_grad(set_to_none=True)
        features = bare.encode(batch.images), bare.encode(batch.composites)
        sum(functional.cross_entropy(bare.classify(part), batch.targets) for part in features).backward()
        optimizer.step()

    ours, other = alternate(lambda _: next(steps), two_passes, repeats=REPEATS)
    return Row("CLAD step, ResNet-18, 64 px, B=64, against two bare passes", ours, other, 1.07, "times as long")


def _batch() -> Batch:
    images, composites = (
        torch.randn(BATCH, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last) for _ in range(2)
    )
    targets = torch.arange(BATCH) % CLASSES
    return Batch(
        images,
        targets,
        torch.arange(BATCH),
        composites=composites,
        background_targets=(targets + 1 + torch.randint(CLASSES - 1, (BATCH,))) % CLASSES,
    )
