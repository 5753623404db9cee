"""What is known of an exported classifier: the header of its file, `preprocessing.json` and the model card read it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Target = Literal["safetensors", "timm", "torchvision", "onnx"]
PREPROCESSING = "preprocessing.json"
CARD = "MODEL_CARD.md"
FORMAT = 1
_SUFFIXES = (".onnx", ".safetensors", ".pt", ".pth", ".bin")
RESIZE = (
    "the central square at image_size: the shorter side is scaled to it, by the mean over areas where it shrinks and "
    "linearly where it grows"
)


@dataclass(frozen=True)
class Origin:
    """Where a classifier comes from.

    Attributes:
        run: name of the run's folder.
        method: that trained it.
        preset: or the method again, where no preset was named.
        seed: of the run.
        selection: rule that its step was chosen by.
        step: optimizer steps done.
        starting_weights: what the backbone began from.
        head: `own`; or `linear:`, of a linear probe, or `dfr:`, of a retrained last layer, and its hash.
        weights_hash: of the whole method, as in the rows of `results.jsonl`.
        data: name of what it was trained on; None where the run does not say.
        data_hash: of that; None where the checkpoint does not say.
        settings: all of the run's, by section.
        version: of longcut.
        commit: of the source tree; None outside one.
    """

    run: str
    method: str
    preset: str
    seed: int
    selection: str
    step: int
    starting_weights: str
    head: str
    weights_hash: str
    data: str | None
    data_hash: str | None
    settings: dict[str, Any]
    version: str
    commit: str | None


@dataclass(frozen=True)
class Inputs:
    """What images must look like.

    Attributes:
        image_size: side in pixels.
        mean: per channel, of pixels in 0 to 1.
        std: likewise.
        normalised_by: `caller`, or `graph` where the exported network does it itself.
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    normalised_by: Literal["caller", "graph"] = "caller"


@dataclass(frozen=True)
class Comparison:
    """How far a reloaded classifier's logits are from those of the run.

    Attributes:
        difference: largest absolute one.
        allowed: it must be no larger.
        num_random: random images among those compared.
        num_training: training images among them.
    """

    difference: float
    allowed: float
    num_random: int
    num_training: int

    def __str__(self) -> str:
        images = f"{self.num_random} random images"
        images += f" and {self.num_training} of the training images" if self.num_training else ""
        return f"{self.difference:.1e} on {images} ({self.allowed:.1e} is allowed)"


@dataclass(frozen=True)
class About:
    """Everything that is told of an exported classifier.

    Attributes:
        target: library that it is for.
        file: name of the file with the weights.
        classes: names in the order of the logits.
        inputs: what its images must look like.
        backbone: arguments of `longcut.backbones.create_backbone`.
        num_features: that its last layer reads; None where that is not one linear layer on one backbone.
        num_parameters: of these two; None likewise.
        origin: where it comes from.
        digest: SHA-256 of the file.
        comparison: with the run; None before it was made.
    """

    target: Target
    file: str
    classes: tuple[str, ...]
    inputs: Inputs
    backbone: dict[str, Any]
    num_features: int | None
    num_parameters: int | None
    origin: Origin
    digest: str = ""
    comparison: Comparison | None = field(default=None)

    def facts(self) -> dict[str, Any]:
        """Plain data for whoever loads it, without the settings of the run."""
        origin = {key: value for key, value in asdict(self.origin).items() if key not in ("settings", "commit")}
        return {
            "format": FORMAT,
            "target": self.target,
            "classes": list(self.classes),
            **asdict(self.inputs),
            "mean": list(self.inputs.mean),
            "std": list(self.inputs.std),
            "colour": "RGB",
            "range": [0, 1],
            "resize": RESIZE,
            "backbone": self.backbone,
            **origin,
        }

    def header(self) -> dict[str, str]:
        """The same as texts, those that are none as JSON: what a file's header takes."""
        texts = {
            key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for key, value in self.facts().items()
        }
        return texts | {"format": "pt", "format_version": str(FORMAT)}  # "pt" is what readers of safetensors look for


def names_file(out: Path) -> bool:
    """Whether `--out` names a file of weights rather than a folder."""
    return out.suffix.lower() in _SUFFIXES
