"""From settings to the objects that they describe."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import BaseModel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from longcut.backbones import create_backbone, load_weights
from longcut.core import Method
from longcut.data.augmentation import Augmentation
from longcut.data.loader import Normalisation
from longcut.engine.optimizers import create_optimizer, create_scheduler
from longcut.engine.settings import Settings, SettingsError, find_method

FROM_SCRATCH = "from scratch"


def build_method(settings: Settings, num_classes: int, *, with_weights: bool = True) -> tuple[Method, str]:
    """The method, and a description of its starting weights.

    Args:
        settings: of the run.
        num_classes: size of the head.
        with_weights: False where a checkpoint's weights will replace them anyway.

    Raises:
        SettingsError: a hyper-parameter that the method refuses.
        ValueError: an unknown backbone, or weights that do not fit it.
    """
    chosen = settings.backbone
    backbone = create_backbone(
        chosen.name, small_stem=chosen.small_stem, image_size=settings.data.image_size, norm=chosen.norm
    )
    about = FROM_SCRATCH
    if with_weights and chosen.weights != "none":
        about = load_weights(backbone, chosen.weights, timm_name=chosen.name)
    try:
        method = find_method(settings.method)(backbone, num_classes=num_classes, **_plain(settings.hyper_parameters))
    except ValueError as error:
        raise SettingsError(f"method.{settings.method}: {error}") from None
    return method.to(memory_format=torch.channels_last), about


def build_optimizer(settings: Settings, method: Method, steps: int) -> tuple[Optimizer, LRScheduler]:
    """The optimizer and the schedule of a run of a given length."""
    optimizer = create_optimizer(method, **_plain(settings.optimizer))
    return optimizer, create_scheduler(optimizer, steps=steps, **_plain(settings.schedule))


def build_augmentation(settings: Settings) -> Augmentation:
    """What is drawn for each training image."""
    try:
        return Augmentation(size=settings.data.image_size, **_plain(settings.augmentation))
    except ValueError as error:
        raise SettingsError(f"augmentation: {error}") from None


def build_normalisation(settings: Settings) -> Normalisation:
    """How pixels become the network's input."""
    return Normalisation(settings.data.mean, settings.data.std)


def _plain(section: BaseModel) -> dict[str, Any]:
    return dict(section)
