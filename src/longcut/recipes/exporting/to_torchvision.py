"""torchvision's names for the weights of a network that both timm and torchvision have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from longcut.backbones.create import SMALL
from longcut.recipes.exporting.about import About
from longcut.recipes.exporting.comparing import Loaded
from longcut.recipes.exporting.normalised import Normalised
from longcut.recipes.exporting.source import Source
from longcut.recipes.exporting.weights import as_one_network, difference, load_strictly, save_weights

_FAMILIES = ("resnet", "resnext", "wide_resnet", "densenet")
_OTHERS = "take --to timm, safetensors or onnx"


def write(source: Source, folder: Path, about: About) -> Loaded:
    """Write the weights into `folder`, and load them into torchvision's network.

    Raises:
        ValueError: torchvision has no such network, or the classifier is more than a backbone and a linear layer.
    """
    parts = source.require_parts("torchvision")
    name = _architecture(source)
    network = _create(name, len(about.classes))
    save_weights(_renamed(parts, network, name), folder / about.file, about)
    return Normalised(load_strictly(network, folder / about.file), source.normalisation)


def _architecture(source: Source) -> str:
    """What torchvision calls the backbone."""
    from torchvision.models import list_models

    name: str = source.backbone["name"].partition(".")[0]
    others = "take --to safetensors or onnx" if name in SMALL else _OTHERS
    if name in SMALL or not name.startswith(_FAMILIES) or name not in list_models():
        raise ValueError(
            f"torchvision has no network with the layers of {name} (it has those of timm's resnet18 to resnet152, "
            f"resnext, wide_resnet and densenet): {others}"
        )
    if source.backbone.get("small_stem"):
        raise ValueError(
            f"small_stem=true gave {name} a stem that torchvision's has not: take --to safetensors or onnx"
        )
    return name


def _create(name: str, num_classes: int) -> nn.Module:
    from torchvision.models import get_model

    network: nn.Module = get_model(name, weights=None, num_classes=num_classes)
    return network


def _renamed(parts: nn.Sequential, network: Any, name: str) -> dict[str, Tensor]:
    """The weights by torchvision's names."""
    classifier = [place for place, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    tensors = as_one_network(parts, classifier)
    differ = difference(tensors, network.state_dict())
    if differ:
        raise ValueError(f"{name} of timm and of torchvision differ ({differ}): {_OTHERS}")
    return tensors
