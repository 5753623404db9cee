"""Each corruption at its middle severity, against a plain copy of the batch; per core."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import torch

from benchmarks.photographs import photographs
from benchmarks.timing import Row, alternate, one_thread
from longcut.corruptions import CORRUPTIONS, EXTRA, corrupt
from longcut.data.decoding import read_image
from longcut.data.resizing import centre_crop

BATCH, SIDE, SEVERITY, REPEATS = 64, 224, 3, 3


def rows() -> Iterator[Row]:
    """Uint8 images in, uint8 images out; the name carries images per second and core."""
    with one_thread(), photographs(BATCH) as images:
        files = [images.root / path for path in images.paths]
        crops = [torch.from_numpy(centre_crop(read_image(file), SIDE)) for file in files]
        batch = torch.stack(crops).permute(0, 3, 1, 2).contiguous()
        generator = torch.Generator().manual_seed(0)
        for name in CORRUPTIONS + EXTRA:
            ours, copy = alternate(
                lambda _, name=name: corrupt(batch, name, SEVERITY, generator=generator),  # type: ignore[misc]
                lambda _: batch.clone(),
                repeats=REPEATS,
            )
            speed = len(batch) / statistics.median(ours)
            yield Row(f"{name}, {SIDE} px, B={len(batch)}, {speed:.0f} images/s", ours, copy, kind="times as long")
