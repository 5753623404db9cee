"""The photographs that corruptions are compared on, and what is compared; needs no more than numpy and scikit-image."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from skimage import data

EXACT = (
    "defocus_blur",
    "zoom_blur",
    "brightness",
    "contrast",
    "pixelate",
    "jpeg_compression",
    "gaussian_blur",
    "saturate",
)
"""Corruptions without a draw: compared pixel by pixel."""
RANDOM = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "glass_blur",
    "motion_blur",
    "snow",
    "frost",
    "fog",
    "elastic_transform",
    "speckle_noise",
    "spatter",
)
"""Corruptions with draws: compared by statistics of several draws."""
SIDES = (224, 64)
DRAWS = 12
_BANDS = (0.0, 0.02, 0.05, 0.12, 0.25, 0.5)
"""Edges of the bands of the power spectrum, in periods per pixel."""


def photographs(side: int) -> list[NDArray[np.uint8]]:
    """Three crops of 224 pixels, or their means over 3 by 3 pixels, which are 64 wide."""
    crops = [data.astronaut()[:224, 100:324], data.coffee()[80:304, 160:384], data.chelsea()[40:264, 100:324]]
    if side == 224:
        return crops
    blocks = [crop[:192, :192].reshape(64, 3, 64, 3, 3).mean(axis=(1, 3)) for crop in crops]
    return [block.round().astype(np.uint8) for block in blocks]


def sample(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`[16, 16, 3]` pixels of an image `[h, w, 3]`: borders, and a grid over the rest."""
    side = len(image)
    places = np.concatenate([[0, 1, 3], np.linspace(7, side - 5, 10).astype(int), [side - 4, side - 2, side - 1]])
    return image[np.ix_(places, places)]


def statistics(image: NDArray[np.uint8], clean: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean and deviation of each channel, mean distance to the clean image, deviation within bands of the spectrum.

    All in grey levels: `[12]`.
    """
    values = image.astype(np.float64)
    distance = np.abs(values - clean).mean()
    grey = values.mean(axis=2)
    power = np.abs(np.fft.fft2(grey - grey.mean())) ** 2 / grey.size**2
    axis = np.fft.fftfreq(len(grey))
    frequency = np.hypot(axis[:, None], axis)
    bands = [power[(frequency > low) & (frequency <= high)].sum() ** 0.5 for low, high in pairwise(_BANDS)]
    return np.array([*values.mean((0, 1)), *values.std((0, 1)), distance, *bands], np.float32)
