"""Class folders, with splits or without, and flat folders of images."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from longcut.data.layouts.files import KINDS, folders_in, images_below, images_in
from longcut.data.layouts.samples import Samples, no_split, places

SPLITS = ("train", "val", "valid", "test")


def splits_in(root: Path) -> tuple[str, ...]:
    """Names of the splits that a folder holds as folders."""
    return tuple(name for name in folders_in(root) if name in SPLITS)


def beside_classes(root: Path) -> tuple[str, ...]:
    """POSIX paths of the images that lie beside folders of classes or of splits, of which `read` takes none."""
    parts = [part for part in ("", *splits_in(root)) if folders_in(root / part)]
    return tuple(str(PurePosixPath(part, name)) for part in parts for name in images_in(root / part))


def read(root: Path, split: str | None, *, labelled: bool) -> Samples:
    """Read a split, or all of them; the classes are those of what is read.

    Raises:
        ValueError: there is no such split, there are no images, or a class has none.
    """
    splits = splits_in(root)
    if split is not None and split not in splits:
        raise ValueError(no_split(root, split, splits))
    parts = [split] if split is not None else list(splits) or [""]
    found = [(part, *(_class_folders(root / part) if labelled else _any_depth(root / part))) for part in parts]
    classes = tuple(sorted({name for _, names, _ in found for name in names}))
    place = places(classes)
    entries = sorted(
        (str(PurePosixPath(part, file)), place.get(name, -1), part) for part, _, m in found for file, name in m
    )
    if not entries:
        raise ValueError(f"{root} holds no images ({KINDS}), in class folders or beside each other")
    return Samples(
        root,
        tuple(path for path, _, _ in entries),
        np.array([target for _, target, _ in entries], np.int64),
        classes,
        np.array([part for _, _, part in entries], np.str_),
    )


def _class_folders(folder: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Class names, and (path, class name) of every image below; a flat folder has no class."""
    names = folders_in(folder)
    if not names:
        return _any_depth(folder)
    members = {name: images_below(folder / name, folder) for name in names}
    empty = [name for name in names if not members[name]]
    if empty and len(empty) < len(names):
        raise ValueError(f"class folder {folder / empty[0]} holds no images: remove it or fill it")
    return names, [(file, name) for name in names for file in members[name]]


def _any_depth(folder: Path) -> tuple[list[str], list[tuple[str, str]]]:
    return [], [(file, "") for file in images_below(folder, folder)]
