"""A model over every variant of every image: three numbers each, kept on disk as they come."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from longcut.data.decoding import write_whole
from longcut.data.loader import Normalisation
from longcut.data.order import evaluation_keys
from longcut.engine.logs import ProgressLine
from longcut.evaluation.audit.effects import Scores
from longcut.evaluation.finite import check_answers
from longcut.recipes.array_files import write_arrays
from longcut.recipes.audit.ahead import ahead

Indices = NDArray[np.int64]
_USABLE = "usable"
_PARTS = ("predicted", "confidence", "probability")


@dataclass(frozen=True)
class Changed:
    """A batch's variants.

    Attributes:
        makers: what makes each: `[b, 3, h, w]`, 0 to 1, one at a time.
        usable: `[b]` for each cue, the images that it can be swapped in.
    """

    makers: Mapping[str, Callable[[], Tensor]]
    usable: Mapping[str, Tensor]


@dataclass(frozen=True)
class Pass:
    """What a pass over the images gave: scores of each variant, and `[s]` for each cue the images that have it."""

    scores: dict[str, Scores]
    usable: dict[str, NDArray[np.bool_]]


class Logits(nn.Module):
    """A classifier from images of 0 to 1 to logits: normalised, encoded, classified.

    In float32, as `longcut evaluate` computes: a score is the same whatever precision the device would be fastest in.
    Images lie channels last, as convolutions are fastest, unless the network has none, or fails on such images.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, network: Any, normalisation: Normalisation, device: torch.device) -> None:
        super().__init__()
        self.network = network
        mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (normalisation.mean, normalisation.std))
        self.register_buffer("scale", 1 / std, persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)
        convolves = any(parameter.ndim == 4 for parameter in self.parameters())
        self.layout = torch.channels_last if convolves else torch.contiguous_format

    def forward(self, images: Tensor) -> Tensor:
        """`[b, 3, h, w]` to `[b, n]`."""
        normalised = torch.addcmul(self.shift, images, self.scale)
        try:
            return self._logits(normalised)
        except RuntimeError:
            if self.layout == torch.contiguous_format:
                raise
            # Anybody's network may view a map as rows, which is no view of what lies channels last.
            self.layout = torch.contiguous_format
            return self._logits(normalised)

    def _logits(self, normalised: Tensor) -> Tensor:
        features = self.network.encode(normalised.contiguous(memory_format=self.layout))
        logits: Tensor = self.network.classify(features)
        return logits


@dataclass(frozen=True)
class Scorer:
    """Runs a model over an audit's images, batch by batch.

    Attributes:
        model: from images of 0 to 1 to logits.
        name: of the model.
        paths: `[s]` of the images.
        batch: images at a time.
        parts: folder of what is done; a second attempt goes on from there.
    """

    model: nn.Module
    name: str
    paths: Sequence[str]
    batch: int
    parts: Path

    @torch.inference_mode()
    def run(self, name: str, change: Callable[[Indices], Changed], reference: Indices | None) -> Pass:
        """Scores of each variant.

        Args:
            name: of this pass.
            change: the variants of the images at some positions.
            reference: `[s]` the class whose probability is kept; each image's own prediction where None.

        Raises:
            NotFiniteError: some answers name no class; see `check_answers`.
        """
        keys = evaluation_keys(len(self.paths), self.batch)
        files = [self.parts / name / f"{place:06d}.npz" for place in range(len(keys))]
        left = [(indices, file) for indices, file in zip(keys, files, strict=True) if not file.is_file()]
        done = len(files) - len(left)
        # A CPU has no hands free for reading: there the model takes every core.
        in_turn = ahead if any(buffer.is_cuda for buffer in self.model.buffers()) else map
        batches = iter(in_turn(change, [indices for indices, _ in left]))
        with ProgressLine(done, len(keys), name) as progress:
            for place, (indices, file) in enumerate(left, done + 1):
                of = None if reference is None else torch.from_numpy(reference[indices])
                # Under no name here, which would hold a batch while the next is read.
                arrays = self._arrays(next(batches), of)
                self._check(arrays, indices)
                write_arrays(file, **arrays)
                progress.advance(place, len(indices), None)
        return _joined(files)

    def _arrays(self, changed: Changed, reference: Tensor | None) -> dict[str, NDArray[Any]]:
        tensors: dict[str, Tensor] = {f"{_USABLE}.{cue}": flags for cue, flags in changed.usable.items()}
        for name, make in changed.makers.items():
            probabilities = self.model(make()).float().softmax(dim=1)
            confidence, predicted = probabilities.max(dim=1)
            of = predicted if reference is None else reference.to(predicted.device)
            probability = probabilities.gather(1, of[:, None])[:, 0]
            tensors |= {f"{name}.predicted": predicted, f"{name}.confidence": confidence}
            tensors[f"{name}.probability"] = probability
        return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}

    def _check(self, arrays: Mapping[str, NDArray[Any]], indices: Indices) -> None:
        paths = [self.paths[index] for index in indices.tolist()]
        for key, values in arrays.items():
            variant, _, part = key.rpartition(".")
            if part == "confidence":
                check_answers(values, paths, self.name, form=variant.replace("_", " "))


def open_parts(folder: Path, key: Mapping[str, Any]) -> Path:
    """The folder of what is done of an audit, emptied where that was of another model, other images or settings."""
    note = folder / "key.json"
    text = json.dumps(key, sort_keys=True)
    if not note.is_file() or note.read_text("utf-8") != text:
        shutil.rmtree(folder, ignore_errors=True)
        write_whole(note, text.encode())
    return folder


def _joined(files: Sequence[Path]) -> Pass:
    parts = []
    for file in files:
        with np.load(file) as arrays:
            parts.append(dict(arrays))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    usable = {name.removeprefix(f"{_USABLE}."): columns[name] for name in columns if name.startswith(f"{_USABLE}.")}
    names = dict.fromkeys(name.removesuffix(".predicted") for name in columns if name.endswith(".predicted"))
    scores = {name: Scores(*(columns[f"{name}.{part}"] for part in _PARTS)) for name in names}
    return Pass(scores, usable)
