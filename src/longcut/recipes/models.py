"""Any model by its name, ready to be measured."""

from __future__ import annotations

from pathlib import Path

from longcut.engine.launch import keep_memory
from longcut.engine.run_folder import kept_checkpoints
from longcut.evaluation.foreign.outputs import Claim
from longcut.evaluation.heads import Head
from longcut.recipes.opening.model import Model, ModelOptions, Triple
from longcut.recipes.opening.sources import open_source, source_of

__all__ = ["Head", "Model", "ModelOptions", "kept_selections", "open_model", "results_folder"]


def open_model(
    name: str,
    *,
    selection: str = "last",
    head: Head = "own",
    weights: str | None = None,
    arch: str | None = None,
    class_names: Path | None = None,
    image_size: int | None = None,
    mean: Triple | None = None,
    std: Triple | None = None,
    outputs: Claim = "auto",
    out: Path | None = None,
    or_random: bool = False,
) -> tuple[Model, Path]:
    """A model by its name, and the folder that its results go to.

    From here on the process keeps memory that is freed (`longcut.engine.launch.keep_memory`).

    Args:
        name: a run's folder (`DIR` or `run:DIR`), `timm:NAME`, `torchvision:NAME`, a weights file
            (`FILE.safetensors`, `FILE.pt`) with `arch`, `onnx:FILE`, or `package.module:callable` for a
            `torch.nn.Module`, what makes one, or a function from normalised images `[b, 3, h, w]` to scores `[b, n]`.
        selection: which of a run's checkpoints.
        head: what classifies a run's features: its `own` head, the `linear` probe that `longcut probe` fitted, or the
            last layer that `longcut dfr` retrained.
        weights: for `timm:NAME` and `torchvision:NAME`, a local file, or `none` for random ones; their own where None.
        arch: of a weights file: a name of timm's, `torchvision:NAME`, or a backbone of longcut's.
        class_names: text file with the name of a class on each line, in the order of the scores.
        image_size: side of the images in pixels; the model's own where None, as are
        mean: what is subtracted from each channel of images from 0 to 1, and
        std: what they are divided by then.
        outputs: what `onnx:FILE` or a callable gives, where that must not be told from a few outputs.
        out: folder of the results; where None the run's own, for other models one in `runs` that is called like them.
        or_random: take random weights where published ones cannot be had; `subject.starting_weights` says so.

    Raises:
        ValueError: there is no such model, its weights cannot be had or do not fit, or what is said of it is not so.
    """
    options = ModelOptions(
        selection=selection,
        head=head,
        weights=weights,
        arch=arch,
        class_names=class_names,
        image_size=image_size,
        mean=mean,
        std=std,
        outputs=outputs,
        or_random=or_random,
    )
    keep_memory()
    folder = out or results_folder(name)
    return open_source(name, options, folder), folder


def kept_selections(name: str | Path) -> list[str]:
    """The selection rules of which a run kept a checkpoint; `last` alone for what was not trained here.

    Raises:
        ValueError: the folder holds no checkpoint.
    """
    kind, rest = source_of(str(name))
    if kind != "run":
        return ["last"]
    folder = Path(rest)
    kept = kept_checkpoints(folder)
    if not kept:
        raise ValueError(f"{folder} holds no checkpoint of a run: make one with 'longcut train METHOD --out {folder}'")
    return kept


def results_folder(name: str, parent: Path = Path("runs")) -> Path:
    """Where the results of a model go: a run's own folder, for other models one in `parent` that is called like them.

    Raises:
        ValueError: the name is of no kind of model.
    """
    kind, rest = source_of(name)
    return Path(rest) if kind == "run" else parent / name.replace(":", "_").replace("/", "_")
