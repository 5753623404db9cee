"""A 224 px texture of two 96 px patches, on one core, beside a fixed loop of patch comparisons in numpy.

The loop tells how fast the machine is, as the tool that came first cannot be run here: its synthesis with the same 50
neighbours and 50 random candidates took 2.27 s on a core where this one is to take at most 0.40 s, 5.7 times less.
Processor time, as other processes only stretch wall time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.photographs import photographs
from benchmarks.timing import Row, alternate, one_thread
from longcut.data.decoding import read_image
from longcut.negatives.texture_synthesis import Mode, synthesize_texture, texture_examples

SIZE, SIDE, REPEATS, BAR = 224, 96, 7, 0.40
_PIXELS, _CANDIDATES, _NEIGHBOURS = 1000, 100, 50


def rows() -> Iterator[Row]:
    """Seconds for each image and core, then as a multiple of the loop."""
    with photographs(1) as images:
        examples = texture_examples(read_image(images.root / images.paths[0]), [0.2, 0.7])
    what = f"{SIZE} px texture of two {SIDE} px patches"
    loop = f"numpy comparing {_PIXELS} x {_CANDIDATES} x {_NEIGHBOURS} pixels"
    modes: tuple[Mode, ...] = ("multiresolution", "quilting")
    for mode in modes:
        with one_thread():
            ours, other = alternate(
                lambda repeat, mode=mode: synthesize_texture(examples, size=SIZE, seed=repeat, mode=mode),  # type: ignore[misc]
                lambda repeat: _compare(examples[0], repeat),
                repeats=REPEATS,
            )
        yield Row(f"{what}, {mode}", ours, other, BAR, "seconds")
        yield Row(f"{what}, {mode}, against {loop}", ours, other, 0, "times as long")


def _compare(example: NDArray[np.uint8], repeat: int) -> int:
    """The cheapest of random candidates for each of some pixels, by their neighbourhoods."""
    draw = np.random.default_rng(repeat)
    flat = example.reshape(-1, 3)
    cost = np.log1p((np.arange(-255, 256) / 255) ** 2).astype(np.float32)
    chosen = 0
    for _ in range(_PIXELS):
        places = draw.integers(0, len(flat), (_CANDIDATES, _NEIGHBOURS))
        there = flat[draw.integers(0, len(flat), _NEIGHBOURS)].astype(np.int16) - 255
        chosen += int(cost[flat[places] - there].sum((1, 2)).argmin())
    return chosen
