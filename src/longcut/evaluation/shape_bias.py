"""Shape bias: what decides where the shape says one class and the texture another.

Geirhos et al., "ImageNet-trained CNNs are biased towards texture; increasing shape bias improves accuracy and
robustness" (ICLR 2019).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.metrics import Measure, measure


@dataclass(frozen=True)
class ShapeBias:
    """Measures over conflicts: stimuli whose shape and texture are of different classes.

    Attributes:
        pooled: decisions for the shape among those for the shape or the texture; None where there is none (0/0).
        of_class: the same for the stimuli of each shape; None where it is 0/0.
        class_mean: mean of the classes' shape biases, over those that have one; its interval resamples classes, that of
            a single class is the class's own.
        shape_fraction: decisions for the shape, among all conflicts.
        texture_fraction: decisions for the texture, among all conflicts.
        other_fraction: decisions for neither, among all conflicts.
    """

    pooled: Measure | None
    of_class: Mapping[int, Measure | None]
    class_mean: Measure | None
    shape_fraction: Measure
    texture_fraction: Measure
    other_fraction: Measure


def shape_bias(decisions: NDArray[np.int64], shapes: NDArray[np.int64], textures: NDArray[np.int64]) -> ShapeBias:
    """Measure the shape bias of decisions; stimuli whose shape is their texture do not count.

    Args:
        decisions: `[s]` classes that a model says.
        shapes: `[s]` classes of the shapes.
        textures: `[s]` classes of the textures.

    Raises:
        ValueError: no stimulus is a conflict.
    """
    conflicts = shapes != textures
    if not conflicts.any():
        raise ValueError("shape bias needs stimuli whose texture is not of their shape's class: there is none")
    decisions, shapes, textures = decisions[conflicts], shapes[conflicts], textures[conflicts]
    for_shape, for_texture = decisions == shapes, decisions == textures
    of_class = {int(c): _ratio(for_shape[shapes == c], for_texture[shapes == c]) for c in np.unique(shapes)}
    return ShapeBias(
        pooled=_ratio(for_shape, for_texture),
        of_class=of_class,
        class_mean=_mean_of(of_class.values()),
        shape_fraction=measure(for_shape),
        texture_fraction=measure(for_texture),
        other_fraction=measure(~for_shape & ~for_texture),
    )


def _ratio(for_shape: NDArray[np.bool_], for_texture: NDArray[np.bool_]) -> Measure | None:
    either = for_shape | for_texture
    return measure(for_shape[either]) if either.any() else None


def _mean_of(classes: Iterable[Measure | None]) -> Measure | None:
    defined = [found for found in classes if found is not None]
    if len(defined) == 1:
        (only,) = defined
        return Measure(only.value, 1, only.low, only.high)
    return measure(np.array([found.value for found in defined]), bounds=(0, 1)) if defined else None
