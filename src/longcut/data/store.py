"""Decoded samples at a fixed size: in a memory-mapped file, in memory, or decoded anew each time.

A record is an image, and where composites are asked for also its mask and its background with the foreground's box
tiled over (Only-BG-T), all of one size.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from longcut.data.arrays import split_member
from longcut.data.decoding import ImageError, read_bytes, read_image, read_mask
from longcut.data.image_set import ImageSet
from longcut.data.mapped import MappedFile, in_memory
from longcut.data.resizing import resize, resize_shorter
from longcut.data.tiles import LARGEST_SHARE, box_area, foreground_box, tile_background

CacheMode = Literal["disk", "memory", "none"]
DIGEST = 64
"""Bytes of a record's digest: of its image and its mask, the second zeros where there is none."""


class Sample(NamedTuple):
    """One decoded record; `mask` and `background` are None where composites were not asked for."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None = None
    background: NDArray[np.uint8] | None = None


class Decoded(NamedTuple):
    """What decoding one file gave: the parts of a sample, or none and why."""

    parts: tuple[NDArray[np.uint8], ...] = ()
    shape: tuple[int, int] = (0, 0)
    lends: bool = False
    peak: int = 0
    digest: bytes = b""
    error: str = ""


@dataclass(frozen=True)
class Recipe:
    """How a record is made: the shorter side in pixels (never enlarged), and whether it has a mask and background."""

    side: int
    composites: bool

    def decode(
        self, image: Path, mask: Path | None, box: NDArray[np.float64] | None, *, hashed: bool = True
    ) -> Decoded:
        """Read and prepare one record; an unreadable file is told, not raised. The digest is empty unless `hashed`."""
        try:
            content = read_bytes(image)
            pixels = read_image(image, content)
            digest = hashlib.sha256(content).digest() if hashed else b""
            if not self.composites:
                small = resize_shorter(pixels, self.side)
                return Decoded((small,), small.shape[:2], digest=digest)
            assert mask is not None
            foreground = read_mask(mask)
        except ImageError as error:
            return Decoded(error=str(error))
        if foreground.shape != pixels.shape[:2]:
            sizes = f"{foreground.shape[1]}x{foreground.shape[0]}, its image {pixels.shape[1]}x{pixels.shape[0]}"
            return Decoded(error=f"mask {mask} is {sizes}")
        tiled, lends = _tile(pixels, foreground, box)
        small = resize_shorter(pixels, self.side)
        shape = small.shape[:2]
        digest += hashlib.sha256(foreground.tobytes()).digest() if hashed else b""
        parts = small, resize(foreground, *shape), resize(tiled, *shape)
        return Decoded(parts, shape, lends, int(foreground.max()), digest)


def _tile(
    pixels: NDArray[np.uint8], mask: NDArray[np.uint8], box: NDArray[np.float64] | None
) -> tuple[NDArray[np.uint8], bool]:
    """The image's background, and whether it is known and enough of it to lend."""
    found = foreground_box(mask, box)
    if found is None or box_area(found) > LARGEST_SHARE * mask.size:
        return pixels, False
    return tile_background(pixels, found), True


@dataclass(frozen=True)
class Store:
    """Records by position, with the hash of what they were made from.

    Attributes:
        lends: `[s]` whether each sample's background can be lent.
        peaks: `[s]` highest value of each sample's mask, which shows a foreground from 128 on; 0 without masks.
        digest: SHA-256 of the files' contents, their order and their targets.
    """

    images: ImageSet
    recipe: Recipe
    lends: NDArray[np.bool_]
    peaks: NDArray[np.uint8]
    digest: str
    shapes: NDArray[np.int64]
    """`[s, 2]` height and width of each record."""
    offsets: NDArray[np.int64] | None
    """`[s]` where each record begins in `records`; None where records are decoded anew."""
    records: MappedFile | NDArray[np.uint8] | None
    """The records' bytes, one after the other."""

    def __len__(self) -> int:
        return len(self.images)

    def __getstate__(self) -> dict[str, Any]:
        """Without what each worker would get a copy of: `block`, and records in memory, which are shared."""
        state = {name: value for name, value in self.__dict__.items() if name not in ("block", "shared")}
        return state | {"records": self.shared}

    @cached_property
    def shared(self) -> MappedFile | None:
        """The records where every process can map them."""
        return in_memory(self.records) if isinstance(self.records, np.ndarray) else self.records

    @cached_property
    def block(self) -> NDArray[np.uint8] | None:
        """`[s, h, w, 3]` every image, a view; None unless they have one size and their records follow each other."""
        if self.records is None or self.offsets is None or not len(self):
            return None
        count, (height, width) = len(self), self.shapes[0]
        area, start = int(height * width), int(self.offsets[0])
        size = (7 if self.recipe.composites else 3) * area
        follow = (self.offsets[:count] == start + size * np.arange(count)).all()
        if not follow or (self.shapes[:count] != self.shapes[0]).any():
            return None
        records = self._bytes(self.records)[start : start + count * size].reshape(count, size)
        return records[:, : 3 * area].reshape(count, height, width, 3)

    def __getitem__(self, index: int) -> Sample:
        if self.records is None or self.offsets is None:
            return self._decode(index)
        data = self._bytes(self.records)
        height, width = self.shapes[index]
        area, start = int(height * width), int(self.offsets[index])
        image = data[start : start + 3 * area].reshape(height, width, 3)
        if not self.recipe.composites:
            return Sample(image)
        mask = data[start + 3 * area : start + 4 * area].reshape(height, width)
        return Sample(image, mask, data[start + 4 * area : start + 7 * area].reshape(height, width, 3))

    @staticmethod
    def _bytes(records: MappedFile | NDArray[np.uint8]) -> NDArray[np.uint8]:
        return records.bytes if isinstance(records, MappedFile) else records

    def _decode(self, index: int) -> Sample:
        decoded = self.recipe.decode(*files_of(self.images, index), hashed=False)
        if decoded.error:
            raise ImageError(decoded.error)
        return Sample(*decoded.parts)


def files_of(images: ImageSet, index: int) -> tuple[Path, Path | None, NDArray[np.float64] | None]:
    """Image file, mask file and box of one sample."""
    mask = images.masks[index] if images.masks is not None else None
    return images.root / images.paths[index], mask, None if images.boxes is None else images.boxes[index]


def fingerprint(images: ImageSet, recipe: Recipe) -> str:
    """A name for a cache: changes with the list of files, their sizes and times, the boxes and the recipe."""
    digest = hashlib.sha256(json.dumps([4, recipe.side, recipe.composites]).encode())
    for index in range(len(images)):
        image, mask, box = files_of(images, index)
        for file in (image, mask if recipe.composites else None):
            if file is not None:
                digest.update(f"{file.absolute()}\0{_stamp(file)}\n".encode())
        if box is not None and recipe.composites:
            digest.update(box.tobytes())
    return digest.hexdigest()[:24]


def _stamp(file: Path) -> str:
    """Size and time of a file, or of the array that it is a row of; nothing where decoding will tell what is wrong."""
    member = split_member(str(file))
    try:
        status = (Path(member[0]) if member else file).stat()
    except OSError:
        return ""
    return f"{status.st_size}\0{status.st_mtime_ns}"


def content_hash(images: ImageSet, digests: Iterable[bytes]) -> str:
    """SHA-256 over each sample's path, target and file contents."""
    digest = hashlib.sha256(json.dumps(images.classes).encode())
    for path, target, part in zip(images.paths, images.targets, digests, strict=True):
        digest.update(f"{path}\0{target}\0".encode() + part.ljust(DIGEST, b"\0"))
    return f"sha256:{digest.hexdigest()}"
