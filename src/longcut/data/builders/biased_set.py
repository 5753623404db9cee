"""How a set with a bias is written: arrays of images, who they are, and a picture to look at."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longcut import __version__
from longcut.data.builders.build_record import RECORD, building, write_rows
from longcut.data.builders.picture_grid import picture_grid
from longcut.data.decoding import write_image, write_whole

Image = NDArray[np.uint8]
Block = tuple[NDArray[np.int64], Image]
"""Places in a split and the images there, `[b]` and `[b, h, w, 3]`."""

TABLE, MANIFEST, PICTURE = "images.csv", "manifest.csv", "grid.jpg"
COLUMNS = "path", "target", "split", "bias"
_MANIFEST_COLUMNS = "path", "target", "bias", "attribute", "aligned", "split", "source"
_BLOCK = 512  # images painted at a time: what fits a processor's cache
_SHOWN, _ROWS, _CELL = 5, 20, 112


@dataclass(frozen=True)
class Part:
    """One split of a set. `s` counts its images."""

    name: str
    """Of the split, and of its file of images."""
    targets: NDArray[np.int64]
    """`[s]`."""
    bias: NDArray[np.int64]
    """`[s]` the class whose attribute each image has."""
    sources: Sequence[str]
    """`[s]` what each image was made of."""
    side: tuple[int, int]
    """Height and width of the images."""
    blocks: Callable[[], Iterable[Block]]
    """Makes the images, a block at a time, in any order."""


@dataclass(frozen=True)
class BiasedSet:
    """What was built."""

    images: Mapping[str, int]
    """How many images each split has."""
    conflicting: Mapping[str, int]
    """How many of them have another class's attribute."""
    was_complete: bool
    """Whether everything was there already."""


def write_biased_set(
    destination: Path,
    parts: Sequence[Part],
    *,
    settings: Mapping[str, str | int | None],
    classes: Sequence[str],
    attributes: Sequence[str],
    what: str,
) -> BiasedSet:
    """Write a set: `<split>.npy`, `images.csv`, `manifest.csv`, `grid.jpg` and `build.json`.

    Each file is written whole or not at all. An interrupted build goes on with the arrays that are missing, a finished
    one is left alone.

    Args:
        destination: folder to write.
        parts: the splits; the picture shows the first.
        settings: everything that the set depends on.
        classes: names of the classes.
        attributes: what goes with each class.
        what: what is built, for the messages.

    Raises:
        ValueError: the folder holds something else, or was built with other settings.
        OSError: the folder cannot be written.
    """
    with start_build(destination, settings, what=what):
        todo = [part for part in parts if not _array(destination, part).is_file()]
        was_complete = not todo and (destination / TABLE).is_file()
        if not was_complete:
            for part in todo:
                _write_array(_array(destination, part), part)
            write_image(destination / PICTURE, _picture(destination, parts[0], attributes))
            write_rows(destination / MANIFEST, _MANIFEST_COLUMNS, _manifest(parts, classes, attributes))
            write_rows(destination / TABLE, COLUMNS, _rows(parts, classes))  # last: it says that the others are there
    conflicting = {part.name: int((part.bias != part.targets).sum()) for part in parts}
    return BiasedSet({part.name: len(part.targets) for part in parts}, conflicting, was_complete)


@contextmanager
def start_build(destination: Path, settings: Mapping[str, str | int | None], *, what: str) -> Iterator[None]:
    """Build in a folder as `building` does; the record of a new one names longcut's version too.

    Raises:
        ValueError: the folder holds something else, was built with other settings, or another process builds there.
        OSError: the folder cannot be made or written.
    """
    with building(destination, settings, what=what) as going_on:
        if not going_on:
            # Another version need not refuse what this one made, so it is none of the settings that are compared.
            record = {**settings, "longcut": __version__}
            write_whole(destination / RECORD, (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode())
        yield


def in_blocks(count: int, make: Callable[[NDArray[np.int64]], Image]) -> Iterator[Block]:
    """Images that are made from their places, as many at a time as is quick."""
    for start in range(0, count, _BLOCK):
        places = np.arange(start, min(start + _BLOCK, count))
        yield places, make(places)


def _array(destination: Path, part: Part) -> Path:
    return destination / f"{part.name}.npy"


def _write_array(path: Path, part: Part) -> None:
    temporary = path.with_name(f".{path.name}-{os.getpid()}.part")
    shape = len(part.targets), *part.side, 3
    try:
        array = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
        _reserve(temporary)
        for places, images in part.blocks():
            array[places] = images
        array.flush()
        del array
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _reserve(path: Path) -> None:
    """Have the system set a mapped file's room aside: where the disk is full it says so, rather than kill the process.

    Raises:
        OSError: there is too little room.
    """
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):  # not on every system
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _rows(parts: Sequence[Part], classes: Sequence[str]) -> Iterator[Sequence[object]]:
    for part in parts:
        for i, (target, bias) in enumerate(_names(part, classes)):
            yield f"{part.name}.npy#{i}", target, part.name, bias


def _manifest(parts: Sequence[Part], classes: Sequence[str], attributes: Sequence[str]) -> Iterator[Sequence[object]]:
    for part in parts:
        shown = (attributes[c] for c in part.bias.tolist())
        for i, ((target, bias), attribute) in enumerate(zip(_names(part, classes), shown, strict=True)):
            about = target, bias, attribute, int(target == bias)
            yield f"{part.name}.npy#{i}", *about, part.name, part.sources[i]


def _names(part: Part, classes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each image's class, and the class that its attribute goes with: what has both alike is aligned."""
    return zip((classes[c] for c in part.targets.tolist()), (classes[c] for c in part.bias.tolist()), strict=True)


def _picture(destination: Path, part: Part, attributes: Sequence[str]) -> Image:
    """A row for each class: aligned images, then conflicting ones, spread over those there are."""
    array = np.load(_array(destination, part), mmap_mode="r")
    rows: list[list[Image]] = []
    captions: list[list[str]] = []
    for c in np.unique(part.targets)[:_ROWS]:
        members = part.targets == c
        shown = [*_some(members & (part.bias == c)), *_some(members & (part.bias != c))]
        rows.append([np.array(array[i]) for i in shown])
        captions.append([attributes[part.bias[i]] for i in shown])
    return picture_grid(rows, captions, cell=_CELL)


def _some(chosen: NDArray[np.bool_]) -> list[int]:
    places = np.flatnonzero(chosen)
    return (
        places[np.unique(np.linspace(0, len(places) - 1, _SHOWN).round().astype(int))].tolist() if len(places) else []
    )
