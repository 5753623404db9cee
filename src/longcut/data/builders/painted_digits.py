"""Grey digits in colour: the colours of the published sets, and what paints with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Colours = NDArray[np.float32]

LFF_COLOURS: Colours = np.array(
    [
        (0.98368, 0.31252, 0.16858),
        (0.99053, 0.91561, 0.35151),
        (0.67296, 0.46107, 0.57981),
        (0.78325, 0.83156, 0.60133),
        (0.08802, 0.77796, 0.98181),
        (0.32139, 0.96105, 0.44645),
        (0.02462, 0.23565, 0.75867),
        (0.55525, 0.10158, 0.76176),
        (0.20772, 0.39295, 0.01870),
        (0.83366, 0.20241, 0.26694),
    ],
    np.float32,
)
"""Mean colours of Nam et al. (NeurIPS 2020), as their code ships them, to five digits."""

LFF_DEVIATIONS = 0.05, 0.02, 0.01, 0.005, 0.002
"""Standard deviation of the colour for their severities 1 to 5: the higher the severity, the purer the colour."""

LNL_COLOURS: Colours = np.array(
    [
        (220, 20, 60),
        (0, 128, 128),
        (253, 233, 16),
        (0, 149, 182),
        (237, 145, 33),
        (145, 30, 188),
        (70, 240, 240),
        (250, 197, 187),
        (210, 245, 60),
        (128, 0, 0),
    ],
    np.float32,
) / np.float32(255)
"""Mean colours of Kim et al., "Learning Not to Learn" (CVPR 2019), which others took over."""

REBIAS_COLOURS: Image = np.array(
    [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (225, 225, 0),
        (225, 0, 225),
        (0, 255, 255),
        (255, 128, 0),
        (255, 0, 128),
        (128, 0, 255),
        (128, 128, 128),
    ],
    np.uint8,
)
"""Backgrounds of Bahng et al. (ICML 2020)."""


def draw_colours(means: Colours, deviation: float, draws: NDArray[np.float64]) -> Colours:
    """A colour around its mean for each image, one draw for each channel.

    Args:
        means: `[s, 3]` RGB in [0, 1].
        deviation: standard deviation of each channel.
        draws: `[s, 6]` uniform in [0, 1).

    Returns:
        `[s, 3]` in [0, 1].
    """
    # Box and Muller's transform; 1 - u keeps the logarithm from zero.
    radii, angles = np.sqrt(-2 * np.log1p(-draws[:, :3])), 2 * np.pi * draws[:, 3:]
    return np.clip(means + deviation * radii * np.cos(angles), 0, 1).astype(np.float32)


def paint_digits(grey: Image, colours: Colours, *, rounded: bool = True) -> Image:
    """Digits in colour on black.

    Args:
        grey: `[b, h, w]`.
        colours: `[b, 3]` in [0, 1].
        rounded: to the nearest level; False cuts off what is behind the point, as the code of Nam et al. does.

    Returns:
        `[b, h, w, 3]`.
    """
    levels = grey[..., None].astype(np.float32) * colours[:, None, None, :]
    return (np.rint(levels, out=levels) if rounded else levels).astype(np.uint8)


def paint_backgrounds(grey: Image, colours: Image) -> Image:
    """White digits on colour: every pixel that is not black becomes white, so that strokes have no soft edge.

    Args:
        grey: `[b, h, w]`.
        colours: `[b, 3]`.

    Returns:
        `[b, h, w, 3]`.
    """
    return np.where(grey[..., None] != 0, np.uint8(255), colours[:, None, None, :])


def colour_names(colours: Image | Colours) -> Sequence[str]:
    """Colours as `#rrggbb`; float colours lie in [0, 1]."""
    levels = colours if colours.dtype == np.uint8 else np.rint(colours * 255).astype(np.uint8)
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in levels.tolist()]
