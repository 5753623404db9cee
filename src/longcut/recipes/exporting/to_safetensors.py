"""The whole network as `backbone.*` and `head.*` in a safetensors file."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from torch import nn

from longcut.backbones import create_backbone
from longcut.recipes.exporting.about import About
from longcut.recipes.exporting.comparing import Loaded
from longcut.recipes.exporting.normalised import Normalised
from longcut.recipes.exporting.source import Source
from longcut.recipes.exporting.weights import load_strictly, save_weights


def write(source: Source, folder: Path, about: About) -> Loaded:
    """Write the weights into `folder`, and load them into a new network.

    Raises:
        ValueError: the classifier is more than one backbone and a linear layer.
    """
    parts = source.require_parts("safetensors")
    save_weights(parts.state_dict(), folder / about.file, about)
    head = nn.Linear(about.num_features or 0, len(about.classes))
    fresh = nn.Sequential(OrderedDict(backbone=create_backbone(**source.backbone), head=head))
    return Normalised(load_strictly(fresh, folder / about.file), source.normalisation)
