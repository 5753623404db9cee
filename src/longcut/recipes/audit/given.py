"""Audits of what a person has in memory: a network, images, their classes."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from longcut.attribution.class_activation import evaluation_mode
from longcut.data.decoding import image_size
from longcut.data.destination import check_outside
from longcut.data.image_set import ImageSet
from longcut.data.layouts import LayoutOptions
from longcut.engine.launch import find_device
from longcut.evaluation.audit.result import AuditResult
from longcut.evaluation.foreign.models import read_network
from longcut.evaluation.heads import OWN
from longcut.evaluation.results import weights_hash
from longcut.recipes.audit.arrays import image_set, is_array, with_bias, with_targets
from longcut.recipes.audit.by_name import check_unsaid
from longcut.recipes.audit.folder import GIVEN, check_folder
from longcut.recipes.audit.predictions import audit_predictions
from longcut.recipes.audit.preparing import AuditOptions
from longcut.recipes.audit.run import run_audit
from longcut.recipes.models import Model, open_model
from longcut.recipes.opening.configuration import assumed, module_configuration
from longcut.recipes.opening.found import Found
from longcut.recipes.opening.model import ModelOptions
from longcut.recipes.opening.sources import PREDICTIONS
from longcut.recipes.reading import options_for, read_measured

Network = Callable[[Tensor], Any]
Read = Callable[[Model | None], ImageSet]


def audit_given(
    model: str | Path | Model | Network,
    images: Any,
    targets: Any,
    out: Path,
    options: AuditOptions,
    *,
    masks: Any = None,
    bias: Any = None,
    classes: Sequence[str] | None = None,
    split: str | None = None,
    said: ModelOptions | None = None,
) -> AuditResult:
    """Audit a model, of whatever kind, on images, of whatever kind.

    Args:
        model: a name as `open_model` takes it, `predictions:FILE.csv`, an opened one, a module, or a function from
            normalised images to scores.
        images: a folder as `read_images` reads it, or what `arrays.image_set` takes.
        targets: as `arrays.with_targets` takes them, or None; for a folder the name of their column where its
            layout has several, else that which a run was trained on.
        out: folder of the audit.
        options: what is asked for.
        masks: as `arrays.image_set` takes them, or a folder; where None GrabCut's.
        bias: as `arrays.with_bias` takes it, or None; for a folder the name of its column.
        classes: names of the model's classes, in the order of its scores, where it names none.
        split: of a folder; where None as `measured_split` chooses it.
        said: of the model.

    Raises:
        ValueError: something of that is none, or does not go with the rest.
    """
    check_folder(out)
    said = said or ModelOptions()
    if isinstance(masks, str | Path):
        options, masks = replace(options, masks=Path(masks)), None
    if isinstance(images, str | Path):
        read, side = _in_folder(Path(images), _columns(Path(images), targets, bias, masks), split, out), None
        targets = bias = None
    else:
        read, side = _in_memory(images, masks, split, out, options)
    if isinstance(model, str) and model.startswith(PREDICTIONS):
        check_unsaid(vars(said))
        labelled = _labelled(read(None), targets, bias, tuple(classes or ()))
        return audit_predictions(Path(model.removeprefix(PREDICTIONS)), labelled, out, options)
    with _opened(model, said, side, out) as opened:
        opened = _with_names(opened, classes, numbered=targets is not None)
        return run_audit(opened, _labelled(read(opened), targets, bias, opened.classes), out, options)


def _in_memory(images: Any, masks: Any, split: str | None, out: Path, options: AuditOptions) -> tuple[Read, int | None]:
    """How the images are read, and the side of those in an array."""
    if split is not None:
        raise ValueError(f"split={split!r} goes with a folder: a list or an array has no splits")
    if is_array(images) and options.masks is not None:
        raise ValueError(f"{options.masks} has masks of files: give an array of masks for an array of images")
    found = image_set(images, masks, out / GIVEN)
    return lambda model: found, min(image_size(found.root / found.paths[0])) if is_array(images) else None


def _columns(folder: Path, target: Any, bias: Any, masks: Any) -> LayoutOptions:
    if masks is not None:
        raise ValueError(f"the masks of {folder} are a folder too, a tree like it")
    if any(not isinstance(column, str | None) for column in (target, bias)):
        raise ValueError(
            f"{folder} says itself what its images are: targets and bias are names of its columns, or go with a list "
            "or an array"
        )
    return LayoutOptions(target=target, bias=bias)


def _in_folder(folder: Path, layout: LayoutOptions, split: str | None, out: Path) -> Read:
    """How the images are read: what the layout leaves open as the model was trained on it."""
    check_outside(folder, out)
    return lambda model: read_measured(folder, split, options_for(model, folder, layout) if model else layout)


def _labelled(images: ImageSet, targets: Any, bias: Any, classes: tuple[str, ...]) -> ImageSet:
    images = images if targets is None else with_targets(images, targets, classes)
    return images if bias is None else with_bias(images, bias)


def _with_names(model: Model, classes: Sequence[str] | None, *, numbered: bool) -> Model:
    """The model with names of its classes: those given, its own, or numbers where targets go by them."""
    if classes is None and (model.classes or not numbered):
        return model
    digits = len(str(model.num_classes - 1))
    names = [f"class {place:0{digits}d}" for place in range(model.num_classes)] if classes is None else classes
    if len(names) != model.num_classes:
        raise ValueError(f"classes names {len(names)}, and the model has {model.num_classes}")
    return replace(model, classes=tuple(map(str, names)))


@contextmanager
def _opened(model: Any, said: ModelOptions, side: int | None, out: Path) -> Iterator[Model]:
    """The model, in evaluation mode and on the device meanwhile."""
    if isinstance(model, str | Path):
        opened, _ = open_model(str(model), out=out, **vars(replace(said, or_random=True)))
        yield opened
    elif said.head != OWN:
        raise ValueError(f"head={said.head!r} goes with run:DIR, whose folder holds it, not with a network")
    elif isinstance(model, Model):
        seen = said.preprocess(model.preprocessing)
        with _ready(model.network):
            yield replace(model, image_size=seen.image_size, normalisation=seen.normalisation)
    elif isinstance(model, type) or not callable(model):
        raise ValueError(f"the model is a {type(model).__name__}: a name, a torch.nn.Module or a function is needed")
    else:
        with _ready(model):
            yield _of_network(model, said, side, out)


@contextmanager
def _ready(network: Any) -> Iterator[None]:
    """A module in evaluation mode on the device; then it is as and where it was."""
    if not isinstance(network, nn.Module):
        yield
        return
    device = next((parameter.device for parameter in network.parameters()), find_device())
    with evaluation_mode(network):
        try:
            network.to(find_device())
            yield
        finally:
            network.to(device)


def _of_network(network: Network, said: ModelOptions, side: int | None, out: Path) -> Model:
    """A model of a network: its images are as large as those that are given, where it does not say it."""
    name, module = getattr(network, "__name__", type(network).__name__), isinstance(network, nn.Module)
    configuration = module_configuration(network) if isinstance(network, nn.Module) else assumed()
    if "image_size" in configuration.assumed and said.image_size is None:
        said = replace(said, image_size=side)
    size = said.preprocess(configuration.preprocessing).image_size
    try:
        classifier = read_network(network, size, find_device())
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    count = classifier.reading.num_classes
    published = count == configuration.num_classes and bool(configuration.classes)
    found = Found(name, "callable", "as they are given", count, configuration, published)
    return found.opened(
        classifier,
        said,
        out,
        weights_hash=_hash_of(network),
        torch_module=classifier if module else None,
        remarks=tuple(filter(None, [classifier.reading.remark])),
    )


def _hash_of(network: Network) -> str:
    """Of a module what it is made of and its weights; nothing tells two functions apart, so none is another."""
    if not isinstance(network, nn.Module):
        return f"unknown:{uuid.uuid4().hex}"
    made = hashlib.sha256(f"{network}\n{weights_hash(network)}".encode())
    return f"sha256:{made.hexdigest()}"
