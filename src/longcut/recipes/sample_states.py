"""What a run kept of each sample, and the images that it was trained on: the same ones, in the same order."""

from __future__ import annotations

import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from longcut.core import Method
from longcut.data.image_set import ImageSet
from longcut.data.store import Store
from longcut.engine.checkpoint import load_checkpoint
from longcut.engine.run_folder import CHECKPOINTS, read_settings
from longcut.engine.settings import Settings
from longcut.recipes.inputs import Inputs, Say, training_images, training_store, with_companions

State = Mapping[str, NDArray[np.floating]]
"""Name -> `[s]`: the arrays of `Method.sample_state`."""


@dataclass(frozen=True)
class SampleStates:
    """Copies of a run's state, one for each step at which it was made.

    Attributes:
        copies: by step, in order: a file, or the arrays themselves.
    """

    copies: Mapping[int, Path | State]

    @property
    def last(self) -> int:
        """The last step with a copy."""
        return max(self.copies)

    def read(self, step: int) -> State:
        """The arrays of one step.

        Raises:
            ValueError: the file cannot be read.
        """
        copy = self.copies[step]
        if not isinstance(copy, Path):
            return copy
        try:
            with np.load(copy) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{copy} is broken: {error}; remove it to analyse the other steps") from None


def find_states(folder: Path, method: Method, step: int) -> SampleStates:
    """The copies that a run kept; where it was not told to keep any, the state in its checkpoint alone.

    Args:
        folder: of the run.
        method: that it trained, as its last checkpoint has it.
        step: of that checkpoint.

    Raises:
        ValueError: the method has no such state.
    """
    state = method.sample_state()
    if not state:
        raise ValueError(
            f"{folder} was trained by {type(method).__name__}, which keeps nothing of each sample: analyse a run of "
            "intrinsic, lff or disent, and name this one with --beside"
        )
    files = {int(file.stem): file for file in (folder / "sample_state").glob("*.npz") if file.stem.isdecimal()}
    return SampleStates(
        dict(sorted(files.items())) or {step: {name: values.cpu().numpy() for name, values in state.items()}}
    )


def trained_on(folder: Path, method: Method, data: Path, *, skip_bad: bool, say: Say) -> Store:
    """The images that a run was trained on, with their bias labels even where it was told to ignore them.

    Args:
        folder: of the run.
        method: that it trained.
        data: where the images are now.
        skip_bad: leave out the unreadable ones, where training did.
        say: is told what is going on.

    Raises:
        ValueError: they are not those that the run was trained on, or not labelled so that one is aligned or conflicts.
    """
    settings = _with_bias(read_settings(folder))
    paths = tomllib.loads((folder / "settings.toml").read_text("utf-8")).get("paths", {})
    inputs = Inputs(data, skip_bad=skip_bad, **{k: Path(v) for k, v in paths.items() if k != "data"})
    images = training_images(settings, inputs)
    _check_bias(images, data)
    images = with_companions(settings, method, inputs, images, say)
    store = training_store(settings, method, inputs, images, say)
    about = load_checkpoint(folder / CHECKPOINTS["last"])["about"]
    difference = _difference(store, method, about)
    if difference:
        other = f" ({paths['data']})" if "data" in paths else ""
        raise ValueError(
            f"{folder} was trained on other data than {data}: {difference}; give what it was trained on{other}"
        )
    if "data_hash" not in about:
        say(f"{folder} does not know the hash of its images: their number, classes and groups alone were compared")
    return store


def _with_bias(settings: Settings) -> Settings:
    return settings.model_copy(update={"data": settings.data.model_copy(update={"bias_labels": True})})


def _check_bias(images: ImageSet, data: Path) -> None:
    if images.bias is None:
        raise ValueError(
            f"{data} has no bias labels of its training images: an analysis needs to know which of them are "
            "bias-aligned; give data with a column 'bias', or in a layout that has one"
        )
    if not images.bias_is_paired:
        values, classes = len(images.bias_names), len(images.classes)
        raise ValueError(
            f"{data} has {values} values of the bias, which do not go with its {classes} classes: no image is "
            "aligned or conflicts; name the values that go with classes like these"
        )


def _difference(store: Store, method: Method, about: Mapping[str, Any]) -> str:
    """The first thing by which images differ from those that a run was trained on; empty where none is found."""
    images, facts = store.images, about["facts"]
    if list(images.classes) != list(about["classes"]):
        return f"its classes are {', '.join(images.classes)}, not {', '.join(about['classes'])}"
    if len(images) != facts["num_samples"]:
        return f"it holds {len(images)} training images, not {facts['num_samples']}"
    counts = [list(row) for row in facts["group_counts"]]
    if facts["num_bias"] and counts != [list(row) for row in images.group_counts()]:
        return "it has other numbers of images in its groups of class and bias"
    wrong = _other_targets(method, images)
    if len(wrong):
        return f"{images.paths[wrong[0]]} is of another class"
    return "its images have another hash" if about.get("data_hash", store.digest) != store.digest else ""


def _other_targets(method: Method, images: ImageSet) -> NDArray[np.int64]:
    """Positions of images whose class is not the one that a table of the method's has kept of them."""
    targets = torch.from_numpy(images.targets)
    kept = [
        buffer.cpu()
        for name, buffer in method.named_buffers()
        if name.rpartition(".")[2] == "targets" and buffer.shape == targets.shape
    ]
    wrong = [(table >= 0) & (table != targets) for table in kept]  # -1: not yet seen
    return torch.stack(wrong).any(0).nonzero()[:, 0].numpy() if wrong else np.zeros(0, np.int64)
