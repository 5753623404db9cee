"""Whole classifiers of timm's, head included."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from longcut.backbones.create import create_backbone
from longcut.backbones.weights import load_classifier_weights


def create_classifier(name: str, weights: str | None = None, *, image_size: int | None = None) -> tuple[nn.Module, str]:
    """A timm model of 1000 classes with its weights, in evaluation mode.

    Args:
        name: timm's, as `resnet50` or with a tag `resnet50.a1_in1k`.
        weights: a local file; where None timm's own are downloaded, or found where they were downloaded before.
        image_size: side of the images in pixels, for networks that are built for one size.

    Returns:
        The model and a description of its weights.

    Raises:
        ValueError: the name is unknown, or the weights are missing, do not fit or cannot be downloaded.
    """
    model = create_backbone(name, image_size=image_size, num_classes=1000)
    return model.eval(), load_classifier_weights(model, Path(weights) if weights else None, name)
