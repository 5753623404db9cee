"""What a model that is not ours gives for its images, and how logits are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Claim = Literal["auto", "logits", "probabilities"]
"""What a person says that a model gives; `auto` is told from a few images."""
_ROUNDING = 0.01  # probabilities of 1000 classes in half precision sum to 1 within this


@dataclass(frozen=True)
class Reading:
    """How outputs become logits.

    Attributes:
        num_classes: columns of the logits.
        binary: whether there is one score for each image, which is that of the second of two classes.
        probabilities: whether outputs are probabilities, so that their logarithm is taken.
    """

    num_classes: int
    binary: bool = False
    probabilities: bool = False

    @property
    def remark(self) -> str:
        """What was made of the outputs, for people; empty where they are logits."""
        if self.binary:
            kind = "probabilities (else --outputs logits)" if self.probabilities else "logits"
            return f"the model gives one score for each image: {kind} of the second of two classes"
        return "the model gives probabilities: their logarithm is taken for logits" if self.probabilities else ""

    def logits(self, outputs: Tensor, count: int) -> Float[Tensor, "b n"]:
        """Logits of `count` images.

        Raises:
            ValueError: the outputs have another shape than those that this was told from, or are no probabilities any
                more.
        """
        expected = [(count,), (count, 1)] if self.binary else [(count, self.num_classes)]
        if tuple(outputs.shape) not in expected:
            raise ValueError(
                f"the model gave {_shape(outputs)} for {count} images, and {_shape(outputs, self)} was expected"
            )
        outputs = outputs.float()
        if self.probabilities and not are_probabilities(outputs, binary=self.binary):
            raise ValueError(
                "the model gave probabilities for the first images and others for these: say what they are with "
                "--outputs logits"
            )
        tiny = torch.finfo(outputs.dtype).tiny
        if not self.binary:
            return outputs.clamp(min=tiny).log() if self.probabilities else outputs
        score = outputs.reshape(count)
        if self.probabilities:
            return torch.stack([(1 - score).clamp(min=tiny).log(), score.clamp(min=tiny).log()], dim=1)
        return torch.stack([torch.zeros_like(score), score], dim=1)


def are_probabilities(outputs: Tensor, *, binary: bool) -> bool:
    """Whether values lie in 0 to 1 and, where there is a column for each class, rows sum to 1."""
    within = (outputs >= 0) & (outputs <= 1 + _ROUNDING)
    if binary:
        return bool(within.all())
    return bool(within.all() and ((outputs.sum(dim=1) - 1).abs() <= _ROUNDING).all())


def tell_outputs(outputs: Tensor, count: int, claim: Claim = "auto") -> Reading:
    """Tell what a model gives from what it gave for `count` images.

    Args:
        outputs: for a few images.
        count: how many these were, at least 2.
        claim: what a person says of them.

    Raises:
        ValueError: they are no scores of classes, not finite, or not what is claimed.
    """
    if claim not in get_args(Claim):
        raise ValueError(f"outputs are one of {', '.join(get_args(Claim))}, not {claim!r}")
    shape = tuple(outputs.shape)
    if shape[:1] != (count,) or len(shape) > 2 or 0 in shape:
        raise ValueError(f"it gives {_shape(outputs)} for {count} images; [{count}, classes] is needed")
    if not outputs.is_floating_point():
        raise ValueError(
            f"it gives {str(outputs.dtype).removeprefix('torch.')}, numbers of classes for one, and no scores of them; "
            "what it predicts can be measured by predictions:FILE.csv"
        )
    if not outputs.isfinite().all():
        raise ValueError("it gives values that are not finite")
    binary = len(shape) == 1 or shape[1] == 1
    found = claim != "logits" and are_probabilities(outputs.float(), binary=binary)
    if claim == "probabilities" and not found:
        raise ValueError(
            "it gives no probabilities, whatever --outputs says: rows are not within 0 to 1, or sum to others"
        )
    return Reading(2 if binary else shape[1], binary, found)


def as_tensor(outputs: Any, images: Tensor) -> Tensor:
    """A model's outputs as a tensor on the images' device: as they are, of numpy, or what a `logits` of them holds.

    Raises:
        ValueError: they are neither.
    """
    outputs = getattr(outputs, "logits", outputs)
    if isinstance(outputs, np.ndarray):
        outputs = torch.from_numpy(outputs)
    if not isinstance(outputs, Tensor):
        raise ValueError(f"it gives a {type(outputs).__name__}; a tensor [images, classes] is needed")
    return outputs.to(images.device)


def _shape(outputs: Tensor, reading: Reading | None = None) -> str:
    if reading is None:
        return f"the shape {[*outputs.shape]}"
    return "one score for each" if reading.binary else f"[images, {reading.num_classes}]"
