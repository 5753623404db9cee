"""What public networks say of the images and classes that they are made for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from longcut.data.imagenet_classes import wordnet_ids
from longcut.data.loader import Normalisation
from longcut.data.preprocessing import Preprocessing

DEFAULT_SIZE = 224
_TORCHVISION = "torchvision:"


@dataclass(frozen=True)
class Configuration:
    """Preprocessing and classes of a network.

    Attributes:
        preprocessing: of its images.
        num_classes: of its published weights; 0 where it has no head.
        classes: their names; none where it is not known.
        assumed: what it says nothing of, so that it is as most networks have it: `image_size`, `mean`, `std`.
    """

    preprocessing: Preprocessing
    num_classes: int = 1000
    classes: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


def assumed(image_size: int | None = None) -> Configuration:
    """That of a network which says nothing, or nothing but its size."""
    unsaid = ("mean", "std") if image_size else ("image_size", "mean", "std")
    return Configuration(Preprocessing(image_size or DEFAULT_SIZE, Normalisation()), 0, assumed=unsaid)


def configuration_of(arch: str) -> Configuration:
    """That of an architecture, by the name that `--arch` takes.

    Raises:
        ValueError: torchvision has no such network.
    """
    if arch.startswith(_TORCHVISION):
        return torchvision_configuration(torchvision_weights(arch.removeprefix(_TORCHVISION)).DEFAULT)
    import timm

    found = timm.models.get_pretrained_cfg(arch) if timm.is_model(arch) else None
    return assumed() if found is None else timm_configuration(found.to_dict())


def module_configuration(module: nn.Module) -> Configuration:
    """That of a network of timm's, whoever made it; else what is assumed."""
    found = getattr(module, "pretrained_cfg", None)
    return timm_configuration(found) if isinstance(found, Mapping) and found else assumed()


def timm_configuration(found: Mapping[str, Any]) -> Configuration:
    """That of timm's `pretrained_cfg`."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    count = int(found.get("num_classes", 1000))
    subset = infer_imagenet_subset(dict(found)) if count not in (0, 1000) else None
    names = tuple(map(str, ImageNetInfo(subset).label_names())) if subset else ()
    own = Preprocessing(
        int(found.get("input_size", (3, DEFAULT_SIZE, DEFAULT_SIZE))[-1]),
        _normalisation(found.get("mean"), found.get("std")),
        min(1.0, float(found.get("crop_pct") or 1.0)),
    )
    return Configuration(own, count, wordnet_ids() if count == 1000 else names)


def torchvision_weights(arch: str) -> Any:
    """torchvision's enumeration of the weights of a classifier.

    Raises:
        ValueError: it has no such classifier; names the nearest.
    """
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if arch not in known:
        nearest = difflib.get_close_matches(arch, known, n=3, cutoff=0.5)
        hint = f"; the nearest names are {', '.join(nearest)}" if nearest else f"; it has {', '.join(known[:5])}, ..."
        raise ValueError(f"torchvision has no classifier {arch!r}{hint}")
    return torchvision.models.get_model_weights(arch)


def torchvision_configuration(weights: Any) -> Configuration:
    """That of one of torchvision's sets of weights."""
    transforms, count = weights.transforms(), len(weights.meta["categories"])
    side, resized = transforms.crop_size[0], transforms.resize_size[0]
    own = Preprocessing(side, _normalisation(transforms.mean, transforms.std), min(1.0, side / resized))
    return Configuration(own, count, wordnet_ids() if count == 1000 else tuple(weights.meta["categories"]))


def _normalisation(mean: Any, std: Any) -> Normalisation:
    if mean is None or std is None:
        return Normalisation()
    return Normalisation((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))
