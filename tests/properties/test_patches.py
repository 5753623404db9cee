"""Patch negatives: every cell is a piece of its own image, and only the draws decide which."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from longcut.negatives import patch_negatives
from longcut.negatives.patches import (
    _gather_pixels,
    _starts,
    num_patch_uniforms,
    patch_sizes,
    tile_patches,
)

TYPES = [torch.uint8, torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.bool]


def coded(b: int, height: int, width: int, channels: int = 3) -> Tensor:
    """Every value occurs once: what an output shows says where it came from."""
    return torch.arange(b * channels * height * width).view(b, channels, height, width)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(b: int, height: int, width: int, low: int, seed: int = 0) -> Tensor:
    return torch.rand(b, num_patch_uniforms(height, width, low), dtype=torch.float64, generator=seeded(seed))


def origins(images: Tensor, found: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """`[b, h, w]` row and column that each pixel came from; all channels agree, and no image lends to another."""
    b, c, height, width = images.shape
    per_plane = height * width
    place = found % per_plane
    planes = torch.arange(b * c).view(b, c, 1, 1).expand_as(found)
    assert torch.equal(found // per_plane, planes)
    assert (place == place[:, :1]).all()
    return np.divmod(place[:, 0].numpy(), width)


def places_by_loops(
    uniforms: np.ndarray, side: int, height: int, width: int, overlap: bool
) -> dict[tuple[int, int], tuple[int, int]]:
    """Upper left corner of each cell's patch, cell by cell."""
    down, across = math.ceil(height / side), math.ceil(width / side)
    cells = [(row, column) for row in range(down) for column in range(across)]
    if overlap:
        free_h, free_w = height - side + 1, width - side + 1
        drawn = [int(u * free_h * free_w) for u in uniforms[1 : 1 + len(cells)]]
        return {cell: (p // free_w, p % free_w) for cell, p in zip(cells, drawn, strict=True)}
    whole = [(row * side, column * side) for row in range(height // side) for column in range(width // side)]
    order = sorted(range(len(whole)), key=lambda k: uniforms[1 + k])
    return {cell: whole[order[k % len(whole)]] for k, cell in enumerate(cells)}


frames = st.tuples(st.integers(1, 3), st.integers(6, 40), st.integers(6, 40), st.integers(0, 99), st.booleans())


@settings(max_examples=80)
@given(frames, st.integers(1, 6), st.integers(0, 6))
def test_cells_are_patches_cell_by_cell(frame: tuple[int, int, int, int, bool], low: int, more: int) -> None:
    b, height, width, seed, overlap = frame
    high = min(low + more, height, width)
    low = min(low, high)
    images, uniforms = coded(b, height, width), draws(b, height, width, low, seed)
    found = tile_patches(images, uniforms, (low, high), overlap=overlap)
    ys, xs = origins(images, found)
    for i, row in enumerate(uniforms.numpy()):
        side = low + int(row[0] * (high - low + 1))
        places = places_by_loops(row, side, height, width, overlap)
        for y in range(height):
            for x in range(width):
                top, left = places[y // side, x // side]
                assert (ys[i, y, x], xs[i, y, x]) == (top + y % side, left + x % side)


@settings(max_examples=60)
@given(frames, st.integers(1, 6), st.integers(0, 6))
def test_the_gather_equals_the_copies(frame: tuple[int, int, int, int, bool], low: int, more: int) -> None:
    b, height, width, seed, overlap = frame
    high = min(low + more, height, width)
    low = min(low, high)
    images, uniforms = coded(b, height, width), draws(b, height, width, low, seed)
    expected = tile_patches(images, uniforms, (low, high), overlap=overlap)
    sides = low + (uniforms[:, :1] * (high - low + 1)).long()
    starts = _starts(uniforms[:, 1:], sides, height, width, overlap=overlap)
    for format in (torch.contiguous_format, torch.channels_last):
        found = torch.empty_like(images, memory_format=format)
        _gather_pixels(images.contiguous(memory_format=format), starts, sides, low, found)
        assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [1, 3])
def test_types_and_memory_formats(dtype: torch.dtype, format: torch.memory_format, channels: int) -> None:
    values = torch.randint(0, 256, (3, channels, 20, 31), generator=seeded())
    expected = patch_negatives(values, generator=seeded(1)).to(dtype)
    images = values.to(dtype).contiguous(memory_format=format)
    found = patch_negatives(images, generator=seeded(1))
    assert found.dtype == dtype
    assert found.is_contiguous(memory_format=format)
    assert torch.equal(found, expected)
    assert torch.equal(images, values.to(dtype))


def test_strided_views_in_and_out() -> None:
    whole = torch.randint(0, 256, (3, 24, 30, 4), dtype=torch.uint8, generator=seeded())
    images = whole[..., :3].permute(0, 3, 1, 2)
    uniforms = draws(3, 24, 30, 3)
    expected = tile_patches(images.contiguous(), uniforms, (3, 7), overlap=True)
    room = torch.zeros(3, 2, 24, 30, 3, dtype=torch.uint8)
    back = tile_patches(images, uniforms, (3, 7), overlap=True, out=room[:, 1].permute(0, 3, 1, 2))
    assert torch.equal(back, expected)
    assert torch.equal(room[:, 1].permute(0, 3, 1, 2), expected)
    assert not room[:, 0].any()
    last = images.contiguous(memory_format=torch.channels_last)
    tile_patches(last, uniforms, (3, 7), overlap=True, out=room[:, 0].permute(0, 3, 1, 2))
    assert torch.equal(room[:, 0], room[:, 1])


def side_of(ys: np.ndarray, xs: np.ndarray) -> int:
    """Side of the patches of an image, from where the first row's origins jump (sides below 6 of 200 pixels)."""
    steps = np.flatnonzero((np.diff(xs[0]) != 1) | (np.diff(ys[0]) != 0)) + 1
    return int(np.gcd.reduce(steps))


def test_sides_are_uniform_with_both_ends() -> None:
    images = coded(1, 16, 200, 1).expand(1200, 1, 16, 200)
    found = patch_negatives(images, size_range=(3, 8), scale_sizes=False, generator=seeded())
    ys, xs = np.divmod(found[:, 0].numpy(), 200)
    sides = np.array([side_of(y, x) for y, x in zip(ys, xs, strict=True)])
    counts = np.bincount(sides, minlength=9)
    assert set(np.flatnonzero(counts)) == {3, 4, 5, 6, 7, 8}
    chi_square = ((counts[3:] - 200) ** 2 / 200).sum()
    assert chi_square < 25  # five degrees of freedom: 25 is exceeded once in 7000


def test_places_are_uniform_to_the_last_row_and_column() -> None:
    images = coded(1, 5, 6, 1).expand(4000, 1, 5, 6)
    found = patch_negatives(images, size_range=(4, 4), scale_sizes=False, generator=seeded())
    corners = found[:, 0, 0, 0].numpy()
    counts = np.bincount(corners, minlength=30).reshape(5, 6)
    assert (counts[:2, :3] > 0).all()
    assert counts[:2, :3].sum() == 4000
    assert ((counts[:2, :3] - 4000 / 6) ** 2 / (4000 / 6)).sum() < 25


@pytest.mark.parametrize(("height", "width", "side"), [(24, 24, 6), (20, 33, 5), (17, 23, 4), (9, 9, 5)])
def test_without_overlap_places_are_distinct_as_far_as_there_are_any(height: int, width: int, side: int) -> None:
    images = coded(4, height, width)
    found = patch_negatives(images, size_range=(side, side), overlap=False, scale_sizes=False, generator=seeded())
    ys, xs = origins(images, found)
    whole = (height // side) * (width // side)
    seen = set()
    for i in range(4):
        corners = [(y, x) for y, x in zip(ys[i, ::side, ::side].flat, xs[i, ::side, ::side].flat, strict=True)]
        assert all(y % side == 0 and x % side == 0 for y, x in corners)
        assert len(set(corners[:whole])) == whole
        assert set(corners) == set(corners[:whole])
        seen.add(tuple(corners))
    assert len(seen) > 1 or whole == 1


def test_one_side_for_the_batch() -> None:
    images = coded(12, 60, 90)
    sides = {}
    for per_sample in (True, False):
        found = patch_negatives(
            images, size_range=(3, 9), per_sample=per_sample, scale_sizes=False, generator=seeded(3)
        )
        ys, xs = origins(images, found)
        sides[per_sample] = {side_of(y, x) for y, x in zip(ys, xs, strict=True)}
    assert len(sides[True]) > 3
    assert len(sides[False]) == 1


@pytest.mark.parametrize(
    ("size_range", "height", "width", "expected"),
    [
        ((16, 72), 224, 224, (16, 72)),
        ((16, 72), 64, 64, (5, 21)),
        ((16, 72), 448, 300, (21, 96)),
        ((16, 72), 8, 200, (1, 3)),
        ((1, 224), 32, 32, (1, 32)),
    ],
)
def test_sides_scale_with_the_shorter_side(
    size_range: tuple[int, int], height: int, width: int, expected: tuple[int, int]
) -> None:
    assert patch_sizes(size_range, height, width, scale=True) == expected
    if size_range[1] <= min(height, width):
        assert patch_sizes(size_range, height, width, scale=False) == size_range


def test_a_patch_as_large_as_the_image_is_the_image() -> None:
    images = coded(2, 30, 30)
    assert torch.equal(patch_negatives(images, size_range=(224, 224)), images)
    assert torch.equal(patch_negatives(images, size_range=(224, 224), overlap=False), images)


def test_draws_come_from_the_generator_alone() -> None:
    images = coded(3, 40, 40)
    before = torch.get_rng_state()
    first, again, other = (patch_negatives(images, generator=seeded(s)) for s in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.manual_seed(8)
    default = patch_negatives(images)
    torch.manual_seed(8)
    assert torch.equal(default, patch_negatives(images))
    for per_sample in (True, False):
        assert len(patch_negatives(images[:0], per_sample=per_sample)) == 0


def test_no_gradient_flows() -> None:
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    found = patch_negatives(images)
    assert not found.requires_grad
    assert set(found[0, 0].flatten().tolist()) <= set(images[0, 0].flatten().tolist())
    gathered = torch.empty(2, 3, 32, 32)
    _gather_pixels(images, torch.zeros(2, 1, dtype=torch.long), torch.full((2, 1), 32), 32, gathered)
    assert torch.equal(gathered, images)


@pytest.mark.parametrize(
    ("size_range", "shape", "scale", "says"),
    [
        ((72, 16), (224, 224), True, "size_range is 72 to 16: the smaller side first"),
        ((0, 16), (224, 224), True, "size_range is 0 to 16: .* at least 1"),
        ((16, 72), (64, 64), False, "patches of 72 x 72 do not fit images of 64 x 64: lower size_range"),
        ((16, 72), (300, 50), False, "patches of 72 x 72 do not fit images of 300 x 50"),
        ((16, 240), (64, 80), True, "patches of 69 x 69 do not fit images of 64 x 80"),
    ],
)
def test_sizes_that_cannot_be_are_refused(
    size_range: tuple[int, int], shape: tuple[int, int], scale: bool, says: str
) -> None:
    with pytest.raises(ValueError, match=says) as error:
        patch_negatives(torch.zeros(2, 3, *shape), size_range=size_range, scale_sizes=scale)
    assert "\n" not in str(error.value)
