"""Whole self-supervised steps through the training loop: against the passes they cannot do without, and lightly's."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

import torch
from lightly.loss import NegativeCosineSimilarity, NTXentLoss
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead, MoCoProjectionHead, SimCLRProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from torch import Tensor, nn

from benchmarks.timing import Row, alternate, one_thread
from longcut.backbones import create_backbone
from longcut.core import Batch, Method
from longcut.engine import train
from longcut.methods import BYOL, MoCo, SimCLR

BATCH, SIDE, CLASSES, REPEATS = 256, 32, 10, 5
NOT_SLOWER = 1.0
FACTS = {"num_classes": CLASSES, "num_steps": 1000}
BYOL_SIZES = {"hidden": 1024, "dim": 256}
ABOUT = f"ResNet-18, {SIDE} px, B={BATCH}"

Step = Callable[[int], object]


def rows() -> Iterator[Row]:
    """Each with an SGD step, on the same images and the same networks."""
    with one_thread():
        torch.manual_seed(0)
        batch = _batch()
        for capacity, bar in ((4096, 1.05), (65536, 1.2)):
            name = f"MoCo step, bank {capacity}"
            yield _row(name, "bare passes", _ours(_moco(capacity=capacity), batch), _bare_moco(batch), bar)
            yield _row(
                name, "lightly's", _ours(_moco(capacity=capacity), batch), _lightly_moco(batch, capacity), NOT_SLOWER
            )
        away = _ours(_moco(capacity=4096, non_semantic="patch"), batch)
        yield _row("MoCo step with one non-semantic negative", "plain", away, _ours(_moco(capacity=4096), batch), 1.3)
        yield _row("SimCLR step", "bare passes", _ours(_simclr(), batch), _bare_simclr(batch), 1.05)
        yield _row("SimCLR step", "lightly's", _ours(_simclr(), batch), _lightly_simclr(batch), NOT_SLOWER)
        yield _row("BYOL step", "bare passes", _ours(_byol(), batch), _bare_byol(batch), 1.05)
        yield _row("BYOL step", "lightly's", _ours(_byol(), batch), _lightly_byol(batch), NOT_SLOWER)


def _row(what: str, against: str, ours: Step, other: Step, bar: float) -> Row:
    times = alternate(ours, other, repeats=REPEATS)
    return Row(f"{what}, {ABOUT}, against {against}", *times, bar, "times as long")


def _batch() -> Batch:
    images, view, away = (
        torch.randn(BATCH, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last) for _ in range(3)
    )
    targets = torch.arange(BATCH) % CLASSES
    return Batch(images, targets, torch.arange(BATCH), views=view[:, None], non_semantic=away[:, None])


def _net() -> nn.Module:
    return create_backbone("resnet18").to(memory_format=torch.channels_last)


def _moco(**options: Any) -> Method:
    return MoCo(_net(), **FACTS, **options)


def _simclr() -> Method:
    return SimCLR(_net(), num_classes=CLASSES)


def _byol() -> Method:
    return BYOL(_net(), **FACTS, **BYOL_SIZES)


def _ours(method: Method, batch: Batch) -> Step:
    steps = train(method, repeat(batch), _sgd(method))
    return lambda _: next(steps)


def _sgd(*modules: nn.Module) -> torch.optim.Optimizer:
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    return torch.optim.SGD(parameters, lr=0.03, momentum=0.9, weight_decay=1e-4)


def _step(loss: Callable[[], Tensor], *modules: nn.Module) -> Step:
    optimizer = _sgd(*modules)

    def step(_: int) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    return step


# The passes alone, with losses that cost nothing.


def _bare_moco(batch: Batch) -> Step:
    method = MoCo(_net(), capacity=1, **FACTS)

    def loss() -> Tensor:
        assert batch.views is not None
        method.key(batch.views[:, 0])
        return method.projector(method.backbone(batch.images)).square().mean()

    return _step(loss, method)


def _bare_simclr(batch: Batch) -> Step:
    method = SimCLR(_net(), num_classes=CLASSES)

    def loss() -> Tensor:
        assert batch.views is not None
        both = torch.cat([batch.images, batch.views[:, 0]])
        return method.projector(method.backbone(both)).square().mean()

    return _step(loss, method)


def _bare_byol(batch: Batch) -> Step:
    method = BYOL(_net(), **FACTS, **BYOL_SIZES)

    def loss() -> Tensor:
        assert batch.views is not None
        views = batch.images, batch.views[:, 0]
        for view in views:
            method.target(view)
        return sum(method.predictor(method.projector(method.backbone(view))).square().mean() for view in views)

    return _step(loss, method)


# lightly's, put together as its examples do.


def _lightly_moco(batch: Batch, capacity: int) -> Step:
    backbone, head = _net(), MoCoProjectionHead(512, 512, 128)
    key_backbone, key_head = _frozen(backbone), _frozen(head)
    criterion = NTXentLoss(temperature=0.2, memory_bank_size=(capacity, 128))

    def loss() -> Tensor:
        assert batch.views is not None
        update_momentum(backbone, key_backbone, m=0.999)
        update_momentum(head, key_head, m=0.999)
        queries = head(backbone(batch.images))
        with torch.no_grad():
            keys = key_head(key_backbone(batch.views[:, 0]))
        return criterion(queries, keys)

    return _step(loss, backbone, head)


def _lightly_simclr(batch: Batch) -> Step:
    backbone, head = _net(), SimCLRProjectionHead(512, 512, 128, batch_norm=False)
    criterion = NTXentLoss(temperature=0.5)

    def loss() -> Tensor:
        assert batch.views is not None
        first, second = (head(backbone(view)) for view in (batch.images, batch.views[:, 0]))
        return criterion(first, second)

    return _step(loss, backbone, head)


def _lightly_byol(batch: Batch) -> Step:
    backbone, head, predictor = _net(), BYOLProjectionHead(512, 1024, 256), BYOLPredictionHead(256, 1024, 256)
    target_backbone, target_head = _frozen(backbone), _frozen(head)
    criterion = NegativeCosineSimilarity()

    def loss() -> Tensor:
        assert batch.views is not None
        update_momentum(backbone, target_backbone, m=0.996)
        update_momentum(head, target_head, m=0.996)
        views = batch.images, batch.views[:, 0]
        predictions = [predictor(head(backbone(view))) for view in views]
        with torch.no_grad():
            targets = [target_head(target_backbone(view)) for view in views]
        return 0.5 * (criterion(predictions[0], targets[1]) + criterion(predictions[1], targets[0]))

    return _step(loss, backbone, head, predictor)


def _frozen(module: nn.Module) -> nn.Module:
    frozen = copy.deepcopy(module)
    deactivate_requires_grad(frozen)
    return frozen
