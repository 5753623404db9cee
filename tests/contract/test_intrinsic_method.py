"""Intrinsic feature enhancement keeps to the contract, and two processes equal one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from made_batches import CLASSES, made_batch, made_images, made_method, small_net
from torch import Tensor, nn
from two_processes import check_pair, in_pair, over_processes, part_of

from longcut.core import Batch
from longcut.engine import train
from longcut.methods.intrinsic import Intrinsic
from longcut.testing import check_method

EARLY: dict[str, Any] = {"reference_step": 1, "guidance_step": 2}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("intrinsic", "group", EARLY),
    ("intrinsic", "batch", EARLY | {"joint_forward": False, "score_limit": 1.0, "tau": 2.0}),
    ("intrinsic", "batch", EARLY | {"partners": "all", "weigh_by_score": False}),
    ("intrinsic", "none", EARLY | {"partners": "candidates", "guide": False}),
    ("intrinsic", "group", EARLY | {"partner_loss": False, "enhance": False}),
    ("intrinsic", "batch", {}),
]


@pytest.mark.parametrize(("name", "norm", "options"), CASES, ids=lambda case: str(case))
def test_intrinsic_keeps_to_the_contract(name: str, norm: str, options: dict[str, Any]) -> None:
    check_method(lambda: made_method(Intrinsic, norm, options), made_batch(), num_classes=CLASSES, lr=1e-2)


def test_it_keeps_to_the_contract_by_gradients_too() -> None:
    """On a network that does more than take the mean, Grad-CAM by its definition."""

    class Normalised(nn.Module):
        num_features = 16

        def __init__(self) -> None:
            super().__init__()
            self.network = small_net()
            self.norm = nn.LayerNorm(16)

        def forward_features(self, images: Tensor) -> Tensor:
            return self.network.forward_features(images)

        def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
            return self.norm(features.mean((2, 3)))

        def forward(self, images: Tensor) -> Tensor:
            return self.forward_head(self.forward_features(images))

    def make() -> Intrinsic:
        facts = {"num_classes": CLASSES, "num_samples": 1000, "num_steps": 10}
        method = Intrinsic(Normalised(), small_net(), **facts, **EARLY, partners="all", weigh_by_score=False)
        method.fetch = made_images
        return method

    check_method(make, made_batch(), num_classes=CLASSES, lr=1e-2)


# Two processes.


def one_batch(step: int) -> Batch:
    """The same samples at every step, so that scores come about; all candidates are the one process's."""
    batch = made_batch(8, seed=step)
    conflicting = torch.arange(8) < 3
    return replace(
        batch,
        indices=torch.arange(8),
        targets=torch.tensor([0, 1, 1, 0, 1, 2, 2, 0]),
        amplified=~conflicting,
        candidates=conflicting,
    )


def run(options: dict[str, Any]) -> dict[str, Any]:
    """This process's share of a few steps: the state afterwards, and the losses as means over the processes."""
    torch.manual_seed(0)
    method = made_method(Intrinsic, "group", EARLY | options)
    assert isinstance(method, Intrinsic)
    optimizer = torch.optim.SGD(method.parameter_groups(0.1), lr=0.1, momentum=0.9)
    logs = []
    torch.manual_seed(1)
    for terms in train(method, [part_of(one_batch(step)) for step in range(6)], optimizer):
        logs.append(over_processes(torch.stack([*terms.values()])))
    return {"losses": torch.stack(logs), "names": [*terms], "state": method.state_dict()}


PAIRED: dict[str, dict[str, Any]] = {
    "paper": {},
    "limited": {"score_limit": 1.0},
    "all": {"partners": "all", "weigh_by_score": False},
}


def paired() -> dict[str, Any]:
    return {case: run(options) for case, options in PAIRED.items()}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return in_pair(paired, tmp_path_factory.mktemp("pair"))


@pytest.mark.parametrize("case", PAIRED)
def test_two_processes_equal_one(case: str, pair: list[dict[str, Any]]) -> None:
    alone = run(PAIRED[case])
    check_pair(case, pair, alone)
    for name in ("similarity", "guided_cross_entropy", "partner_cross_entropy"):
        assert alone["losses"][-1][alone["names"].index(name)] > 0, f"{name} rests throughout"
