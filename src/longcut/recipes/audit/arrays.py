"""Sets of images from what a person has in memory: arrays and lists, with targets, masks and biases beside them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from longcut.data.decoding import write_image
from longcut.data.image_set import ImageSet
from longcut.data.layouts.samples import match_bias, places, sorted_names

_IMAGES, _MASKS = "images.npy", "masks"


def is_array(values: Any) -> bool:
    """Whether something is an array of numpy's, or a tensor."""
    return isinstance(values, np.ndarray | Tensor)


def image_set(images: Any, masks: Any, folder: Path) -> ImageSet:
    """A set of images without classes.

    Args:
        images: files; or uint8 `[s, h, w, 3]`, or floats of 0 to 1 `[s, 3, h, w]`, of numpy or torch; or `[s, h, w]`.
        masks: files; or for arrays also `[s, h, w]` of bool, of 0 to 255 or of 0 to 1; or None.
        folder: that arrays are written to.

    Raises:
        ValueError: they are nothing of that, or do not go together.
    """
    if is_array(images):
        pixels = _as_pixels(_numpy(images))
        _keep(folder / _IMAGES, pixels)
        found = _unlabelled(folder, [f"{_IMAGES}#{row}" for row in range(len(pixels))])
        size = pixels.shape[:3]
    else:
        files = [Path(file).absolute() for file in images]
        if not files:
            raise ValueError("there are no images: the list is empty")
        root = Path(os.path.commonpath([file.parent for file in files]))
        found, size = _unlabelled(root, [file.relative_to(root).as_posix() for file in files]), None
    return found if masks is None else replace(found, masks=_mask_files(masks, len(found), size, folder / _MASKS))


def with_targets(images: ImageSet, targets: Any, classes: tuple[str, ...]) -> ImageSet:
    """The images with their classes.

    Args:
        images: `s` of them.
        targets: `[s]` names of classes, or numbers of `classes`.
        classes: the model's.

    Raises:
        ValueError: there are not as many as images, or a number is of no class.
    """
    values = _column(targets, len(images), "targets")
    if values.dtype.kind == "U":
        names = sorted_names(values.tolist())
        return replace(images, classes=names, targets=_placed(values, names))
    outer = values.min() if values.min() < 0 else values.max()
    if not 0 <= outer < len(classes):
        raise ValueError(f"targets has {outer}, and the model {len(classes)} classes: they are counted from 0")
    return replace(images, classes=classes, targets=values)


def with_bias(images: ImageSet, bias: Any) -> ImageSet:
    """The images with the spurious attribute of each.

    Args:
        images: `s` of them, with classes.
        bias: `[s]` names, "" where it is not known; or numbers, -1 there, of which each goes with the class of its own
            number where there are no more of them than of classes.

    Raises:
        ValueError: there are not as many as images.
    """
    values = _column(bias, len(images), "bias")
    if values.dtype.kind == "U":
        names = match_bias(set(values.tolist()) - {""}, images.classes)
        return replace(images, bias=_placed(values, names), bias_names=names)
    count = max(int(values.max()) + 1, len(images.classes))
    return replace(images, bias=values, bias_names=tuple(map(str, range(count))))


def _unlabelled(root: Path, paths: Sequence[str]) -> ImageSet:
    return ImageSet(root, tuple(paths), np.full(len(paths), -1, np.int64), ())


def _column(given: Any, count: int, what: str) -> NDArray[Any]:
    """`[count]` of whole numbers or of text."""
    values = _numpy(given) if is_array(given) else np.array(list(given))
    if values.shape != (count,):
        raise ValueError(f"{what} is {[*values.shape]}: [{count}] is needed, one for each image")
    if values.dtype.kind not in "iuU":
        raise ValueError(f"{what} holds {values.dtype}: whole numbers or names are needed")
    return values if values.dtype.kind == "U" else values.astype(np.int64)


def _placed(values: NDArray[Any], names: Sequence[str]) -> NDArray[np.int64]:
    place = places(names)
    return np.array([place.get(value, -1) for value in values.tolist()], np.int64)


def _mask_files(masks: Any, count: int, size: tuple[int, ...] | None, folder: Path) -> tuple[Path, ...]:
    if not is_array(masks):
        files = tuple(map(Path, masks))
        if len(files) != count:
            raise ValueError(f"there are {len(files)} masks for {count} images: one for each is needed")
        return files
    if size is None:
        raise ValueError("an array of masks goes with an array of images: give files for files")
    array = _numpy(masks)
    array = array[:, 0] if array.ndim == 4 else array
    if array.shape != size:
        raise ValueError(f"masks are {[*array.shape]} and images {[*size]}: they must be equal")
    if not ((array >= 0) & (array <= 255)).all():
        raise ValueError(f"masks go from {array.min():g} to {array.max():g}: 0 to 255, or 0 to 1, are needed")
    files = tuple(folder / f"{row:06d}.png" for row in range(count))
    scale = 255 if array.max() <= 1 else 1
    for file, mask in zip(files, array, strict=True):
        write_image(file, np.rint(mask.astype(np.float32) * scale).astype(np.uint8))
    return files


def _numpy(values: Any) -> NDArray[Any]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _as_pixels(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Bytes with the channels last, or without channels."""
    first, last = (array.ndim == 4 and array.shape[axis] in (1, 3) for axis in (1, 3))
    if first and not (last and array.dtype == np.uint8):
        array = np.moveaxis(array, 1, 3)
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.ndim not in (3, 4) or array.shape[3:] not in ((), (3,)) or 0 in array.shape:
        raise ValueError(
            f"images are {array.dtype} of {[*array.shape]}: uint8 [s, h, w, 3] or floats [s, 3, h, w] are needed"
        )
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind != "f" or not ((array >= 0) & (array <= 1)).all():
        raise ValueError(
            f"images are {array.dtype} from {array.min():g} to {array.max():g}: uint8, or floats from 0 to 1 that are "
            "not normalised yet, are needed"
        )
    return np.rint(np.ascontiguousarray(array) * 255).astype(np.uint8)


def _keep(file: Path, array: NDArray[np.uint8]) -> None:
    """Write an array, unless it is there: then its date stays, and what was made of it is found again."""
    if file.is_file() and np.array_equal(np.load(file, mmap_mode="r"), array):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.stem}.part")
    with part.open("wb") as stream:
        np.save(stream, array)
    part.replace(file)
