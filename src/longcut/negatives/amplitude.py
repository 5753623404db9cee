"""The shape of one image with the texture statistics of another, by the Fourier transform."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

_HIGHEST = {np.dtype(np.uint8): 255.0, np.dtype(np.float32): 1.0, np.dtype(np.float64): 1.0}


def mix_amplitude(content: NDArray[Any], style: NDArray[Any], *, share: float = 1.0) -> NDArray[Any]:
    """Keep the phase of the content's Fourier transform and mix its amplitude with the style's.

    Phase carries edges and where they are, amplitude carries contrast, colour and the strength of each frequency. The
    transform is taken for each channel over the whole image, so the mean colour follows the style too. A frequency that
    the content lacks has no phase: it is taken as 0.

    Args:
        content: `[..., h, w, c]`, uint8 in [0, 255] or float in [0, 1].
        style: of the content's shape and type.
        share: how much of the amplitude is the style's: 0 gives the content, 1 (the default) the style's alone.

    Returns:
        Of the content's shape and type, clipped to its range; uint8 is rounded to the nearest value.

    Raises:
        ValueError: the images differ in shape or type, have no height or width, or the share is outside [0, 1].

    Source:
        Xu et al., "A Fourier-based framework for domain generalization" (CVPR 2021), equation 3, without their crop
        to low frequencies.
    """
    if content.shape != style.shape or content.dtype != style.dtype:
        raise ValueError(
            f"content {_kind(content)} and style {_kind(style)} must agree in size and type: resize or convert one"
        )
    if content.ndim < 3 or content.size == 0 or content.dtype not in _HIGHEST:
        raise ValueError(f"images are uint8 or float [..., h, w, c] of at least one pixel, not {_kind(content)}")
    if not 0 <= share <= 1:
        raise ValueError(f"share is from 0 (the content's amplitude) to 1 (the style's), not {share}")
    mixed = _mix(_planes(content), _planes(style), share, content.shape[-3:-1])
    mixed = np.moveaxis(np.clip(mixed, 0, _HIGHEST[content.dtype], out=mixed), -3, -1)
    return (np.rint(mixed) if content.dtype == np.uint8 else mixed).astype(content.dtype, order="C")


def _kind(image: NDArray[Any]) -> str:
    return f"{list(image.shape)} {image.dtype}"


def _planes(image: NDArray[Any]) -> NDArray[Any]:
    """`[..., h, w, c]` as contiguous floats `[..., c, h, w]`."""
    working = np.float64 if image.dtype == np.float64 else np.float32
    return np.ascontiguousarray(np.moveaxis(image, -1, -3), dtype=working)


def _mix(content: NDArray[Any], style: NDArray[Any], share: float, size: tuple[int, ...]) -> NDArray[Any]:
    spectrum = scipy.fft.rfft2(content)
    amplitude, other = np.abs(spectrum), np.abs(scipy.fft.rfft2(style))
    # Rounding leaves up to 0.7 of this where the content has nothing, with a phase of its own: taken as 0.
    silent = amplitude <= np.finfo(amplitude.dtype).eps * amplitude.max(axis=(-2, -1), keepdims=True)
    styled = share * other
    gain = (1 - share) + np.divide(styled, amplitude, out=np.zeros_like(styled), where=~silent)
    spectrum *= np.where(silent, 0, gain)
    spectrum += np.where(silent, styled, 0)
    return scipy.fft.irfft2(spectrum, s=size, overwrite_x=True)
