"""Networks by the name of their architecture, with weights from a file or random ones."""

from __future__ import annotations

import urllib.error
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from longcut.backbones import create_backbone
from longcut.backbones.create import SMALL
from longcut.backbones.weight_files import (
    SUFFIXES,
    file_hash,
    fit,
    read_weights,
    require_host,
    state_dict_in,
    without_wrappers,
)
from longcut.evaluation.foreign.models import BackboneClassifier
from longcut.recipes.opening.configuration import torchvision_weights

Maker = Callable[[int], nn.Module]
"""A network with a classifier of so many classes."""
_PREFIXES = ("module.", "_orig_mod.", "model.")
_OURS = ("backbone.", "head.")
_IMAGENET = 1000
_SLOW_TO_BEGIN = ("googlenet", "inception_v3")
_SEED = 0


def is_weights_file(name: str) -> bool:
    """Whether a name is that of a weights file, by its suffix."""
    return Path(name).suffix.lower() in SUFFIXES


def network_maker(arch: str, image_size: int) -> Maker:
    """What makes a network of an architecture: `torchvision:NAME`, or a name of timm's.

    Making one raises a ValueError where the architecture is unknown, or not made for images of that size.
    """
    if arch.startswith("torchvision:"):
        return lambda count: _make_torchvision(arch.removeprefix("torchvision:"), image_size, count)
    return lambda count: create_backbone(arch, image_size=image_size, num_classes=count)


def _make_torchvision(arch: str, image_size: int, count: int) -> nn.Module:
    import torchvision

    torchvision_weights(arch)
    options: dict[str, Any] = {"image_size": image_size} if arch.startswith("vit_") else {}
    options |= {"init_weights": False} if arch in _SLOW_TO_BEGIN else {}
    try:
        network: nn.Module = torchvision.models.get_model(arch, weights=None, num_classes=count, **options)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ValueError(f"torchvision cannot make {arch} for images of {image_size} px: {error}") from error
    return network


def random_network(make: Maker, num_classes: int) -> nn.Module:
    """A network with weights drawn from a generator of their own, always the same ones."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_SEED)
        return make(num_classes).eval()


def network_from_file(
    file: Path, arch: str, image_size: int, backbone: Mapping[str, Any] | None = None
) -> tuple[nn.Module, int, str]:
    """A network with weights from a file, every one of both, and as many classes as the file's head has.

    Args:
        file: `.safetensors`, or `.pt`/`.pth` of weights alone, also nested under `state_dict` or `model` and behind
            `module.` or `model.`; or a checkpoint of a run whose method is a backbone and a head.
        arch: `torchvision:NAME`, a name of timm's, or one of our backbones.
        image_size: of the images.
        backbone: of a file with `backbone.` and `head.`, which is what a run's method has: arguments of
            `create_backbone`; its name alone, `arch`, where None.

    Returns:
        The network in evaluation mode, its number of classes, and a description of its weights.

    Raises:
        ValueError: the file is not weights, or does not fit: which of its names are missing, unexpected or of another
            shape.
    """
    tensors = without_wrappers(state_dict_in(read_weights(file), file), _PREFIXES)
    if arch in SMALL or all(name.startswith(_OURS) for name in tensors):
        make = _backbone_maker({**(backbone or {"name": arch}), "image_size": image_size})
    else:
        make = network_maker(arch, image_size)
    network = random_network(make, _IMAGENET)
    count = _head_width(network.state_dict(), tensors)
    if count != _IMAGENET:
        network = random_network(make, count)
    fit(network, tensors, file.name, arch)
    return network, count, f"{file.name} (sha256:{file_hash(file)[:12]})"


def _backbone_maker(options: Mapping[str, Any]) -> Maker:
    return lambda count: BackboneClassifier(create_backbone(**options), count)


def _head_width(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> int:
    """Classes in a file: what it has where a network of ImageNet's 1000 has 1000, and nothing else differs."""
    widths = {
        len(tensors[name])
        for name, value in own.items()
        if name in tensors and value.ndim and len(value) == _IMAGENET and tensors[name].shape[1:] == value.shape[1:]
    }
    return widths.pop() if len(widths) == 1 else _IMAGENET


def torchvision_network(arch: str, wish: str | None, image_size: int) -> tuple[nn.Module, str]:
    """A network of torchvision's with its own weights, and a description of them.

    Args:
        arch: torchvision's name.
        wish: name of the weights, as `IMAGENET1K_V2`; the best where None.
        image_size: of the images.

    Raises:
        ValueError: there are no such weights, or they cannot be downloaded.
    """
    import torchvision

    known = torchvision_weights(arch)
    if wish is not None and wish not in known.__members__:
        raise ValueError(
            f"torchvision has no weights {wish!r} of {arch}, and there is no such file; it has "
            f"{', '.join(known.__members__)}; none takes random ones"
        )
    weights = known.DEFAULT if wish is None else known[wish]
    if not (Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name).is_file():
        require_host(weights.url, f"{arch}'s {weights.name}")
    options: dict[str, Any] = {"image_size": image_size} if arch.startswith("vit_") else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of how what is replaced at once is begun
            network: nn.Module = torchvision.models.get_model(arch, weights=weights, progress=False, **options)
    except (OSError, RuntimeError, ValueError, urllib.error.URLError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{arch} with {weights.name} cannot be had ({reason}); give a local file's path") from error
    return network.eval(), f"torchvision:{arch} {weights.name}"
