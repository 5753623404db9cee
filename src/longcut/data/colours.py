"""Changes of an image's colours as one affine map of RGB, drawn for a whole batch at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GREY = np.array([0.299, 0.587, 0.114])
"""Shares of red, green and blue in an image's luma."""
COLOUR_UNIFORMS = 6
"""How many uniforms a change is drawn from."""
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


def draw_colours(
    uniforms: NDArray[np.float64],
    *,
    jitter: tuple[float, float, float, float],
    jitter_probability: float,
    grey: float,
) -> tuple[NDArray[np.bool_], NDArray[np.float64] | None]:
    """Draw changes of the colours for each image of a batch.

    Args:
        uniforms: `[b, COLOUR_UNIFORMS]` in [0, 1).
        jitter: strengths of brightness, contrast, saturation and hue.
        jitter_probability: how likely an image's colours are jittered at all.
        grey: probability of an image without colour.

    Returns:
        `[b]` whose colours change, and their `colour_matrices`; None where no image's do.
    """
    strengths = np.array(jitter)
    changed = (uniforms[:, 4] < jitter_probability) & strengths.any()
    greyed = uniforms[:, 5] < grey
    if not (changed.any() or greyed.any()):
        return greyed, None
    low, high = np.append(np.maximum(0, 1 - strengths[:3]), -strengths[3]), np.append(1 + strengths[:3], strengths[3])
    matrices = colour_matrices(low + uniforms[:, :4] * (high - low))
    matrices[~changed] = np.eye(3, 4)
    matrices[greyed] = GREY @ matrices[greyed][:, None]  # every channel becomes the luma; the share of grey stays
    return changed | greyed, matrices


def colour_matrices(colours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Brightness, contrast, saturation and hue as one affine map of RGB, applied in this order.

    torchvision clips after each of them and draws their order; here the one clip is at the end. Hue turns the chroma
    plane of YIQ, which keeps luma; torchvision turns HSV's.

    Args:
        colours: `[b, 4]` factors of brightness, contrast and saturation, and the hue's turn in whole turns.

    Returns:
        `[b, 3, 4]`; the last column is to be multiplied by the image's mean grey, with which contrast blends.
    """
    brightness, contrast, saturation, turn = colours.T[:, :, None, None]
    saturate = saturation * np.eye(3) + (1 - saturation) * np.outer(np.ones(3), GREY)
    cos, sin = np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)
    in_phase, quadrature = np.diag([0.0, 1.0, 1.0]), np.array([[0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
    rotate = _FROM_YIQ @ (np.diag([1.0, 0, 0]) + cos * in_phase + sin * quadrature) @ _TO_YIQ
    # Saturation and hue leave a grey as it is, so contrast's share of grey passes through them.
    grey = np.broadcast_to((1 - contrast) * brightness, (len(colours), 3, 1))
    return np.concatenate([rotate @ saturate * (brightness * contrast), grey], axis=2)
