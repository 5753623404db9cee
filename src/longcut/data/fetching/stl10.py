"""STL-10's binary files, turned into class folders and a flat folder of the unlabelled images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longcut.data.fetching.unpacking import unpack

SIDE = 96


def write_stl10(downloads: Path, destination: Path) -> None:
    """Write `train/<class>/*.png`, `test/<class>/*.png` and `unlabeled/*.png` from STL-10's archive.

    Its files hold images of 96 x 96 as planes of red, green and blue, each by columns; labels are 1 to 10 (Coates, Lee
    and Ng, "An analysis of single-layer networks in unsupervised feature learning", AISTATS 2011).

    Args:
        downloads: folder of the archive under its own name.
        destination: folder to write into.

    Raises:
        ValueError: the archive is damaged, or lacks a file.
    """
    unpack(downloads / "stl10_binary.tar.gz", downloads)
    source = downloads / "stl10_binary"
    names = _content(source / "class_names.txt").decode().split()
    for split in ("train", "test"):
        labels = np.frombuffer(_content(source / f"{split}_y.bin"), np.uint8) - 1
        folders = [destination / split / names[label] for label in labels]
        _write(source / f"{split}_X.bin", folders)
    unlabelled = source / "unlabeled_X.bin"
    count = unlabelled.stat().st_size // (3 * SIDE * SIDE) if unlabelled.is_file() else 0
    _write(unlabelled, [destination / "unlabeled"] * count)


def _write(file: Path, folders: list[Path]) -> None:
    from PIL import Image

    for folder in set(folders):
        folder.mkdir(parents=True, exist_ok=True)
    for index, (pixels, folder) in enumerate(zip(read_planes(file), folders, strict=True)):
        Image.fromarray(pixels).save(folder / f"{index:06}.png")


def read_planes(file: Path) -> NDArray[np.uint8]:
    """Images `[s, 96, 96, 3]` of one of STL-10's files, mapped from the disk.

    Raises:
        ValueError: the file is missing or cut short.
    """
    size = file.stat().st_size if file.is_file() else 0
    if not size or size % (3 * SIDE * SIDE):
        raise ValueError(f"{file.name} is missing from the archive, or cut short; run the command again")
    return np.memmap(file, np.uint8, mode="r").reshape(-1, 3, SIDE, SIDE).transpose(0, 3, 2, 1)


def _content(file: Path) -> bytes:
    if not file.is_file():
        raise ValueError(f"{file.name} is missing from the archive; run the command again")
    return file.read_bytes()
