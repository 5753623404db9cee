"""MNIST, or any set of its shape, from wherever it lies: an .npz file, its own four files, or class folders."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from longcut.data.decoding import read_mask
from longcut.data.fetching.idx import read_idx
from longcut.data.image_set import read_images

NUM_CLASSES = 10
_ARRAYS = (
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
)
_FILES = "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
_FORMS = (
    "an .npz file with train_images, train_labels, test_images and test_labels, a folder with MNIST's four IDX files, "
    "or one with train/<digit>/*.png and test/<digit>/*.png"
)


@dataclass(frozen=True)
class GreyImages:
    """A training and a test set of grey images of ten classes."""

    train_images: NDArray[np.uint8]
    """`[s, h, w]`."""
    train_labels: NDArray[np.int64]
    """`[s]` 0 to 9."""
    test_images: NDArray[np.uint8]
    """`[s, h, w]`."""
    test_labels: NDArray[np.int64]
    """`[s]` 0 to 9."""

    def digest(self) -> str:
        """A hash of all of it, the same from whichever files it was read."""
        state = hashlib.sha256()
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            state.update(repr(array.shape).encode())
            state.update(np.ascontiguousarray(array).view(np.uint8).data)
        return f"sha256:{state.hexdigest()}"


def read_grey_images(source: Path) -> GreyImages:
    """Read MNIST.

    Args:
        source: an `.npz` file with uint8 arrays `train_images`, `train_labels`, `test_images`, `test_labels` (or
            `x_train`, `y_train`, `x_test`, `y_test`); a folder with MNIST's four IDX files, gzipped or not; or a folder
            with `train/<digit>/` and `test/<digit>/`, whose images are ordered by their names without the folder's, so
            that MNIST's own numbering as a name gives MNIST's order.

    Raises:
        ValueError: nothing of the kind is there, arrays have another shape or type, or a digit has no images.
    """
    source = Path(source)
    if not source.exists():
        raise ValueError(f"{source} does not exist: give {_FORMS}")
    if source.is_file():
        arrays = _from_npz(source)
    elif any(_idx_file(source, name).is_file() for name in _FILES):
        arrays = _from_idx(source)
    else:
        arrays = _from_folders(source)
    _check(source, arrays)
    train_images, train_labels, test_images, test_labels = arrays
    return GreyImages(train_images, train_labels.astype(np.int64), test_images, test_labels.astype(np.int64))


def _from_npz(source: Path) -> list[NDArray[np.uint8]]:
    if not zipfile.is_zipfile(source):
        raise ValueError(f"{source} is no whole .npz file: give {_FORMS}")
    try:
        with np.load(source) as found:
            for names in _ARRAYS:
                if set(names) <= set(found.files):
                    return [found[name] for name in names]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{source} is no whole .npz file ({error}): give {_FORMS}") from error
    raise ValueError(f"{source} lacks the arrays of MNIST: give {_FORMS}")


def _idx_file(folder: Path, name: str) -> Path:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), folder / f"{name}.gz")


def _from_idx(folder: Path) -> list[NDArray[np.uint8]]:
    paths = [_idx_file(folder, name) for name in _FILES]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise ValueError(f"{folder} lacks {missing[0]}: MNIST is four files")
    return [read_idx(path) for path in paths]


def _from_folders(folder: Path) -> list[NDArray[np.uint8]]:
    arrays: list[NDArray[np.uint8]] = []
    for split in ("train", "test"):
        if not (folder / split).is_dir():
            raise ValueError(f"{folder} has no folder {split!r}: give {_FORMS}")
        found = read_images(folder, split)
        if not all(name.isdecimal() for name in found.classes) or not found.classes:
            raise ValueError(f"{folder / split} has other folders than digits: give {_FORMS}")
        order = sorted(range(len(found)), key=lambda i: (PurePosixPath(found.paths[i]).stem, found.paths[i]))
        images = [read_mask(folder / found.paths[i]) for i in order]
        shapes = {image.shape for image in images}
        if len(shapes) > 1:
            raise ValueError(f"{folder / split} has images of different sizes, such as {_told(shapes)}")
        arrays += [np.stack(images), np.array([int(found.classes[found.targets[i]]) for i in order], np.uint8)]
    return arrays


def _told(shapes: set[tuple[int, ...]]) -> str:
    return " and ".join(f"{height} x {width}" for height, width in sorted(shapes)[:2])


def _check(source: Path, arrays: list[NDArray[np.uint8]]) -> None:
    for split, images, labels in (("training", arrays[0], arrays[1]), ("test", arrays[2], arrays[3])):
        if images.ndim != 3 or images.dtype != np.uint8 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"{source} has {split} images {images.dtype} {list(images.shape)} and labels {list(labels.shape)}: "
                "uint8 [s, h, w] and [s] are needed"
            )
        found = np.unique(labels)
        if found.tolist() != [*range(NUM_CLASSES)]:
            lacking = sorted(set(range(NUM_CLASSES)) - set(found.tolist()))
            raise ValueError(
                f"{source} has no {split} image of the class {lacking[0]}: each of 0 to {NUM_CLASSES - 1} needs some"
                if lacking
                else f"{source} has {split} labels up to {found.max()}: there are colours for 0 to {NUM_CLASSES - 1}"
            )
    if arrays[0].shape[1:] != arrays[2].shape[1:]:
        raise ValueError(
            f"{source} has training images {list(arrays[0].shape)} but test images {list(arrays[2].shape)}"
        )
