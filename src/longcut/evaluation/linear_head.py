"""A last layer kept beside the encoder that it was fitted on, so that the two are a classifier."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from longcut.data.decoding import write_whole
from longcut.evaluation.heads import KEPT
from longcut.evaluation.linear_probe import Linear
from longcut.evaluation.results import weights_hash as hash_of


@dataclass(frozen=True)
class LinearHead:
    """A linear classifier on the frozen features of one set of weights."""

    linear: Linear
    classes: tuple[str, ...]
    weights_hash: str
    """Of the encoder."""

    def save(self, folder: Path, kind: str = "linear") -> None:
        """Write it into a run's folder, whole or not at all; `kind` is a key of `heads.KEPT`."""
        stream = io.BytesIO()
        np.savez(
            stream,
            allow_pickle=False,
            weight=self.linear.weight.cpu().numpy(),
            bias=self.linear.bias.cpu().numpy(),
            classes=np.array(self.classes, np.str_),
            weights_hash=np.array(self.weights_hash),
        )
        write_whole(folder / KEPT[kind].file, stream.getvalue())

    @classmethod
    def load(cls, folder: Path, weights_hash: str, kind: str = "linear") -> LinearHead:
        """Read what `save` wrote.

        Raises:
            ValueError: there is none, or it belongs to other weights.
        """
        kept = KEPT[kind]
        file = folder / kept.file
        if not file.is_file():
            raise ValueError(f"{folder} has no {kept.title} yet: fit one with '{kept.command} {folder} --data DIR'")
        with np.load(file) as arrays:
            linear = Linear(torch.from_numpy(arrays["weight"]), torch.from_numpy(arrays["bias"]))
            head = cls(linear, tuple(map(str, arrays["classes"])), str(arrays["weights_hash"]))
        if head.weights_hash != weights_hash:
            raise ValueError(
                f"the {kept.title} in {folder} was fitted on other weights: fit it again with "
                f"'{kept.command} {folder} --data DIR'"
            )
        return head


class ProbedEncoder(nn.Module):
    """An encoder with a last layer that was fitted on its features.

    Args:
        encoder: gives features by its `encode`.
        head: fitted on them.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, encoder: Any, head: LinearHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("weight", head.linear.weight)
        self.register_buffer("bias", head.linear.bias)

    def encode(self, images: Tensor) -> Tensor:
        """`[b, c, h, w]` to features `[b, d]`."""
        features: Tensor = self.encoder.encode(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """`[b, d]` to class logits `[b, n]`."""
        return Linear(self.weight, self.bias)(features.to(self.weight.dtype))

    def forward(self, images: Tensor) -> Tensor:
        """Class logits of the images."""
        return self.classify(self.encode(images))

    def name(self, kind: str) -> str:
        """What results call the head: its kind, a key of `heads.KEPT`, and a hash of the encoder with it."""
        return f"{kind}:{hash_of(self).removeprefix('sha256:')[:16]}"
