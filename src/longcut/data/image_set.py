"""Which images there are, and what is known of each: class folders or a CSV, read without opening an image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.tables import read_boxes, read_image_table

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"})


@dataclass(frozen=True)
class ImageSet:
    """A list of images. `s` counts samples."""

    root: Path
    """Folder that `paths` are relative to."""
    paths: tuple[str, ...]
    """`[s]` POSIX paths, sorted."""
    targets: NDArray[np.int64]
    """`[s]` place of each image's class in `classes`, -1 where there are no classes."""
    classes: tuple[str, ...]
    """Class names, sorted."""
    bias: NDArray[np.int64] | None = None
    """`[s]` the spurious attribute."""
    masks: tuple[Path, ...] | None = None
    """`[s]` file of each image's foreground mask, which need not exist."""
    boxes: NDArray[np.float64] | None = None
    """`[s, 4]` x1, y1, x2, y2: pixels of the stored image, corners included; a row of NaN where there is none."""

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, positions: NDArray[np.int64] | NDArray[np.bool_]) -> ImageSet:
        """Some of the images, by position or by a boolean mask; the classes stay."""
        positions = np.arange(len(self))[positions]
        return replace(
            self,
            paths=tuple(self.paths[i] for i in positions),
            targets=self.targets[positions],
            bias=None if self.bias is None else self.bias[positions],
            masks=None if self.masks is None else tuple(self.masks[i] for i in positions),
            boxes=None if self.boxes is None else self.boxes[positions],
        )

    def limit_per_class(self, count: int) -> ImageSet:
        """At most `count` images of each class: always the same ones, whatever the seed of a run."""
        order = keyed_uniforms(0, 0, np.arange(len(self)), Stream.ORDER, 1)[:, 0]
        kept = [np.flatnonzero(self.targets == c) for c in np.unique(self.targets)]
        chosen = [members[np.argsort(order[members], kind="stable")[:count]] for members in kept]
        return self.select(np.sort(np.concatenate(chosen)))

    def with_masks(self, root: Path) -> ImageSet:
        """Masks from a sibling tree: the mask of `a/b.jpg` is `<root>/a/b.png`.

        Raises:
            ValueError: the folder is missing, or holds no mask of any of the images.
        """
        if not root.is_dir():
            raise ValueError(f"{root} is no folder of masks; make one with 'longcut data segment {self.root}'")
        masks = tuple(mask_path(root, path) for path in self.paths)
        if not any(mask.is_file() for mask in masks):
            expected = masks[0] if masks else root
            raise ValueError(f"{root} holds no mask of the images in {self.root}: {expected} was expected, for one")
        return replace(self, masks=masks)

    def with_boxes(self, table: Path) -> ImageSet:
        """Boxes from a CSV `file,x1,y1,x2,y2` whose files are relative to the images' root.

        Raises:
            ValueError: the table is broken, or names none of the images.
        """
        known = read_boxes(table)
        boxes = np.array([known.get(path, (np.nan,) * 4) for path in self.paths], np.float64).reshape(-1, 4)
        if np.isnan(boxes).all():
            raise ValueError(f"{table} names none of the images in {self.root}: its files are relative to that folder")
        return replace(self, boxes=boxes)

    def usable_masks(self) -> NDArray[np.bool_]:
        """`[s]` whether each image's mask file exists.

        Raises:
            ValueError: no masks were given.
        """
        if self.masks is None:
            raise ValueError(f"no masks for the images in {self.root}; make them with 'longcut data segment'")
        return np.array([mask.is_file() for mask in self.masks], bool)


def mask_path(masks: Path, path: str) -> Path:
    """File of an image's mask in a tree of masks that mirrors the tree of images."""
    return masks / PurePosixPath(path).with_suffix(".png")


def texture_path(path: str) -> str:
    """Path of an image's texture in a tree of textures that mirrors the tree of images."""
    return str(PurePosixPath(path).with_suffix(".png"))


def read_images(
    root: Path,
    split: str | None = None,
    *,
    labelled: bool = True,
    only: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    masks: Path | None = None,
    boxes: Path | None = None,
) -> ImageSet:
    """Read a set of images.

    Args:
        root: a folder with class folders, a folder with splits (`train`, `val`, ...) that hold class folders, a flat
            folder of images (then there are no classes), or a CSV `path,target[,split,bias,mask,x1,y1,x2,y2]`.
        split: which split; None reads all. Class folders without splits are taken for whichever split is named.
        labelled: False takes every image below the root, or the split, at any depth, as one without a class.
        only: the classes to read, of all that there are; all where None.
        classes: class order to hold to, as the training split fixed it; sorted where None.
        masks: tree of masks that mirrors the images' tree.
        boxes: CSV of boxes.

    Raises:
        ValueError: nothing is there, or the classes are not the ones asked for; says which and how to go on.
    """
    root = Path(root)
    _check_exists(root)
    images = read_image_csv(root, split) if root.is_file() else _read_folder(root, split, labelled)
    if not labelled:
        images = replace(images, classes=(), targets=np.full(len(images), -1))
    if only is not None:
        images = _restrict(images, only)
    if classes is not None:
        images = _hold_to(images, tuple(classes), f"{root} ({split})" if split else str(root))
    if masks is not None:
        images = images.with_masks(Path(masks))
    return images if boxes is None else images.with_boxes(Path(boxes))


def splits_of(root: Path) -> tuple[str, ...]:
    """Names of the splits that a folder or a CSV holds; empty where it holds none.

    Raises:
        ValueError: there is no such folder or file.
    """
    _check_exists(root)
    if root.is_file():
        return tuple(sorted({row.split for row in read_image_table(root) if row.split}))
    return tuple(d for d in _folders(root) if d in ("train", "val", "valid", "test"))


def _check_exists(root: Path) -> None:
    if not root.exists():
        raise ValueError(f"{root} does not exist: give a folder of images or a CSV 'path,target'")


def read_image_csv(table: Path, split: str | None = None) -> ImageSet:
    """Read a CSV `path,target[,split,bias,mask,x1,y1,x2,y2]` whose paths are relative to its own folder."""
    rows = read_image_table(table)
    names = {row.target for row in rows}
    classes = tuple(sorted(names, key=int) if all(name.isdecimal() for name in names) else sorted(names))
    chosen = sorted((row for row in rows if split is None or row.split in (split, "")), key=lambda row: row.path)
    if not chosen:
        raise ValueError(f"{table} has no row of the split {split!r}" if rows else f"{table} has no rows")
    place = {name: i for i, name in enumerate(classes)}
    bias = sorted({row.bias for row in rows if row.bias})
    has_masks, has_boxes = any(row.mask for row in rows), any(row.box for row in rows)
    return ImageSet(
        root=table.parent,
        paths=tuple(row.path for row in chosen),
        targets=np.array([place[row.target] for row in chosen], np.int64),
        classes=classes,
        bias=np.array([bias.index(row.bias) if row.bias else -1 for row in chosen], np.int64) if bias else None,
        masks=tuple(table.parent / (row.mask or "missing mask") for row in chosen) if has_masks else None,
        boxes=np.array([row.box or (np.nan,) * 4 for row in chosen], np.float64) if has_boxes else None,
    )


def _read_folder(root: Path, split: str | None, labelled: bool) -> ImageSet:
    splits = splits_of(root)
    if splits and split is not None and split not in splits:
        raise ValueError(f"{root} has no split {split!r}: it has {', '.join(splits)}")
    parts = [split] if splits and split is not None else list(splits) or [""]
    found = [(part, *(_class_folders(root / part) if labelled else _any_depth(root / part))) for part in parts]
    classes = tuple(sorted({name for _, names, _ in found for name in names}))
    place = {name: i for i, name in enumerate(classes)}
    entries = sorted((str(PurePosixPath(part, file)), place.get(name, -1)) for part, _, m in found for file, name in m)
    if not entries:
        kinds = ", ".join(sorted(SUFFIXES))
        raise ValueError(f"{root} holds no images ({kinds}), in class folders or beside each other")
    return ImageSet(
        root=root,
        paths=tuple(path for path, _ in entries),
        targets=np.array([target for _, target in entries], np.int64),
        classes=classes,
    )


def _class_folders(folder: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Class names, and (path, class name) of every image below; a flat folder has no class."""
    names = _folders(folder)
    if not names:
        return _any_depth(folder)
    members = {name: _images_below(folder / name, folder) for name in names}
    empty = [name for name in names if not members[name]]
    if empty and len(empty) < len(names):
        raise ValueError(f"class folder {folder / empty[0]} holds no images: remove it or fill it")
    return names, [(file, name) for name in names for file in members[name]]


def _any_depth(folder: Path) -> tuple[list[str], list[tuple[str, str]]]:
    return [], [(file, "") for file in _images_below(folder, folder)]


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _images_below(folder: Path, root: Path) -> list[str]:
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        images = [name for name in names if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")]
        found += [Path(parent, name).relative_to(root).as_posix() for name in images]
    return found


def _restrict(images: ImageSet, only: Sequence[str]) -> ImageSet:
    """The images of some classes, with those as their classes."""
    lacking = sorted(set(only) - set(images.classes))
    if lacking:
        raise ValueError(f"{images.root} lacks {len(lacking)} of {len(set(only))} classes asked for: {lacking[0]} ...")
    kept = tuple(name for name in images.classes if name in set(only))
    place = np.array([*(kept.index(name) if name in kept else -1 for name in images.classes), -1], np.int64)
    targets = place[images.targets]
    return replace(images, targets=targets, classes=kept).select(targets >= 0)


def _hold_to(images: ImageSet, classes: tuple[str, ...], what: str) -> ImageSet:
    """The same images with their targets as places in `classes`."""
    added, lacking = sorted(set(images.classes) - set(classes)), sorted(set(classes) - set(images.classes))
    if added or lacking:
        difference = [f"adds {', '.join(added)}"] * bool(added) + [f"lacks {', '.join(lacking)}"] * bool(lacking)
        raise ValueError(f"the classes of {what} differ from those trained on: it {' and '.join(difference)}")
    place = np.array([*(classes.index(name) for name in images.classes), -1], np.int64)  # the last one is for -1
    return replace(images, targets=place[images.targets], classes=classes)
