"""Patch negatives, against torch tensors sliced patch by patch; on a GPU against a plain copy of the batch."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from benchmarks.timing import Row, alternate, one_thread
from longcut.negatives import patch_negatives

BATCH, SIDE, RANGE, REPEATS = 64, 224, (16, 72), 9


def rows() -> Iterator[Row]:
    """Floats lie as a loader stacks them, 8 bits as they lie in this project's workers, channels last."""
    generator = torch.Generator().manual_seed(0)
    with one_thread():
        floats = torch.rand(BATCH, 3, SIDE, SIDE, generator=generator)
        yield _against_slices("float", floats, floats, 3.0)
        bytes_ = torch.randint(0, 256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)
        yield _against_slices("uint8", bytes_.contiguous(memory_format=torch.channels_last), bytes_, 8.0)
    for size in (BATCH, 4 * BATCH):
        yield _against_copy(size)


def _against_slices(kind: str, ours: Tensor, theirs: Tensor, bar: float) -> Row:
    random = np.random.default_rng(0)
    times = alternate(
        lambda _: patch_negatives(ours, size_range=RANGE),
        lambda _: torch.stack([_sliced(image, random) for image in theirs]),
        repeats=REPEATS,
    )
    return Row(f"patch negatives, {kind}, {SIDE} px, B={BATCH}, against torch slices", *times, bar)


def _sliced(image: Tensor, random: np.random.Generator) -> Tensor:
    """As the published code does it: a canvas of whole patches, each a slice of a slice, cut off at the end."""
    side = int(random.integers(RANGE[0], RANGE[1] + 1))
    count = SIDE // side + 1
    canvas = torch.zeros(3, count * side, count * side, dtype=image.dtype)
    for row in range(count):
        for column in range(count):
            y, x = random.integers(SIDE - side, size=2)
            top, left = row * side, column * side
            canvas[:, top : top + side, left : left + side] = image[:, y : y + side, x : x + side]
    return canvas[:, :SIDE, :SIDE].clone()


def _against_copy(size: int) -> Row:
    what = f"patch negatives, float, {SIDE} px, B={size}, on a GPU, against a copy"
    if not torch.cuda.is_available():
        return Row(what, kind="times as long", skipped="no GPU")
    images = torch.rand(size, 3, SIDE, SIDE, device="cuda").contiguous(memory_format=torch.channels_last)
    room = torch.empty_like(images)

    def clock() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    times = alternate(
        lambda _: [patch_negatives(images, size_range=RANGE) for _ in range(10)],
        lambda _: [room.copy_(images) for _ in range(10)],
        repeats=REPEATS,
        clock=clock,
    )
    return Row(what, *times, 3.0, "times as long")
