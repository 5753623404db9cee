"""From settings to the objects that they describe."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from pydantic import BaseModel
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from longcut.backbones import create_backbone, load_weights
from longcut.core import Method
from longcut.core.batch import check_fields
from longcut.data.augmentation import Augmentation
from longcut.data.batches import Patches
from longcut.data.loader import Normalisation
from longcut.engine.optimizers import create_optimizer, create_scheduler
from longcut.engine.settings import Settings, SettingsError, find_method
from longcut.methods import ERM, GCE

FROM_SCRATCH = "from scratch"


@dataclass(frozen=True)
class Facts:
    """What a method is told of its run; it gets those that its constructor names.

    Attributes:
        num_classes: size of the head; 0 where the images have no classes.
        num_samples: size of the training set.
        num_steps: length of the run.
        num_bias: how many values the bias has; 0 where it is not labelled.
        group_counts: `[n][num_bias]` samples of each class with each bias; `[n][1]`, of each class, where it is not
            labelled.
        batch_size: images of one optimizer step, over all processes; 0 where it is not known.
        class_counts: `[n]` samples of each class.
    """

    num_classes: int
    num_samples: int
    num_steps: int
    num_bias: int = 0
    group_counts: Sequence[Sequence[int]] = ()
    batch_size: int = 0
    class_counts: Sequence[int] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for a checkpoint."""
        return asdict(self)


def build_method(settings: Settings, facts: Facts, *, with_weights: bool = True) -> tuple[Method, str]:
    """The method, and a description of its starting weights.

    Args:
        settings: of the run.
        facts: of the run.
        with_weights: False where a checkpoint's weights will replace them anyway.

    Raises:
        SettingsError: a hyper-parameter that the method refuses, a field in its `needs` that no batch has, or images
            of a size that a backbone cannot take.
        ValueError: an unknown backbone, or weights that do not fit it.
    """
    method_class = find_method(settings.method)
    signature = inspect.signature(method_class).parameters
    names = [name for name, p in signature.items() if p.kind is not p.KEYWORD_ONLY]
    backbones = [_build_backbone(settings, biased=name.startswith("biased")) for name in names]
    about = FROM_SCRATCH
    if with_weights and settings.backbone.weights != "none":
        for name, backbone in zip(names, backbones, strict=True):
            if not (settings.backbone.biased and name.startswith("biased")):  # a network of another kind
                about = load_weights(backbone, settings.backbone.weights, timm_name=settings.backbone.name)
    known = {name: value for name, value in facts.to_dict().items() if name in signature}
    try:
        method = method_class(*backbones, **known, **_plain(settings.hyper_parameters))
        check_fields(method.needs, method_class.__name__)
    except ValueError as error:
        raise SettingsError(f"method.{settings.method}: {error}") from None
    return method.to(memory_format=torch.channels_last), about


def build_biased_classifier(settings: Settings, num_classes: int) -> Method:
    """A model of a bias ensemble: of the biased architecture, from scratch, where the settings name one."""
    backbone, chosen = _build_backbone(settings, biased=True), settings.ensemble
    if settings.backbone.weights != "none" and not settings.backbone.biased:
        load_weights(backbone, settings.backbone.weights, timm_name=settings.backbone.name)
    if chosen.loss == "gce":
        return GCE(backbone, num_classes=num_classes, q=chosen.q).to(memory_format=torch.channels_last)
    return ERM(backbone, num_classes=num_classes).to(memory_format=torch.channels_last)


def _build_backbone(settings: Settings, *, biased: bool) -> nn.Module:
    """A new network; a biased one may be of another kind than the one that is to be debiased."""
    chosen, size = settings.backbone, settings.data.image_size
    if biased and chosen.biased is not None:
        return _checked(create_backbone(chosen.biased, image_size=size), chosen.biased, size)
    backbone = create_backbone(chosen.name, small_stem=chosen.small_stem, image_size=size, norm=chosen.norm)
    return _checked(backbone, chosen.name, size)


def _checked(backbone: nn.Module, name: str, size: int) -> nn.Module:
    """A network through which an image has gone: many take none below a size of their own."""
    try:
        with torch.no_grad():
            backbone.eval()(torch.zeros(1, 3, size, size))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise SettingsError(f"{name} cannot take images of {size} px ({reason}): choose another image_size") from error
    return backbone.train()


def build_optimizer(settings: Settings, method: Method, steps: int) -> tuple[Optimizer, LRScheduler]:
    """The optimizer and the schedule of a run of a given length.

    Raises:
        SettingsError: a rate or another number that the optimizer refuses.
    """
    try:
        optimizer = create_optimizer(method, **_plain(settings.optimizer))
    except ValueError as error:
        raise SettingsError(f"[optimizer] {error}: give another number") from None
    return optimizer, create_scheduler(optimizer, steps=steps, **_plain(settings.schedule))


def build_augmentation(settings: Settings) -> Augmentation:
    """What is drawn for each training image."""
    try:
        return Augmentation(size=settings.data.image_size, **_plain(settings.augmentation))
    except ValueError as error:
        raise SettingsError(f"augmentation: {error}") from None


def build_patches(settings: Settings) -> Patches:
    """How patch negatives are cut."""
    try:
        return Patches(**_plain(settings.patches))
    except ValueError as error:
        raise SettingsError(f"patches: {error}") from None


def build_normalisation(settings: Settings) -> Normalisation:
    """How pixels become the network's input."""
    return Normalisation(settings.data.mean, settings.data.std)


def _plain(section: BaseModel) -> dict[str, Any]:
    return dict(section)
