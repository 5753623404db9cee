"""Any model by its name, ready to be measured."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from longcut.data.imagenet_classes import wordnet_ids
from longcut.data.layouts import LayoutOptions
from longcut.data.loader import Normalisation
from longcut.engine.build import build_normalisation
from longcut.engine.launch import find_device
from longcut.engine.run_folder import kept_checkpoints, load_run
from longcut.evaluation.linear_head import LinearHead, ProbedEncoder
from longcut.evaluation.models import ImageNetClassifier
from longcut.evaluation.results import Subject, weights_hash
from longcut.recipes.inputs import layout_options

Head = Literal["own", "linear"]


@dataclass(frozen=True)
class Model:
    """A classifier with what its images must look like."""

    network: Any
    classes: tuple[str, ...]
    """Names in the order of the logits; WordNet ids for an ImageNet model; none where a run had no classes."""
    image_size: int
    normalisation: Normalisation
    subject: Subject
    data: Path | None = None
    """What a run was trained on."""
    chosen: bool = False
    """Whether that was some of the data's classes, so that the others are passed over."""
    options: LayoutOptions = field(default_factory=LayoutOptions)
    """Which target, bias and severity it was trained on, of data that hold several."""

    @property
    def is_imagenet(self) -> bool:
        """Whether its classes are ImageNet's 1000."""
        return self.classes == wordnet_ids()


def open_model(
    name: str,
    *,
    selection: str = "last",
    head: Head = "own",
    weights: str | None = None,
    image_size: int = 224,
    out: Path | None = None,
    or_random: bool = False,
) -> tuple[Model, Path]:
    """A model by its name, and the folder that its results go to.

    Args:
        name: a run's folder (`DIR` or `run:DIR`), or `timm:NAME` for an ImageNet model of timm's.
        selection: which of a run's checkpoints.
        head: what classifies a run's features: its own head, or the linear probe that `longcut probe` fitted.
        weights: for `timm:NAME`, a local file, or `none` for random ones; timm's own where None.
        image_size: for `timm:NAME`.
        out: folder of the results; where None the run's own, for `timm:NAME` the folder `runs/timm_NAME`.
        or_random: take random weights where timm's own cannot be had; `subject.starting_weights` says so.

    Raises:
        ValueError: there is no such model, or its weights cannot be had.
    """
    if name.startswith("timm:"):
        out = out or Path("runs", folder_name(name))
        return _open_timm(name, weights, image_size, out, or_random), out
    folder = Path(name.removeprefix("run:"))
    model = _open_run(folder, selection)
    return (model if head == "own" else _with_probe(model, folder)), out or folder


def kept_selections(name: str | Path) -> list[str]:
    """The selection rules of which a run kept a checkpoint; `last` alone for what was not trained here.

    Raises:
        ValueError: the folder holds no checkpoint.
    """
    if str(name).startswith("timm:"):
        return ["last"]
    folder = Path(str(name).removeprefix("run:"))
    kept = kept_checkpoints(folder)
    if not kept:
        raise ValueError(f"{folder} holds no checkpoint of a run: make one with 'longcut train METHOD --out {folder}'")
    return kept


def folder_name(name: str) -> str:
    """A model's name as that of a folder."""
    return name.replace(":", "_").replace("/", "_")


def _open_run(folder: Path, selection: str) -> Model:
    run = load_run(folder, selection=selection)
    subject = Subject(
        run=str(folder),
        method=run.settings.method,
        preset=run.settings.preset,
        seed=run.settings.run.seed,
        step=run.step,
        selection=selection,
        starting_weights=run.starting_weights,
        weights_hash=weights_hash(run.method),
    )
    paths = tomllib.loads((folder / "settings.toml").read_text("utf-8")).get("paths", {})
    return Model(
        network=run.method.to(find_device()),
        classes=run.classes,
        image_size=run.settings.data.image_size,
        normalisation=build_normalisation(run.settings),
        subject=subject,
        data=Path(paths["data"]) if "data" in paths else None,
        chosen=bool(run.settings.data.class_list),
        options=layout_options(run.settings),
    )


def _with_probe(model: Model, folder: Path) -> Model:
    """The model with the linear probe of its folder for a head."""
    head = LinearHead.load(folder, model.subject.weights_hash)
    network = ProbedEncoder(model.network, head).to(find_device()).eval()
    subject = replace(model.subject, head=f"linear:{weights_hash(network).removeprefix('sha256:')[:16]}")
    return replace(model, network=network, classes=head.classes, subject=subject, chosen=True)


def _open_timm(name: str, weights: str | None, image_size: int, out: Path, or_random: bool) -> Model:
    network = ImageNetClassifier(name.removeprefix("timm:"), weights, image_size=image_size, or_random=or_random)
    subject = Subject(
        run=str(out),
        method="base_in",
        preset=name,
        seed=None,
        step=None,
        selection="last",
        starting_weights=network.starting_weights,
        weights_hash=weights_hash(network),
    )
    mean, std = network.statistics
    return Model(network.to(find_device()).eval(), wordnet_ids(), image_size, Normalisation(mean, std), subject)
