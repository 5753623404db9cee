"""Write what a public library makes of three photographs: run by `make oracles`, in an environment of its own.

Everything is imagecorruptions', but for the elastic transform, where that library departs from the published set: here
it is written out with OpenCV and SciPy as the set defines it.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from corruption_statistics import DRAWS, EXACT, RANDOM, SIDES, photographs, sample, statistics
from imagecorruptions import corrupt
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

SEEDED = ("glass_blur", "impulse_noise")
"""Those that do not draw from numpy's global generator."""


def elastic_transform(image: NDArray[np.uint8], severity: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    strength = 244 * (2, 2, 0.05, 0.07, 0.12)[severity - 1]
    sigma = 244 * (0.7, 0.08, 0.01, 0.01, 0.01)[severity - 1]
    reach = 244 * (0.1, 0.2, 0.02, 0.02, 0.02)[severity - 1]
    side = len(image)
    middle, arm = side // 2, side // 3
    corners = middle + arm * np.array([[1, 1], [1, -1], [-1, -1]])
    moved = corners + generator.uniform(-reach, reach, corners.shape)
    matrix = cv2.getAffineTransform(corners.astype(np.float32), moved.astype(np.float32))
    warped = cv2.warpAffine(image / 255.0, matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101)
    shifts = [gaussian_filter(generator.uniform(-1, 1, (side, side)), sigma, truncate=3) * strength for _ in "yx"]
    places = np.mgrid[:side, :side] + np.stack(shifts)
    channels = [map_coordinates(warped[..., c], places, order=1, mode="reflect") for c in range(3)]
    return np.uint8(np.clip(np.stack(channels, axis=-1), 0, 1) * 255)


def drawn(image: NDArray[np.uint8], name: str, severity: int, draw: int) -> NDArray[np.uint8]:
    seed = 1000 * severity + draw
    if name == "elastic_transform":
        return elastic_transform(image, severity, np.random.default_rng(seed))
    np.random.seed(seed)  # noqa: NPY002 - what the library draws from
    return corrupt(image, severity, name, **({"seed": seed} if name in SEEDED else {}))


def main() -> None:
    arrays = {}
    for side in SIDES:
        clean = photographs(side)
        for name in EXACT:
            levels = [[sample(corrupt(image, s, name)) for image in clean] for s in range(1, 6)]
            arrays[f"{name}/{side}"] = np.array(levels)  # [severity, photograph, 16, 16, 3]
        for name in RANDOM:
            figures = [
                [[statistics(drawn(image, name, s, draw), image) for draw in range(DRAWS)] for image in clean]
                for s in range(1, 6)
            ]
            arrays[f"{name}/{side}"] = np.array(figures)  # [severity, photograph, draw, 12]
    np.savez_compressed(Path(__file__).parent / "corruptions.npz", **arrays)


if __name__ == "__main__":
    main()
