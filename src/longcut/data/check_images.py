"""Read every image of a set, with its mask where it has one, and tell what is wrong with it."""

from __future__ import annotations

import hashlib
import os
from contextlib import closing
from typing import NamedTuple

from longcut.data.arrays import split_member
from longcut.data.decoding import ImageError, read_bytes, read_image, read_mask
from longcut.data.image_set import ImageSet
from longcut.data.pool import map_items
from longcut.data.tiles import HALF

_FEW = 1024  # images that are read sooner than a pool of processes has started


class Looked(NamedTuple):
    """What reading an image gave."""

    height: int = 0
    width: int = 0
    digest: bytes = b""
    broken: str = ""
    bad_mask: str = ""
    empty_mask: bool = False


def look_at_all(images: ImageSet, workers: int | None, label: str | None) -> list[Looked]:
    """What reading each image gave, in their order; on several processes where that is quicker.

    Args:
        images: which; their masks are looked at where they have some.
        workers: processes; None takes every core.
        label: what the progress display says; None shows none.
    """
    root = str(images.root)
    files = [os.path.join(root, path) for path in images.paths]
    masks = [None] * len(files) if images.masks is None else [str(mask) for mask in images.masks]
    alone = len(files) < _FEW or all(split_member(path) is not None for path in images.paths)
    reading = map_items(
        _look, list(zip(files, masks, strict=True)), workers=1 if alone else workers, label=None if alone else label
    )
    with closing(reading) as looked:
        return list(looked)


def _look(item: tuple[str, str | None]) -> Looked:
    """Decode an image, hash what it was decoded from, and compare its mask with it."""
    file, mask = item
    try:
        content = read_bytes(file)
        height, width = read_image(file, content).shape[:2]
    except ImageError as error:
        return Looked(broken=_reason(error, file))
    looked = Looked(height, width, hashlib.blake2b(content, digest_size=16).digest())
    return looked if mask is None else _with_mask(looked, mask)


def _with_mask(looked: Looked, file: str) -> Looked:
    if not os.path.isfile(file):
        return looked._replace(bad_mask="it has no mask")
    try:
        mask = read_mask(file)
    except ImageError as error:
        return looked._replace(bad_mask=f"its mask is broken: {_reason(error, file)}")
    (height, width), highest = mask.shape, int(mask.max())
    if (height, width) != (looked.height, looked.width):
        fault = f"its mask is {width}x{height}, the image {looked.width}x{looked.height}"
    elif 0 < highest < HALF:
        fault = f"its mask holds values up to {highest}: foreground is {HALF} to 255"
    else:
        return looked._replace(empty_mask=highest == 0)
    return looked._replace(bad_mask=fault)


def _reason(error: ImageError, file: str) -> str:
    return str(error).partition(f"{file}: ")[2] or str(error)
