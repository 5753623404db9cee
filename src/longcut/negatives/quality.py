"""How well a texture keeps its examples' local statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_PATCHES = 2000
_BINS = 32
_ROWS = 512


@dataclass(frozen=True)
class TextureQuality:
    """Distances between a texture and its examples; 0 is best in all of them."""

    patch_distance: float
    """Mean distance of the texture's patches to the nearest patch of the examples: root of the mean squared difference
    of their values, in [0, 1] where 1 is black against white."""
    coverage_distance: float
    """The same from the examples' patches to the texture's: large where parts of the examples never appear."""
    shuffled_distance: float
    """`patch_distance` after the texture's pixels are shuffled: what the right colours without any structure give."""
    held_out_distance: float
    """From the patches of each example's right half to the nearest of its left half: how much the texture varies by
    itself. Not a number where no example is two patches wide."""
    colour_distance: float
    """Earth mover's distance of the values, mean over channels, in [0, 1]."""
    histogram_distance: float
    """Chi-squared distance of histograms of 32 bins, mean over channels, in [0, 1]."""

    @property
    def relative_distance(self) -> float:
        """`patch_distance` by `shuffled_distance`: 0 keeps all structure, 1 keeps none."""
        return self.patch_distance / self.shuffled_distance if self.shuffled_distance else 0.0


def texture_quality(
    texture: NDArray[np.uint8], examples: Sequence[NDArray[np.uint8]], *, patch_size: int = 7
) -> TextureQuality:
    """Compare a texture with its examples.

    About 2000 patches, evenly spread, are compared with all patches of the other side.

    Args:
        texture: `[h, w, c]`.
        examples: what it was made from, each `[h, w, c]`.
        patch_size: side of the patches in pixels.

    Raises:
        ValueError: there is no example, or the texture or every example is smaller than a patch.
    """
    fitting = [e for e in examples if min(e.shape[:2]) >= patch_size]
    if min(texture.shape[:2]) < patch_size or not fitting:
        raise ValueError(f"patches of {patch_size} px need a texture and an example of at least that size")
    made = _patches(texture, patch_size)
    given = np.concatenate([_patches(e, patch_size) for e in fitting])
    shuffled = np.random.default_rng(0).permutation(texture.reshape(-1, texture.shape[-1])).reshape(texture.shape)
    colour, histogram = _colour_distances(texture, examples)
    return TextureQuality(
        patch_distance=_mean_distance(_spread(made), given),
        coverage_distance=_mean_distance(_spread(given), made),
        shuffled_distance=_mean_distance(_spread(_patches(shuffled, patch_size)), given),
        held_out_distance=_held_out(fitting, patch_size),
        colour_distance=colour,
        histogram_distance=histogram,
    )


def _patches(image: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """All patches as rows, values in [0, 1]."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(0, 1))
    rows = windows.reshape(windows.shape[0] * windows.shape[1], -1).astype(np.float32)
    return rows / np.float32(255)


def _spread(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    places = np.linspace(0, len(rows) - 1, min(_PATCHES, len(rows))).round().astype(np.int64)
    return rows[places]


def _mean_distance(rows: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """Mean over the rows of the distance to the nearest of the others."""
    squares = np.einsum("kd,kd->k", others, others)
    nearest = np.concatenate(
        [(squares - 2 * (part @ others.T)).argmin(1) for part in np.split(rows, range(_ROWS, len(rows), _ROWS))]
    )
    return float(np.sqrt(((rows - others[nearest]) ** 2).mean(1, dtype=np.float64)).mean())


def _held_out(examples: Sequence[NDArray[np.uint8]], size: int) -> float:
    distances = []
    for example in examples:
        middle = example.shape[1] // 2
        if middle >= size:
            left, right = example[:, :middle], example[:, middle:]
            distances.append(_mean_distance(_spread(_patches(right, size)), _patches(left, size)))
    return float(np.mean(distances)) if distances else float("nan")


def _colour_distances(texture: NDArray[np.uint8], examples: Sequence[NDArray[np.uint8]]) -> tuple[float, float]:
    """Earth mover's distance and chi-squared distance of the values, means over channels."""
    values = [a.reshape(-1, texture.shape[-1]) for a in (texture, np.concatenate([_flat(e) for e in examples]))]
    made, given = (np.stack([np.bincount(channel, minlength=256) for channel in v.T]) / len(v) for v in values)
    moved = np.abs(np.cumsum(made - given, axis=1))[:, :-1].sum(1) / 255
    made, given = (h.reshape(len(h), _BINS, -1).sum(2) for h in (made, given))
    total = np.where(made + given > 0, made + given, 1)
    return float(moved.mean()), float((0.5 * (made - given) ** 2 / total).sum(1).mean())


def _flat(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image.reshape(-1, image.shape[-1])
