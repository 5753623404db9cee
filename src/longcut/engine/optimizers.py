"""Optimizers and learning-rate schedules by name."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from longcut.core import Method

OptimizerName = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "step", "cosine"]


def create_optimizer(
    method: Method,
    *,
    name: OptimizerName = "adam",
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    betas: tuple[float, float] = (0.9, 0.999),
) -> Optimizer:
    """An optimizer over the method's parameter groups.

    Args:
        method: gives its parameters.
        name: "adam", "adamw" or "sgd".
        lr: learning rate, where a group does not set its own.
        weight_decay: L2 for adam and sgd, decoupled for adamw.
        momentum: of sgd.
        betas: of adam and adamw.
    """
    groups = method.parameter_groups(lr)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, weight_decay=weight_decay)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    return kind(groups, lr=lr, betas=betas, weight_decay=weight_decay)


def create_scheduler(
    optimizer: Optimizer,
    *,
    steps: int,
    schedule: Schedule = "constant",
    milestones: tuple[float, ...] = (1 / 3,),
    gamma: float = 0.1,
    warmup: float = 0.0,
) -> LambdaLR:
    """A schedule stepped once for each optimizer step.

    Args:
        optimizer: whose learning rates are scaled.
        steps: length of the run.
        schedule: "constant"; "step", times `gamma` at each milestone; "cosine", to zero at the end.
        milestones: as shares of the run's length.
        gamma: factor at each milestone.
        warmup: share of the run over which the rate rises linearly from zero.
    """

    def factor(step: int) -> float:
        progress = step / steps
        if progress < warmup:
            return (step + 1) / (warmup * steps)
        if schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
        if schedule == "step":
            return float(gamma ** sum(progress >= milestone for milestone in milestones))
        return 1.0

    return LambdaLR(optimizer, factor)
