"""Image files below folders."""

from __future__ import annotations

import os
from pathlib import Path

from longcut.data.layouts.samples import sorted_names

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"})
KINDS = ", ".join(sorted(SUFFIXES))


def folders_in(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted; hidden ones are passed over, and none where it does not exist."""
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def images_in(folder: Path) -> list[str]:
    """Names of the image files in a folder itself, sorted; hidden ones are passed over."""
    return sorted(entry.name for entry in os.scandir(folder) if is_image(entry.name) and entry.is_file())


def images_below(folder: Path, root: Path) -> list[str]:
    """POSIX paths, relative to `root`, of the image files in a folder at any depth; hidden ones are passed over."""
    found: list[str] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        images = [name for name in names if is_image(name)]
        if images:
            inside = Path(parent).relative_to(root).as_posix()
            found += images if inside == "." else [f"{inside}/{name}" for name in images]
    return found


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image which is not hidden."""
    return os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")


def stem_of(path: str) -> str:
    """A file's name without its suffix."""
    return os.path.splitext(path.rpartition("/")[2])[0]


def folder_of(path: str) -> str:
    """Name of the folder that a file lies in."""
    return path.rpartition("/")[0].rpartition("/")[2]


def class_folders(*folders: Path) -> tuple[str, ...]:
    """Names of the folders in several folders, in the order of classes."""
    return sorted_names({name for folder in folders for name in folders_in(folder)})
