"""Read every image of a set, with its mask where it has one, and tell what is wrong with it."""

from __future__ import annotations

import hashlib
import os
from contextlib import closing
from typing import NamedTuple

from longcut.data.arrays import split_member
from longcut.data.decoding import ImageError, image_size, read_bytes, read_image
from longcut.data.image_set import ImageSet
from longcut.data.pool import map_items

_FEW = 1024  # images that are read sooner than a pool of processes has started


class Looked(NamedTuple):
    """What reading an image gave."""

    height: int = 0
    width: int = 0
    digest: bytes = b""
    broken: str = ""
    bad_mask: str = ""


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
    """Decode an image, hash what it was decoded from, and compare its mask's size."""
    file, mask = item
    try:
        content = read_bytes(file)
        height, width = read_image(file, content).shape[:2]
    except ImageError as error:
        return Looked(broken=_reason(error, file))
    bad_mask = "" if mask is None else _mask_fault(mask, height, width)
    return Looked(height, width, hashlib.blake2b(content, digest_size=16).digest(), bad_mask=bad_mask)


def _mask_fault(mask: str, height: int, width: int) -> str:
    if not os.path.isfile(mask):
        return "it has no mask"
    try:
        size = image_size(mask)
    except ImageError as error:
        return f"its mask is broken: {_reason(error, mask)}"
    return "" if size == (height, width) else f"its mask is {size[1]}x{size[0]}, the image {width}x{height}"


def _reason(error: ImageError, file: str) -> str:
    return str(error).partition(f"{file}: ")[2] or str(error)
