"""The classifier of a run, taken out of its method."""

from __future__ import annotations

import copy
import tomllib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from longcut import __version__
from longcut.core.features import feature_dim
from longcut.data.loader import Normalisation
from longcut.engine.build import build_normalisation
from longcut.engine.checkpoint import load_checkpoint
from longcut.engine.run_folder import CHECKPOINTS, TrainedRun, load_run
from longcut.engine.settings import Settings
from longcut.evaluation.heads import OWN, Head, check_head
from longcut.evaluation.linear_head import LinearHead, ProbedEncoder
from longcut.evaluation.results import commit, weights_hash
from longcut.recipes.exporting.about import Origin

_PROBED = 4  # images that tell whether a network is its backbone and a linear layer


@dataclass(frozen=True)
class Source:
    """What is exported, on the CPU and in evaluation mode.

    Attributes:
        network: normalised images `[b, 3, h, w]` to logits `[b, n]`.
        parts: the same as a `backbone` and a linear `head`; None where it is more than these.
        classes: names in the order of the logits.
        settings: of the run.
        normalisation: of its images.
        backbone: arguments of `longcut.backbones.create_backbone`.
        data: what the run was trained on; None where it does not say.
        origin: where it comes from.
    """

    network: nn.Module
    parts: nn.Sequential | None
    classes: tuple[str, ...]
    settings: Settings
    normalisation: Normalisation
    backbone: dict[str, Any]
    data: Path | None
    origin: Origin

    def require_parts(self, target: str) -> nn.Sequential:
        """Its `backbone` and `head`.

        Raises:
            ValueError: it is more than these.
        """
        if self.parts is None:
            raise ValueError(
                f"--to {target} hands over one backbone with a linear layer on its features, and {self.origin.method} "
                "classifies in another way: take --to onnx, which holds any network"
            )
        return self.parts


def open_source(name: str, *, selection: str = "last", head: Head = OWN) -> Source:
    """The classifier of a run.

    Args:
        name: the run's folder, `DIR` or `run:DIR`.
        selection: which of its checkpoints.
        head: what classifies: its own head, or one that was fitted on its features.

    Raises:
        ValueError: there is no such run, it has no classes, or its outputs are not finite.
    """
    if name.startswith("timm:"):
        raise ValueError(f"{name} is no run: export hands over what 'longcut train' trained; name its folder")
    folder = Path(name.removeprefix("run:"))
    run = load_run(folder, selection=selection)
    trained = weights_hash(run.method)
    network, classes, whose = _classifier(run, trained, head)
    paths = tomllib.loads((folder / "settings.toml").read_text("utf-8")).get("paths", {})
    network = copy.deepcopy(network).cpu().float().to(memory_format=torch.contiguous_format).eval()
    return Source(
        network=network,
        parts=find_parts(network, run.settings.data.image_size, folder),
        classes=classes,
        settings=run.settings,
        normalisation=build_normalisation(run.settings),
        backbone=_backbone(run.settings),
        data=Path(paths["data"]) if "data" in paths else None,
        origin=_origin(run, selection, whose, trained, paths.get("data")),
    )


def _classifier(run: TrainedRun, trained: str, head: Head) -> tuple[nn.Module, tuple[str, ...], str]:
    """The network, its classes, and what classifies."""
    check_head(head)
    if head == OWN and not run.classes:
        raise ValueError(
            f"{run.folder} was trained without classes, so its own head names none: fit one with "
            f"'longcut probe {run.folder} --data DIR' and export it with --head linear"
        )
    if head == OWN:
        return run.method, run.classes, OWN
    linear = LinearHead.load(run.folder, trained, head)
    network = ProbedEncoder(run.method, linear)
    return network, linear.classes, network.name(head)


@torch.no_grad()
def find_parts(network: nn.Module, size: int, folder: Path) -> nn.Sequential | None:
    """A network's `backbone` and linear `head`; None where it does more than pass images through these two.

    Args:
        network: in evaluation mode, normalised images to logits.
        size: of its images.
        folder: of its run, for the message.

    Raises:
        ValueError: its outputs are not finite.
    """
    images = torch.randn(_PROBED, 3, size, size, generator=torch.Generator().manual_seed(0))
    logits: Tensor = network(images)
    if not logits.isfinite().all():
        raise ValueError(f"{folder} gives logits that are not finite: its training has diverged; nothing is exported")
    method: Any = network.encoder if isinstance(network, ProbedEncoder) else network
    backbone = getattr(method, "backbone", None)
    head = _linear(network) if isinstance(network, ProbedEncoder) else getattr(method, "head", None)
    if not isinstance(backbone, nn.Module) or not isinstance(head, nn.Linear) or head.bias is None:
        return None
    if feature_dim(backbone) != head.in_features:
        return None
    parts = nn.Sequential(OrderedDict(backbone=backbone, head=head)).eval()
    return parts if torch.allclose(parts(images), logits, rtol=1e-4, atol=1e-5) else None


def _linear(network: ProbedEncoder) -> nn.Linear:
    """Its head as a layer."""
    layer = nn.Linear(network.weight.shape[1], network.weight.shape[0])
    layer.load_state_dict({"weight": network.weight, "bias": network.bias})
    return layer


def _backbone(settings: Settings) -> dict[str, Any]:
    chosen = settings.backbone
    options: dict[str, Any] = {"name": chosen.name, "image_size": settings.data.image_size}
    options |= {"small_stem": True} if chosen.small_stem else {}
    return options | ({"norm": chosen.norm} if chosen.norm else {})


def _origin(run: TrainedRun, selection: str, head: str, trained: str, data: str | None) -> Origin:
    about = load_checkpoint(run.folder / CHECKPOINTS[selection])["about"]
    return Origin(
        run=run.folder.resolve().name,
        method=run.settings.method,
        preset=run.settings.preset or run.settings.method,
        seed=run.settings.run.seed,
        selection=selection,
        step=run.step,
        starting_weights=run.starting_weights,
        head=head,
        weights_hash=trained,
        data=Path(data).name if data else None,
        data_hash=about.get("data_hash"),
        settings=run.settings.to_dict(),
        version=__version__,
        commit=commit(),
    )
