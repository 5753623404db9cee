"""Patch-based non-semantic negatives: an image's local statistics without its shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from torch import Tensor

_NOMINAL = 224
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def patch_negatives(
    images: Shaped[Tensor, "b c h w"],
    *,
    size_range: tuple[int, int] = (16, 72),
    overlap: bool = True,
    per_sample: bool = True,
    scale_sizes: bool = True,
    generator: torch.Generator | None = None,
) -> Shaped[Tensor, "b c h w"]:
    """Tile each image's frame with square patches from random places of the same image.

    A side d is drawn uniformly from `size_range`, both ends included. The frame is a grid of d x d cells from its upper
    left corner, cut off at the right and the bottom, and every cell shows a patch as large as it is.

    Args:
        images: of any type and size, on any device; what comes back has no gradient.
        size_range: smallest and largest side of a patch, pixels of an image whose shorter side is 224.
        overlap: each patch comes from a place of its own draw, so that places overlap. Without it the places are
            distinct cells of the same grid, in random order, as far as there are whole ones; then they come again.
        per_sample: a side for each image, rather than one for the batch.
        scale_sizes: sides are scaled with the image's shorter side, rounded and at least 1; else taken as they are.
        generator: source of the draws; torch's default for the images' device where None.

    Returns:
        Images of the same type, shape and memory format.

    Raises:
        ValueError: the range is out of order, below 1, or has sides larger than the images.

    Source:
        Ge et al., "Robust contrastive learning using negative samples with diminished semantics" (NeurIPS 2021),
        section 2.3. The paper asks for patches that do not overlap, which no side allows that does not divide the
        image's; their code draws each place by itself and never takes the last row and column, which count here.
    """
    height, width = images.shape[2:]
    low, high = patch_sizes(size_range, height, width, scale=scale_sizes)
    device = images.device if generator is None else generator.device
    count = num_patch_uniforms(height, width, low)
    uniforms = torch.rand(len(images), count, generator=generator, device=device, dtype=torch.float64)
    if not per_sample:
        uniforms[1:, 0] = uniforms[:1, 0]
    return tile_patches(images, uniforms.to(images.device), (low, high), overlap=overlap)


def patch_sizes(size_range: tuple[int, int], height: int, width: int, *, scale: bool) -> tuple[int, int]:
    """Smallest and largest side of a patch for images of this size, as in `patch_negatives`."""
    low, high = size_range
    if not 1 <= low <= high:
        raise ValueError(f"size_range is {low} to {high}: the smaller side first, and at least 1")
    shorter = min(height, width)
    if scale:
        low, high = (max(1, round(side * shorter / _NOMINAL)) for side in (low, high))
    if high > shorter:
        raise ValueError(f"patches of {high} x {high} do not fit images of {height} x {width}: lower size_range")
    return low, high


def num_patch_uniforms(height: int, width: int, low: int) -> int:
    """How many uniforms `tile_patches` takes for an image: the side's, and one for each cell of the finest grid."""
    return 1 + -(-height // low) * -(-width // low)


def tile_patches(
    images: Shaped[Tensor, "b c h w"],
    uniforms: Float[Tensor, "b k"],
    sides: tuple[int, int],
    *,
    overlap: bool,
    out: Shaped[Tensor, "b c h w"] | None = None,
) -> Shaped[Tensor, "b c h w"]:
    """Patch negatives from given draws: the same on every device.

    Args:
        images: as in `patch_negatives`.
        uniforms: in [0, 1), float64, `num_patch_uniforms` for each image, of which the first gives its side.
        sides: smallest and largest side, pixels.
        overlap: as in `patch_negatives`.
        out: to write into, of the images' type and shape; new where None.
    """
    low, high = sides
    drawn = low + (uniforms[:, :1] * (high - low + 1)).long()
    starts = _starts(uniforms[:, 1:], drawn, *images.shape[2:], overlap=overlap)
    out = torch.empty_like(images) if out is None else out
    copy = _copy_windows if images.device.type == "cpu" else _gather_pixels
    copy(images, starts, drawn, low, out)
    return out


def _starts(
    uniforms: Float[Tensor, "b k"], sides: Int[Tensor, "b 1"], height: int, width: int, *, overlap: bool
) -> Int[Tensor, "b k"]:
    """Where in the flattened image the patch of each cell begins; cells are counted row by row."""
    if overlap:
        across = width - sides + 1
        places = (uniforms * ((height - sides + 1) * across)).long()
        return places // across * width + places % across
    across = width // sides
    whole = height // sides * across
    cells = torch.arange(uniforms.shape[1], device=uniforms.device)
    order = uniforms.masked_fill(cells >= whole, 1.0).argsort(dim=1, stable=True)
    places = order.gather(1, cells % whole)
    return (places // across * width + places % across) * sides


def _copy_windows(images: Tensor, starts: Tensor, sides: Tensor, low: int, out: Tensor) -> None:
    """Image by image through numpy, which copies windows at half the cost of slices and a tenth of torch's."""
    height, width = images.shape[2:]
    channels_last = _is_channels_last(images) and _is_channels_last(out)
    sources, targets = (_rows(tensor, channels_last) for tensor in (images, out))
    tops, lefts = np.divmod(starts.numpy(), width)
    pixel = images.shape[1] if channels_last else 1
    for source, target, side, top, left in zip(sources, targets, sides[:, 0].tolist(), tops, lefts, strict=True):
        planes, down, across = len(source), -(-height // side), -(-width // side)
        plane, row, entry = source.strides
        every = as_strided(
            source,
            (planes, height - side + 1, width - side + 1, side, side * pixel),
            (plane, row, entry * pixel, row, entry),
            writeable=False,
        )
        grid = (each[: down * across].reshape(down, across) for each in (top, left))
        patches = every[(slice(None), *grid)].transpose(0, 1, 3, 2, 4)
        target[:] = patches.reshape(planes, down * side, across * side * pixel)[:, :height, : width * pixel]


def _is_channels_last(images: Tensor) -> bool:
    channels, width = images.shape[1], images.shape[3]
    return images.stride()[1:] == (1, width * channels, channels)


def _rows(images: Tensor, channels_last: bool) -> NDArray[Any]:
    """Planes of rows `[b, p, h, r]` on the images' memory: one plane of whole pixels where channels come last."""
    images = images.view(_INTEGERS[images.element_size()])  # numpy has no bfloat16, and a copy needs none
    if not channels_last:
        return images.numpy()
    b, c, height, width = images.shape
    return images.permute(0, 2, 3, 1).view(b, 1, height, width * c).numpy()


def _gather_pixels(images: Tensor, starts: Tensor, sides: Tensor, low: int, out: Tensor) -> None:
    """By index arithmetic, in three passes over an index for each pixel: nothing waits for the device."""
    b, c, height, width = images.shape
    y, x = (torch.arange(n, device=images.device) for n in (height, width))
    column = torch.arange(-(-width // low), device=images.device)
    across = -(-width // sides)
    # For each row of pixels and each column of cells: where the pixel beside the frame's left edge would come from.
    cell = ((y // sides * across)[:, :, None] + column).clamp(max=starts.shape[1] - 1)
    origin = starts.gather(1, cell.flatten(1)).view(cell.shape)
    origin = origin + (y % sides * width)[:, :, None] - (column * sides)[:, None]
    index = origin.gather(2, (x // sides)[:, None].expand(b, height, width)).add_(x)
    index = index.view(b, 1, -1).expand(b, c, height * width)
    torch.gather(images.detach().flatten(2), 2, index, out=out.view(b, c, -1))
