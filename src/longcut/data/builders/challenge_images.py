"""One image of the Background Challenge at a time: read, cut out, pasted and written."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from longcut.data.builders.segmentation import check_size
from longcut.data.challenge_layout import MASKS
from longcut.data.decoding import read_image, read_mask, write_image, write_whole
from longcut.data.pasting import blend, cover, cover_box, harden
from longcut.data.tiles import (
    HALF,
    LARGEST_SHARE,
    Box,
    black_background,
    box_area,
    box_of_mask,
    foreground_box,
    tile_background,
)

Edges = Literal["soft", "hard"]
Format = Literal["png", "jpeg"]


@dataclass(frozen=True)
class Layout:
    """Where the files of a build are, and how they are made."""

    destination: Path
    split: str
    edges: Edges
    format: Format
    size: int | None

    def file(self, variant: str, folder: str, name: str) -> Path:
        """An image of a variant, or the mask, by its class folder and name."""
        suffix = ".npy" if variant == MASKS else ".png" if self.format == "png" else ".JPEG"
        return self.destination / variant / self.split / folder / f"{name}{suffix}"


@dataclass(frozen=True)
class Source:
    """One image with what belongs to it."""

    path: str
    image: Path
    mask: Path
    box: tuple[float, ...] | None
    folder: str
    stem: str


@dataclass(frozen=True)
class Frame:
    """A source's pixels: image `[h, w, 3]`, mask `[h, w]` and the box around its foreground."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    box: Box


def build_one(settings: Layout, source: Source) -> tuple[str, str]:
    """Write an image's own variants; its verdict, and what is wrong with it where it cannot be read."""
    try:
        frame = _load(source, settings)
    except ValueError as error:
        return "unreadable", str(error)
    if isinstance(frame, str):
        return frame, ""
    pictures = {
        "original": frame.image,
        "only_fg": blend(frame.image, frame.mask, 0),
        "no_fg": blend(frame.image, 255 - frame.mask, 0),
        "only_bg_b": black_background(frame.image, frame.box),
        "only_bg_t": tile_background(frame.image, frame.box),
    }
    for variant, picture in pictures.items():
        write_image(settings.file(variant, source.folder, source.stem), picture)
    binary = io.BytesIO()
    np.save(binary, (frame.mask >= HALF).astype(np.uint8))
    write_whole(settings.file(MASKS, source.folder, source.stem), binary.getvalue())
    return "ok", ""


def mix_one(settings: Layout, item: tuple[Source, list[tuple[Source, Path]]]) -> None:
    """Write an image's foreground on the backgrounds of others, each into its own file."""
    source, wanted = item
    foreground = _usable(source, settings)
    for partner, file in wanted:
        other = _usable(partner, settings)
        background = cover(tile_background(other.image, other.box), *foreground.mask.shape)
        write_image(file, blend(foreground.image, foreground.mask, background))


def _load(source: Source, settings: Layout) -> Frame | str:
    """A source's pixels as the build shows them, or why it cannot be used.

    Raises:
        ValueError: the image or the mask cannot be read, or their sizes differ.
    """
    if not source.mask.is_file():
        return "no_mask"
    image, mask = read_image(source.image), read_mask(source.mask)
    check_size(source.image, image.shape, source.mask, mask.shape)
    mask = mask if settings.edges == "soft" else harden(mask)
    box = foreground_box(mask, source.box)
    if box is None:
        return "empty"
    if settings.size is not None:
        shown = cover_box(box, image.shape, settings.size, settings.size)
        image, mask = (cover(pixels, settings.size, settings.size) for pixels in (image, mask))
        mask = mask if settings.edges == "soft" else harden(mask)
        if shown is None or box_of_mask(mask) is None:
            return "cropped"
        box = shown
    if box_area(box) > LARGEST_SHARE * mask.size:
        return "box_too_large"
    return Frame(image, mask, box)


def _usable(source: Source, settings: Layout) -> Frame:
    frame = _load(source, settings)
    if isinstance(frame, str):
        raise ValueError(f"{source.image} or its mask changed while the backgrounds were built: build in a new folder")
    return frame
