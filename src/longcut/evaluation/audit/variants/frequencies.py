"""Images without their fine detail, and without all that is coarse."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from longcut.corruptions.filters import gaussian
from longcut.evaluation.audit.variants.regions import as_colour
from longcut.evaluation.audit.variants.types import Views

_PARTS = 32


def low_pass(views: Views) -> Float[Tensor, "b 3 h w"]:
    """A Gaussian blur; its standard deviation is the shorter side over 32, at least a pixel."""
    return _blurred(views.images).clamp_(0, 1)


def high_pass(views: Views) -> Float[Tensor, "b 3 h w"]:
    """What `low_pass` takes away, about the data set's mean colour, clipped: the image's own is low frequency too."""
    return (views.images - _blurred(views.images)).add_(as_colour(views.mean, views.images)).clamp_(0, 1)


def _blurred(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    sigma = max(1.0, min(images.shape[2:]) / _PARTS)
    return gaussian(images, sigma, border="mirror")
