"""The settings of an optimizer reach its steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from longcut.engine.build import build_optimizer
from longcut.engine.settings import resolve
from longcut.methods import ERM


def steps_of(gradients: list[float], **optimizer: Any) -> list[Tensor]:
    """Weights of a head `[2, 3]` before and after each step, on gradients that are equal for all its weights."""
    backbone = nn.Flatten()
    backbone.num_features = 3  # type: ignore[assignment]
    torch.manual_seed(0)
    method = ERM(backbone, num_classes=2).double()
    settings = resolve(
        "erm", {"steps": len(gradients)} | {f"optimizer.{key}": value for key, value in optimizer.items()}
    )
    stepped, _ = build_optimizer(settings, method, steps=len(gradients))
    found = [method.head.weight.detach().clone()]
    for gradient in gradients:
        method.head.weight.grad = torch.full_like(found[0], gradient)
        stepped.step()
        found.append(method.head.weight.detach().clone())
    return found


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_betas_are_adam_s_memory(name: str) -> None:
    first, second = 0.5, 0.8
    gradients = [1.0, -3.0, 0.5]
    found = steps_of(gradients, name=name, lr=0.1, weight_decay=0.0, betas=[first, second])
    mean = square = 0.0
    for t, (gradient, before, after) in enumerate(zip(gradients, found[:-1], found[1:], strict=True), start=1):
        mean = first * mean + (1 - first) * gradient
        square = second * square + (1 - second) * gradient**2
        step = 0.1 * mean / (1 - first**t) / ((square / (1 - second**t)) ** 0.5 + 1e-8)
        assert torch.allclose(before - after, torch.full_like(before, step), rtol=1e-6)


@pytest.mark.parametrize("trust", [0.001, 0.02])
def test_the_trust_coefficient_scales_steps_of_lars(trust: float) -> None:
    before, after = steps_of([2.0], name="lars", lr=0.1, weight_decay=0.5, trust_coefficient=trust)
    gradient = torch.full_like(before, 2.0)
    share = trust * before.norm() / (gradient.norm() + 0.5 * before.norm())
    assert torch.allclose(before - after, 0.1 * share * (gradient + 0.5 * before), rtol=1e-6)
