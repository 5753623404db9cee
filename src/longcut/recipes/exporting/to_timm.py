"""A folder that `timm.create_model('local-dir:PATH', pretrained=True)` loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from longcut.backbones import create_backbone
from longcut.backbones.create import SMALL
from longcut.data.decoding import write_whole
from longcut.recipes.exporting.about import About
from longcut.recipes.exporting.comparing import Loaded
from longcut.recipes.exporting.normalised import Normalised
from longcut.recipes.exporting.source import Source
from longcut.recipes.exporting.weights import as_one_network, difference, save_weights

CONFIGURATION = "config.json"


def write(source: Source, folder: Path, about: About) -> Loaded:
    """Write weights and configuration into `folder`, and let timm load it.

    Raises:
        ValueError: the network is none of timm's, or the classifier is more than a backbone and a linear layer.
    """
    import timm

    parts = source.require_parts("timm")
    name = _architecture(source)
    network: Any = create_backbone(name, image_size=source.backbone["image_size"], num_classes=len(about.classes))
    classifier = _classifier(network, name)
    save_weights(_renamed(parts, network, name, classifier), folder / about.file, about)
    text = json.dumps(_configuration(name, network, classifier, about), indent=2, ensure_ascii=False)
    write_whole(folder / CONFIGURATION, text.encode())
    try:
        loaded: nn.Module = timm.create_model(f"local-dir:{folder}", pretrained=True)
    except RuntimeError as error:
        raise ValueError(
            f"timm cannot load what was written ({str(error).splitlines()[0]}): nothing is kept"
        ) from error
    return Normalised(loaded.eval(), source.normalisation)


def _architecture(source: Source) -> str:
    name: str = source.backbone["name"].partition(".")[0]
    if name in SMALL:
        raise ValueError(f"{name} is none of timm's networks: take --to safetensors or onnx")
    if source.backbone.get("small_stem"):
        raise ValueError(f"small_stem=true gave {name} a stem that timm's has not: take --to safetensors or onnx")
    return name


def _classifier(network: Any, name: str) -> str:
    """Name of timm's last layer in its network."""
    last = network.get_classifier()
    found = [place for place, module in network.named_modules() if module is last and isinstance(module, nn.Linear)]
    if not found:
        raise ValueError(f"timm's {name} does not end in one linear layer: take --to safetensors or onnx")
    return found[0]


def _renamed(parts: nn.Sequential, network: nn.Module, name: str, classifier: str) -> dict[str, Tensor]:
    """The weights by the names of timm's network with a classifier."""
    tensors = as_one_network(parts, classifier)
    differ = difference(tensors, network.state_dict())
    if differ:
        raise ValueError(f"timm's {name} has other layers with a classifier ({differ}): take --to safetensors or onnx")
    return tensors


def _configuration(name: str, network: Any, classifier: str, about: About) -> dict[str, Any]:
    """`config.json` as timm's loaders read it: the network, its classes, and how images are prepared."""
    import timm

    known: Any = timm.models.get_pretrained_cfg(name)
    fixed = bool(known is not None and known.fixed_input_size)
    size = about.inputs.image_size
    return {
        "architecture": name,
        "num_classes": len(about.classes),
        "num_features": about.num_features,
        "label_names": list(about.classes),
        **({"model_args": {"img_size": size}} if fixed else {}),
        "pretrained_cfg": {
            "custom_load": False,
            "input_size": [3, size, size],
            "fixed_input_size": fixed,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "crop_mode": "center",
            "mean": list(about.inputs.mean),
            "std": list(about.inputs.std),
            "num_classes": len(about.classes),
            "first_conv": network.pretrained_cfg.get("first_conv"),
            "classifier": classifier,
        },
    }
