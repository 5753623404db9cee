"""Masks for a folder of photographs, on two processes against one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.photographs import photographs
from benchmarks.timing import Row, alternate
from longcut.data.builders.segmentation import segment
from longcut.data.pool import num_cores

COUNT, REPEATS, HEIGHT = 48, 2, 192
_WHAT = f"GrabCut on {COUNT} photographs, two processes against one"


def rows() -> Iterator[Row]:
    """Wall time, start-up included; a busy machine gives two processes less than twice one's share."""
    if num_cores() < 2:
        yield Row(_WHAT, skipped="there is one core")
        return
    with photographs(COUNT, height=HEIGHT) as images, TemporaryDirectory() as folder:

        def run(workers: int, repeat: int) -> None:
            segment(images, Path(folder) / f"{workers}_{repeat}", workers=workers)

        ours, other = alternate(
            lambda repeat: run(2, repeat),
            lambda repeat: run(1, repeat),
            repeats=REPEATS,
            clock=time.perf_counter,
            warm_up=False,
        )
    yield Row(_WHAT, ours, other, 1.8)
