"""Which images there are, and what is known of each: folders, a CSV or a published layout, read without opening one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.arrays import split_member
from longcut.data.layouts import LayoutOptions, Samples, find_layout, folders, read_layout
from longcut.data.layouts.samples import counted, no_split, some
from longcut.data.tables import LabelError, read_boxes


@dataclass(frozen=True)
class ImageSet:
    """A list of images. `s` counts samples."""

    root: Path
    """Folder that `paths` are relative to."""
    paths: tuple[str, ...]
    """`[s]` POSIX paths, sorted; `train.npy#17` is row 17 of an array of images."""
    targets: NDArray[np.int64]
    """`[s]` place of each image's class in `classes`, -1 where there are no classes."""
    classes: tuple[str, ...]
    """Class names, sorted."""
    bias: NDArray[np.int64] | None = None
    """`[s]` the spurious attribute, -1 where it is not known."""
    masks: tuple[Path, ...] | None = None
    """`[s]` file of each image's foreground mask, which need not exist."""
    boxes: NDArray[np.float64] | None = None
    """`[s, 4]` x1, y1, x2, y2, corners included; a row of NaN where there is none.

    Pixels of the image as `read_image` gives it: at its full size, and turned by EXIF's orientation as its mask is.
    """
    bias_names: tuple[str, ...] = ()
    """Names of the attribute's values; where they go with classes, an image is aligned if `bias` equals `targets`."""

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

    @property
    def bias_is_paired(self) -> bool:
        """Whether a bias goes with each class: those called like the classes, or as many as there are classes."""
        count = len(self.classes)
        return count > 0 and (len(self.bias_names) == count or self.bias_names[:count] == self.classes)

    def class_counts(self) -> list[int]:
        """`[n]` images of each class."""
        known: list[int] = np.bincount(self.targets[self.targets >= 0], minlength=len(self.classes)).tolist()
        return known

    def group_counts(self) -> tuple[tuple[int, ...], ...]:
        """`[n][num_bias]` images of each class with each bias; empty where the bias is not labelled."""
        if self.bias is None or not self.bias_names or not self.classes:
            return ()
        shape = len(self.classes), len(self.bias_names)
        known = (self.bias >= 0) & (self.targets >= 0)
        groups = self.targets[known] * shape[1] + self.bias[known]
        counts = np.bincount(groups, minlength=shape[0] * shape[1]).reshape(shape)
        return tuple(tuple(row) for row in counts.tolist())

    def without_bias(self) -> ImageSet:
        """The same images without bias labels."""
        return replace(self, bias=None, bias_names=())

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
    """File of an image's mask in a tree of masks that mirrors the tree of images; of row 17 of `x.npy`, `x/17.png`."""
    return masks / texture_path(path)


def texture_path(path: str) -> str:
    """Path of an image's texture in a tree that mirrors the tree of images, named as `mask_path` names masks."""
    member = split_member(path)
    if member is not None:
        return str(PurePosixPath(member[0]).with_suffix("") / f"{member[1]}.png")
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
    options: LayoutOptions | None = None,
) -> ImageSet:
    """Read a set of images.

    Args:
        root: a folder with class folders, a folder with splits (`train`, `val`, ...) that hold class folders, a flat
            folder of images (then there are no classes), a CSV `path,target[,split,bias,mask,x1,y1,x2,y2]`, a folder
            that holds one as `images.csv`, or a public set with bias labels in one of `longcut.data.layouts`.
        split: which split; None reads all. `val` and `valid` are the same.
        labelled: False takes every image below the root, or the split, at any depth, as one without a class.
        only: the classes to read, of all that there are; all where None.
        classes: class order to hold to, as the training split fixed it; sorted where None.
        masks: tree of masks that mirrors the images' tree.
        boxes: CSV of boxes.
        options: what to read of a layout that holds several targets, biases or severities.

    Raises:
        ValueError: nothing is there, there is no such split, or the classes are not the ones asked for; says which and
            how to go on.
    """
    root = Path(root)
    images = _of_split(read_samples(root, split, labelled=labelled, options=options), split, root)
    if not labelled:
        images = replace(images, classes=(), targets=np.full(len(images), -1))
    if only is not None:
        images = _restrict(images, only)
    if classes is not None:
        images = _hold_to(images, tuple(classes), f"{root} ({split})" if split else str(root))
    if masks is not None:
        images = images.with_masks(Path(masks))
    return images if boxes is None else images.with_boxes(Path(boxes))


def read_samples(
    root: Path, split: str | None = None, *, labelled: bool = True, options: LayoutOptions | None = None
) -> Samples:
    """Read a set of images with the split of each: that of a folder of class folders alone where one is named.

    Raises:
        ValueError: nothing is there.
        LabelError: what lies there does not say what it should, or a file's name is no text.
    """
    options = options or LayoutOptions()
    _check_exists(root)
    found = read_layout(find_layout(root), root, options)
    if found is None:
        known = folders.splits_in(root)
        found = folders.read(root, None if split is None else _known_as(split, known), labelled=labelled)
    _check_names(found)
    return found


def splits_of(root: Path, *, options: LayoutOptions | None = None) -> tuple[str, ...]:
    """Names of the splits that a folder or a CSV holds; empty where it holds none.

    Raises:
        ValueError: there is no such folder or file.
    """
    _check_exists(root)
    found = read_layout(find_layout(root), root, options or LayoutOptions())
    return folders.splits_in(root) if found is None else split_names(found)


def split_names(samples: Samples) -> tuple[str, ...]:
    """Names of the splits that there are, sorted."""
    return tuple(sorted(set(samples.splits.tolist()) - {""}))


def _check_exists(root: Path) -> None:
    if not root.exists():
        raise ValueError(f"{root} does not exist: give a folder of images or a CSV 'path,target'")


def _check_names(samples: Samples) -> None:
    wrong = [path for path in samples.paths if not path.isascii() and path.encode(errors="ignore").decode() != path]
    if wrong:
        names = some([ascii(path) for path in wrong])
        raise LabelError(f"{samples.root}: {counted(len(wrong), 'name')} not in UTF-8, to be renamed: {names}")


def _known_as(split: str, known: Sequence[str]) -> str:
    """The name that a split has among those known: published sets call validation `valid`."""
    other = {"val": "valid", "valid": "val"}.get(split, split)
    return other if split not in known and other in known else split


def images_of(samples: Samples) -> ImageSet:
    """The images of every split; without biases where none is known."""
    return _with_known_bias(
        ImageSet(
            samples.root,
            samples.paths,
            samples.targets,
            samples.classes,
            samples.bias,
            samples.masks,
            samples.boxes,
            samples.bias_names,
        )
    )


def in_split(samples: Samples, split: str) -> NDArray[np.bool_]:
    """`[s]` which images a split has: those of its name, and those that belong to every one."""
    known = split_names(samples)
    return np.isin(samples.splits, (_known_as(split, known), "")) if known else np.ones(len(samples.paths), bool)


def _of_split(samples: Samples, split: str | None, root: Path) -> ImageSet:
    images = images_of(samples)
    if split is None:
        return images
    known, chosen = split_names(samples), in_split(samples, split)
    if not known or not chosen.any():
        raise ValueError(no_split(root, split, known))
    return _with_known_bias(images.select(chosen))


def _with_known_bias(images: ImageSet) -> ImageSet:
    return images if images.bias is not None and (images.bias >= 0).any() else images.without_bias()


def _restrict(images: ImageSet, only: Sequence[str]) -> ImageSet:
    """The images of some classes, with those as their classes."""
    lacking = sorted(set(only) - set(images.classes))
    if lacking:
        raise ValueError(f"{images.root} lacks {len(lacking)} of {len(set(only))} classes asked for: {lacking[0]} ...")
    images = _with_classes(images, tuple(name for name in images.classes if name in set(only)))
    return images.select(images.targets >= 0)


def _hold_to(images: ImageSet, classes: tuple[str, ...], what: str) -> ImageSet:
    """The same images with their targets as places in `classes`."""
    added, lacking = sorted(set(images.classes) - set(classes)), sorted(set(classes) - set(images.classes))
    if added or lacking:
        difference = [f"adds {', '.join(added)}"] * bool(added) + [f"lacks {', '.join(lacking)}"] * bool(lacking)
        raise ValueError(f"the classes of {what} differ from those trained on: it {' and '.join(difference)}")
    return _with_classes(images, classes)


def _with_classes(images: ImageSet, classes: tuple[str, ...]) -> ImageSet:
    """The same images with their targets, and the biases that go with them, in the order of `classes`."""
    order = [images.classes.index(name) for name in classes]
    changed = replace(images, targets=_moved(images.targets, order, len(images.classes)), classes=classes)
    if images.bias is None or not images.bias_is_paired:
        return changed
    names = images.bias_names
    order += [place for place in range(len(names)) if place not in set(order)]
    return replace(
        changed, bias=_moved(images.bias, order, len(names)), bias_names=tuple(names[place] for place in order)
    )


def _moved(places: NDArray[np.int64], order: Sequence[int], count: int) -> NDArray[np.int64]:
    """Places among `count` names after only those in `order` are left; -1 for the others."""
    moved = np.full(count + 1, -1)  # the last one is for -1
    moved[list(order)] = np.arange(len(order))
    return moved[places]
