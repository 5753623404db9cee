"""What a model says of a data set: by one pass over it, or from logits that are known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longcut.core import Batch
from longcut.data.image_set import ImageSet
from longcut.evaluation.finite import check_answers
from longcut.evaluation.predictions import Predictions


class Classifier(Protocol):
    """What `collect` needs of a model: features, and the logits that follow from them."""

    def encode(self, images: Tensor) -> Tensor:
        """`[b, c, h, w]` to `[b, d]`."""
        ...

    def classify(self, features: Tensor) -> Tensor:
        """`[b, d]` to `[b, n]`."""
        ...


@torch.inference_mode()
def collect(
    model: Classifier, batches: Iterable[Batch], images: ImageSet, *, whose: str = "the network"
) -> Predictions:
    """Run a model over every batch, once, and keep what it says.

    Nothing is copied from the device before the end.

    Args:
        model: a method, or any other classifier; put it into evaluation mode first.
        batches: every image of the set once, in order.
        images: the set.
        whose: what the answers are of, for the message.

    Raises:
        NotFiniteError: some answers name no class; see `check_answers`.
    """
    parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for batch in batches:
        encoded = model.encode(batch.images)
        parts.append((model.classify(encoded).float(), encoded.half(), batch.targets, batch.indices))
    logits, features, targets, indices = (torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True))
    paths = tuple(images.paths[i] for i in indices)
    if logits.shape[1]:
        check_answers(logits.max(axis=1), paths, whose)
    return Predictions(
        logits=logits,
        features=features,
        targets=targets,
        indices=indices,
        paths=paths,
        root=str(images.root),
        classes=images.classes,
        bias=None if images.bias is None else images.bias[np.asarray(indices)],
        bias_names=images.bias_names,
    )


def predictions_of(images: ImageSet, logits: NDArray[np.float32]) -> Predictions:
    """Predictions whose logits `[s, n]` are known for every image of a set, in its order; without features."""
    return Predictions(
        logits=logits,
        features=np.empty((len(images), 0), np.float16),
        targets=images.targets,
        indices=np.arange(len(images)),
        paths=images.paths,
        root=str(images.root),
        classes=images.classes,
        bias=images.bias,
        bias_names=images.bias_names,
    )
