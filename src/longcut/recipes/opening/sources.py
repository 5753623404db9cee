"""The kinds of models that can be named, and how each is opened."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from longcut.engine.build import build_normalisation
from longcut.engine.launch import find_device
from longcut.engine.run_folder import load_run
from longcut.evaluation.foreign.models import read_network
from longcut.evaluation.heads import OWN, check_head
from longcut.evaluation.linear_head import LinearHead, ProbedEncoder
from longcut.evaluation.results import Subject, weights_hash
from longcut.recipes.inputs import layout_options
from longcut.recipes.opening.foreign import open_callable, open_file, open_onnx
from longcut.recipes.opening.model import Model, ModelOptions
from longcut.recipes.opening.public import open_timm, open_torchvision
from longcut.recipes.opening.weights import is_weights_file

PREDICTIONS = "predictions:"


@dataclass(frozen=True)
class Source:
    """A kind of models.

    Attributes:
        example: how one is named.
        open: the model by the rest of its name, the options and the folder of its results.
        reads: those of the options with a use for some kinds alone that this one reads.
    """

    example: str
    open: Callable[[str, ModelOptions, Path], Model]
    reads: frozenset[str] = frozenset()


def open_run(name: str, options: ModelOptions, out: Path) -> Model:
    """A run that was trained here.

    Raises:
        ValueError: the folder holds no such run, not the head that is asked for, or its network takes no images of
            the size that is asked for.
    """
    folder = Path(name)
    run = load_run(folder, selection=options.selection)
    subject = Subject(
        run=str(folder),
        method=run.settings.method,
        preset=run.settings.preset,
        seed=run.settings.run.seed,
        step=run.step,
        selection=options.selection,
        starting_weights=run.starting_weights,
        weights_hash=weights_hash(run.method),
    )
    paths = tomllib.loads((folder / "settings.toml").read_text("utf-8")).get("paths", {})
    method = run.method.to(find_device())
    model = Model(
        network=method,
        classes=run.classes,
        image_size=run.settings.data.image_size,
        normalisation=build_normalisation(run.settings),
        subject=subject,
        data=Path(paths["data"]) if "data" in paths else None,
        chosen=bool(run.settings.data.class_list),
        options=layout_options(run.settings),
        num_classes=len(run.classes),
        torch_module=method if run.classes else None,
    )
    model = _as_said(model, options)
    return model if options.head == OWN else _with_kept_head(model, folder, options.head)


def _as_said(model: Model, options: ModelOptions) -> Model:
    """The model with what was said of its images instead of what it was trained on."""
    seen = options.preprocess(model.preprocessing)
    if seen.image_size != model.image_size:
        try:
            read_network(model.network.encode, seen.image_size, find_device(), outputs="logits")
        except ValueError as error:
            raise ValueError(f"{model.subject.run} was trained on images of {model.image_size} px: {error}") from error
    return replace(model, image_size=seen.image_size, normalisation=seen.normalisation)


def _with_kept_head(model: Model, folder: Path, kind: str) -> Model:
    """The model with a head that was fitted on its features and lies in its folder."""
    head = LinearHead.load(folder, model.subject.weights_hash, kind)
    network = ProbedEncoder(model.network, head).to(find_device()).eval()
    subject = replace(model.subject, head=network.name(kind))
    return replace(
        model,
        network=network,
        classes=head.classes,
        subject=subject,
        chosen=True,
        num_classes=len(head.classes),
        torch_module=network,
    )


SOURCES: dict[str, Source] = {
    "run": Source("run:DIR", open_run, frozenset({"head"})),
    "timm": Source("timm:NAME", open_timm, frozenset({"weights", "class_names"})),
    "torchvision": Source("torchvision:NAME", open_torchvision, frozenset({"weights", "class_names"})),
    "file": Source("FILE.safetensors", open_file, frozenset({"arch", "class_names"})),
    "onnx": Source("onnx:FILE", open_onnx, frozenset({"class_names", "outputs"})),
    "callable": Source("package.module:callable", open_callable, frozenset({"class_names", "outputs"})),
}
"""Kinds of models."""
_PREFIXES = ("run", "timm", "torchvision", "onnx")
_OF_SOME = ("head", "weights", "arch", "class_names", "outputs")


def source_of(name: str) -> tuple[str, str]:
    """The kind of a model's name, a key of `SOURCES`, and the name as that kind has it.

    Raises:
        ValueError: the name is of no kind.
    """
    prefix, colon, rest = name.partition(":")
    if colon and prefix in _PREFIXES:
        return prefix, rest
    if name.startswith(PREDICTIONS):
        raise ValueError(f"{name} holds predictions and no network that could be shown further images")
    if Path(name).is_dir():
        return "run", name
    if is_weights_file(name):
        return "file", name
    if name.lower().endswith(".onnx"):
        return "onnx", name
    if re.fullmatch(r"[\w.]+:[\w.]+", name):
        return "callable", name
    if colon:
        known = ", ".join(source.example for source in SOURCES.values())
        raise ValueError(f"{name} names no model: there are {known}")
    return "run", name


def open_source(name: str, options: ModelOptions, out: Path) -> Model:
    """A model by its name.

    Args:
        name: like the examples in `SOURCES`.
        options: what a person says of it.
        out: folder of its results.

    Raises:
        ValueError: there is no such model, or an option is given that has no use for models of its kind.
    """
    kind, rest = source_of(name)
    check_head(options.head)
    for option in _OF_SOME:
        if getattr(options, option) != getattr(ModelOptions(), option) and option not in SOURCES[kind].reads:
            readers = ", ".join(source.example for source in SOURCES.values() if option in source.reads)
            raise ValueError(f"--{option.replace('_', '-')} goes with {readers}, not with {name}")
    return SOURCES[kind].open(rest, options, out)
