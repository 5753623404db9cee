"""One door to the corruptions of ImageNet-C.

Hendrycks, Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations", ICLR 2019:
fifteen corruptions that are evaluated and four for development, each at five severities.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from longcut.corruptions import blur, digital, noise, weather
from longcut.corruptions.spatter import spatter

Corruption = Callable[[Tensor, int, float, "torch.Generator | None"], Tensor]
"""Float images `[b, 3, h, w]` in [0, 1], severity, scale, generator -> images, not yet clipped."""

_EVALUATED: dict[str, Corruption] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": digital.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
}
_DEVELOPMENT: dict[str, Corruption] = {
    "speckle_noise": noise.speckle_noise,
    "gaussian_blur": blur.gaussian_blur,
    "spatter": spatter,
    "saturate": digital.saturate,
}
_ALL = _EVALUATED | _DEVELOPMENT
_PUBLISHED_SIDE = 224
_SMALLEST = 16

CORRUPTIONS: tuple[str, ...] = tuple(_EVALUATED)
"""The fifteen that ImageNet-C's scores are made of."""
EXTRA: tuple[str, ...] = tuple(_DEVELOPMENT)
"""The four for development, which the scores leave out."""


@torch.no_grad()
def corrupt(
    images: UInt8[Tensor, "b 3 h w"] | Float[Tensor, "b 3 h w"],
    name: str,
    severity: int,
    *,
    generator: torch.Generator | None = None,
    scale: bool = True,
) -> UInt8[Tensor, "b 3 h w"] | Float[Tensor, "b 3 h w"]:
    """Corrupt a batch of images as ImageNet-C does.

    The published parameters are for 224 pixels, and at a shorter side of 224 they are taken as they are. A trail of 40
    pixels leaves nothing of an image of 64, so by default what is measured in pixels (radii, blurs, displacements,
    flakes, drops, frost) is scaled by the shorter side over 224: the scene looks the same at every size, and where the
    mildest blurs are less than a third of a pixel they hardly show. What is a share (zoom, pixelate), a level
    (brightness) or belongs to the pixel (noise, JPEG's blocks) stays.
    The images are not compressed after, as the published files are (JPEG at quality 85).

    Args:
        images: RGB, uint8 or float in [0, 1].
        name: one of `CORRUPTIONS` or `EXTRA`.
        severity: 1 to 5.
        generator: what is drawn comes from it, in the order of the batch; torch's default if None. It may live on the
            CPU while the images do not, which then gives the same on every device.
        scale: False takes the published parameters as pixels at every size.

    Returns:
        The corrupted images, of the same type, shape and device. Uint8 is rounded down, as published. No gradient
        passes. All is done in batch on the device but for `jpeg_compression`, which libjpeg does image by image on the
        CPU.

    Raises:
        ValueError: an unknown name, a severity outside 1 to 5, images of another type or shape, smaller than 16 pixels,
            or with values outside [0, 1].
    """
    if name not in _ALL:
        nearest = difflib.get_close_matches(name, _ALL, n=1, cutoff=0.0)[0]
        raise ValueError(f"no corruption is called {name!r}: did you mean {nearest!r}? There are {', '.join(_ALL)}")
    if severity not in (1, 2, 3, 4, 5):
        raise ValueError(f"severity must be 1, 2, 3, 4 or 5, not {severity}")
    _check(images)
    if not len(images):
        return images.clone()
    factor = min(images.shape[-2:]) / _PUBLISHED_SIDE if scale else 1.0
    with torch.autocast(images.device.type, enabled=False):
        values = images.float() / 255 if images.dtype == torch.uint8 else images.float()
        corrupted = _ALL[name](values, severity, factor, generator).clamp(0, 1)
    if images.dtype == torch.uint8:
        # The summand lets a value that is unchanged but for its rounding keep its level.
        return (corrupted * 255 + 1e-3).to(torch.uint8)
    return corrupted.to(images.dtype)


def _check(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[-2:]) < _SMALLEST:
        raise ValueError(
            f"images of shape {tuple(images.shape)} cannot be corrupted: give RGB as [b, 3, h, w], "
            f"at least {_SMALLEST} pixels high and wide"
        )
    if images.dtype == torch.uint8:
        return
    if not images.is_floating_point():
        raise ValueError(f"images must be uint8 or float, not {images.dtype}: convert them with .to(torch.uint8)")
    if not bool(((images >= 0) & (images <= 1)).all()):
        raise ValueError(
            f"float images must lie in [0, 1], not {images.min():.3g} to {images.max():.3g}: give them as they are "
            "before normalisation, or as uint8"
        )
