"""What a module's output has of places in an image, by its shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

Layout = Literal["map", "map_last", "tokens"]


@dataclass(frozen=True)
class Located:
    """Where a network's map of features is found.

    Attributes:
        name: of the module whose output it is, as in `named_modules`.
        call: which of the module's calls in one forward pass, from 0.
        layout: `map` for `[b, d, y, x]`, `map_last` for `[b, y, x, d]`, `tokens` for `[b, t, d]`.
        prefix: tokens before those of places.
    """

    name: str
    call: int
    layout: Layout
    prefix: int = 0


def find_layout(output: Sequence[int], images: Sequence[int], prefixes: Sequence[int]) -> tuple[Layout, int] | None:
    """How a module's output holds places of the images, by its shape alone."""
    if not output or output[0] != images[0] or tuple(output) == tuple(images):  # the pixels themselves are no features
        return None
    if len(output) == 4:
        if _covers(output[2], output[3], images):
            return "map", 0
        return ("map_last", 0) if _covers(output[1], output[2], images) else None
    counts = [count for count in prefixes if len(output) == 3 and _grid(output[1] - count, images)]
    return ("tokens", counts[0]) if counts else None


def _covers(y: int, x: int, images: Sequence[int]) -> bool:
    """Whether `y` by `x` places may be those of images: of their proportions, to the rounding of a place."""
    height, width = images[2:]
    return y * x > 1 and y <= height and x <= width and abs(y * width - x * height) < max(height, width)


def _grid(count: int, images: Sequence[int]) -> tuple[int, int] | None:
    """Rows and columns of so many tokens; None where they make no grid of the images' proportions."""
    y = round(math.sqrt(max(count, 0) * images[2] / images[3]))
    return (y, count // y) if y and count % y == 0 and _covers(y, count // y, images) else None


def as_map(values: Tensor, located: Located, images: Sequence[int]) -> Float[Tensor, "b d y x"]:
    """An output, or its gradient, as a map."""
    if located.layout == "map":
        return values
    if located.layout == "map_last":
        return values.permute(0, 3, 1, 2)
    grid = _grid(values.shape[1] - located.prefix, images)
    if grid is None:
        raise ValueError(f"{values.shape[1]} tokens of {located.name!r} are no grid: locate its map with these images")
    return values[:, located.prefix :].mT.unflatten(2, grid)
