"""What `longcut export` wrote into a file beside the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longcut.data.loader import Normalisation
from longcut.data.preprocessing import Preprocessing
from longcut.recipes.opening.configuration import Configuration


@dataclass(frozen=True)
class Header:
    """What a file says of its network.

    Attributes:
        configuration: of its images and classes.
        arch: as `--arch` would name it.
        backbone: arguments of `longcut.backbones.create_backbone`.
    """

    configuration: Configuration
    arch: str
    backbone: Mapping[str, Any]


def header_of(file: Path) -> Header | None:
    """The header of a safetensors file; None where there is none of ours, or the file is broken or another."""
    from safetensors import SafetensorError, safe_open

    if file.suffix.lower() != ".safetensors" or not file.is_file():
        return None
    try:
        with safe_open(file, "pt") as opened:
            return read_header(opened.metadata() or {})
    except SafetensorError:
        return None  # whoever reads the weights says so


def read_header(texts: Mapping[str, str]) -> Header | None:
    """The header in a file's texts; None where they are not of `longcut export`."""
    if texts.get("format_version") != "1" or "normalised_by" not in texts:
        return None
    try:
        told = {key: json.loads(texts[key]) for key in ("classes", "image_size", "mean", "std", "backbone")}
        normalisation = Normalisation(tuple(told["mean"]), tuple(told["std"]))
        if texts["normalised_by"] == "graph":
            normalisation = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        classes = tuple(map(str, told["classes"]))
        configuration = Configuration(Preprocessing(told["image_size"], normalisation), len(classes), classes)
        name: str = told["backbone"]["name"]
    except (KeyError, TypeError, ValueError):
        return None
    arch = f"torchvision:{name.partition('.')[0]}" if texts.get("target") == "torchvision" else name
    return Header(configuration, arch, told["backbone"])
