"""Optimizers and learning-rate schedules by name."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from longcut.core import Method

OptimizerName = Literal["adam", "adamw", "sgd", "lars"]
Schedule = Literal["constant", "step", "cosine"]


def _check_share(value: float) -> float:
    if not 0 <= value < 1:
        raise PydanticCustomError("share", "a share of the run is meant, at least 0 and below 1")
    return value


Share = Annotated[float, AfterValidator(_check_share)]


def create_optimizer(
    method: Method,
    *,
    name: OptimizerName = "adam",
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    betas: tuple[float, float] = (0.9, 0.999),
    trust_coefficient: float = 0.001,
    decay_all: bool = True,
) -> Optimizer:
    """An optimizer over the method's parameter groups; torch's fused ones, which take one pass over the parameters.

    Args:
        method: gives its parameters.
        name: "adam", "adamw", "sgd" or "lars" (You et al. 2017; timm's), for the large batches of SimCLR and BYOL.
        lr: learning rate, where a group does not set its own.
        weight_decay: L2 for adam and sgd, decoupled for adamw.
        momentum: of sgd and lars.
        betas: of adam and adamw.
        trust_coefficient: of lars.
        decay_all: False leaves biases and the parameters of normalisation without weight decay, and without the
            scaling of lars.
    """
    groups = method.parameter_groups(lr)
    if not decay_all:
        plain = {"weight_decay": 0.0, "always_adapt": False} if name == "lars" else {"weight_decay": 0.0}
        groups = [part for group in groups for part in _without_decay(group, plain)]
    if name == "lars":
        from timm.optim.lars import Lars

        return Lars(
            groups,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            trust_coeff=trust_coefficient,
            always_adapt=True,  # else only what decays is scaled
        )
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    return kind(groups, lr=lr, betas=betas, weight_decay=weight_decay, fused=True)


def _without_decay(group: dict[str, Any], plain: dict[str, Any]) -> list[dict[str, Any]]:
    """A group in two: its matrices and kernels, and its vectors, with the options that leave those undecayed."""
    kernels = [parameter for parameter in group["params"] if parameter.ndim > 1]
    vectors = [parameter for parameter in group["params"] if parameter.ndim <= 1]
    parts = [{**group, "params": kernels}, {**group, "params": vectors, **plain}]
    return [part for part in parts if part["params"]]


def create_scheduler(
    optimizer: Optimizer,
    *,
    steps: int,
    schedule: Schedule = "constant",
    milestones: tuple[Share, ...] = (1 / 3,),
    gamma: Annotated[float, Field(ge=0)] = 0.1,
    warmup: Share = 0.0,
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
            return min(1.0, (step + 1) / (warmup * steps))
        if schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
        if schedule == "step":
            return float(gamma ** sum(progress >= milestone for milestone in milestones))
        return 1.0

    return LambdaLR(optimizer, factor)
