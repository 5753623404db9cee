"""Classifiers that were not made here, with the interface of those that were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from longcut.core.features import feature_dim
from longcut.evaluation.foreign.outputs import Claim, Reading, as_tensor, tell_outputs
from longcut.evaluation.models import ImageNetClassifier

_PROBED, _PROBED_FURTHER = 4, 28
"""Images that tell what a model gives: at first, and where these leave it open."""


class ForeignClassifier(nn.Module):
    """A function from images to scores of classes, as a classifier: its features are its logits.

    Args:
        network: normalised images `[b, 3, h, w]` to scores; a `torch.nn.Module` becomes part of this one.
        reading: how logits are made of the scores.
    """

    def __init__(self, network: Callable[[Tensor], Any], reading: Reading) -> None:
        super().__init__()
        self.network = network
        self.reading = reading

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n"]:
        """Logits."""
        return self.reading.logits(as_tensor(self.network(images), images), len(images))

    def classify(self, features: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """The logits, as they are."""
        return features

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n"]:
        """Logits."""
        return self.encode(images)


class BackboneClassifier(nn.Module):
    """A backbone and a linear head, named as those of a run's method are.

    Args:
        backbone: images to pooled features.
        num_classes: size of the head.
    """

    def __init__(self, backbone: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(feature_dim(backbone), num_classes)

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Pooled features."""
        features: Tensor = self.backbone(images)
        return features

    def classify(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b n"]:
        """Logits."""
        logits: Tensor = self.head(features)
        return logits

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n"]:
        """Logits."""
        return self.classify(self.encode(images))


@torch.no_grad()
def read_network(
    network: Callable[[Tensor], Any], image_size: int, device: torch.device, *, outputs: Claim = "auto"
) -> ForeignClassifier:
    """A function from images to scores as a classifier; a few made images tell what it gives.

    Args:
        network: as `ForeignClassifier` takes it, on the device where it is a module.
        image_size: of its images.
        device: where they are.
        outputs: what a person says that it gives.

    Raises:
        ValueError: it fails on such images, or gives no scores of classes.
    """
    generator = torch.Generator().manual_seed(0)

    def outputs_of(count: int) -> Tensor:
        images = torch.randn(count, 3, image_size, image_size, generator=generator).to(device)
        try:
            found = network(images)
        except Exception as error:  # it is anybody's code
            raise ValueError(f"it fails on images {[*images.shape]} ({reason_of(error)})") from error
        return as_tensor(found, images)

    reading = tell_outputs(outputs_of(_PROBED), _PROBED, outputs)
    if (
        reading.binary and reading.probabilities
    ):  # of so few single logits, all lie within 0 to 1 by chance now and then
        reading = tell_outputs(outputs_of(_PROBED_FURTHER), _PROBED_FURTHER, outputs)
    return ForeignClassifier(network, reading)


@torch.no_grad()
def is_split_right(classifier: ImageNetClassifier, image_size: int) -> bool:
    """Whether features and head of a model of timm's, one after the other, are the model: of most they are."""
    image = torch.randn(1, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
    try:
        logits = classifier.classify(classifier.encode(image))
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):  # a part of it is none, or takes no such map
        return False
    expected = classifier.model(image)
    return logits.shape == expected.shape and torch.allclose(logits, expected, rtol=1e-3, atol=1e-4)


def reason_of(error: Exception) -> str:
    """What anybody's code failed for, in a line."""
    return f"{type(error).__name__}: {(str(error) or repr(error)).splitlines()[0]}"
