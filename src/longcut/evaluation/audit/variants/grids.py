"""Images cut into a grid of patches in another order: local features without the whole."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from longcut.evaluation.audit.variants.types import Views


def shuffle_patches(views: Views, grid: int) -> Float[Tensor, "b 3 h w"]:
    """The patches of a grid in an order that each image's uniforms decide.

    The grid is the largest whole one in the image's centre; what it leaves at the edges stays as it is.

    Args:
        views: with `grid ** 2` uniforms for each image.
        grid: patches along a side.

    Raises:
        ValueError: an image has fewer pixels along a side than the grid has patches, or too few uniforms.
    """
    height, width = views.images.shape[2:]
    tall, wide = height // grid, width // grid
    if not (tall and wide):
        raise ValueError(f"images of {height} x {width} have no grid of {grid} x {grid} patches: take larger images")
    if views.uniforms.shape[1] < grid**2:
        raise ValueError(f"a grid of {grid} x {grid} patches needs {grid**2} uniforms, not {views.uniforms.shape[1]}")
    top, left = (height - grid * tall) // 2, (width - grid * wide) // 2
    inner = (..., slice(top, top + grid * tall), slice(left, left + grid * wide))
    order = views.uniforms[:, : grid**2].argsort(dim=1, stable=True)
    image = torch.arange(len(order), device=order.device)[:, None]
    patches = views.images[inner].unflatten(3, (grid, wide)).unflatten(2, (grid, tall)).permute(0, 2, 4, 3, 5, 1)
    shuffled = patches[image, order // grid, order % grid].unflatten(1, (grid, grid))
    out = views.images.clone()
    out[inner] = shuffled.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)
    return out
