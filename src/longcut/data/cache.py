"""Where a store's records live: decoded once into one memory-mapped file for each data set, on first use."""

from __future__ import annotations

import fcntl
import functools
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from longcut.data.decoding import ImageError, image_size
from longcut.data.image_set import ImageSet
from longcut.data.mapped import MappedFile
from longcut.data.members import open_members
from longcut.data.pool import map_items
from longcut.data.store import (
    DIGEST,
    CacheMode,
    Decoded,
    Recipe,
    Store,
    content_hash,
    files_of,
    fingerprint,
)

Say = Callable[[str], None]
_FEW = 1024  # images that are decoded sooner than a pool of processes has started


def default_cache() -> Path:
    """Folder of the caches: `$XDG_CACHE_HOME/longcut`, or `~/.cache/longcut`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "longcut"


def open_store(
    images: ImageSet,
    recipe: Recipe,
    *,
    mode: CacheMode = "disk",
    folder: Path | None = None,
    skip_bad: bool = False,
    workers: int | None = None,
    say: Say = lambda line: None,
) -> Store:
    """Decode a set of images, or find them decoded; rows of arrays that need no change are taken as they are.

    Args:
        images: what to decode; with masks where the recipe has composites.
        recipe: size and parts of a record.
        mode: "disk" keeps them in `folder` for later runs, "memory" for this process, "none" decodes each time.
        folder: of the caches; `default_cache()` where None.
        skip_bad: leave unreadable files out and say which, rather than raise.
        workers: processes that decode; None takes every core.
        say: is told in a line what will be written and what was left out.

    Raises:
        ImageError: names the unreadable file, unless they are skipped.
        ValueError: no image is left, or the disk has no room.
    """
    if (members := open_members(images, recipe)) is not None:
        return members
    if mode == "disk":
        folder = (folder or default_cache()) / fingerprint(images, recipe)
        with locked(folder):
            if (folder / "index.npz").is_file():
                index = _read(images, recipe, folder, workers)
            else:
                index = _write(images, recipe, folder, workers, say)
        file = folder / "records.bin"
        records: MappedFile | NDArray[np.uint8] | None = MappedFile(file) if file.stat().st_size else None
    else:
        buffer = io.BytesIO() if mode == "memory" else None
        index = _decode_all(images, recipe, buffer, workers)
        records = None if buffer is None else np.frombuffer(buffer.getbuffer(), np.uint8)
    return _checked(images, recipe, index, records, skip_bad, say)


def _write(images: ImageSet, recipe: Recipe, folder: Path, workers: int | None, say: Say) -> dict[str, NDArray[Any]]:
    size = estimate_bytes(images, recipe)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise ValueError(
            f"the cache of {len(images)} images needs about {size / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB: "
            "choose another folder with XDG_CACHE_HOME, or --cache none"
        )
    say(f"decoding {len(images)} images once into {folder} (about {size / 1e6:.0f} MB)")
    part = folder / "records.part"
    with part.open("wb") as file:
        index = _decode_all(images, recipe, file, workers)
        _sync(file)
    part.replace(folder / "records.bin")
    _list(folder, index)
    return index


def _read(images: ImageSet, recipe: Recipe, folder: Path, workers: int | None) -> dict[str, NDArray[Any]]:
    """The index of a cache; what could not be read is tried again, for that may have been the disk's fault."""
    index = dict(np.load(folder / "index.npz"))
    bad = index["bad"]
    if not len(bad):
        return index
    with (folder / "records.bin").open("ab") as file:
        found = _decode_all(images.select(bad), recipe, file, workers)
        _sync(file)
    if len(found["bad"]) < len(bad):
        for name in ("shapes", "offsets", "lends", "peaks", "digests"):
            index[name][bad] = found[name]
        index |= {"bad": bad[found["bad"]], "errors": found["errors"]}
        _list(folder, index)
    return index


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _list(folder: Path, index: dict[str, NDArray[Any]]) -> None:
    listing = folder / "index.part.npz"
    np.savez(listing, allow_pickle=False, **index)
    listing.replace(folder / "index.npz")


def estimate_bytes(images: ImageSet, recipe: Recipe) -> int:
    """Size of a cache in bytes, from the headers of at most 64 of the images."""
    some = range(0, len(images), max(1, len(images) // 64))
    areas = []
    for index in some:
        try:
            height, width = image_size(files_of(images, index)[0])
        except ImageError:
            continue
        factor = min(1.0, recipe.side / min(height, width))
        areas.append(height * width * factor**2)
    return round(np.mean(areas) * len(images) * (7 if recipe.composites else 3)) if areas else 0


def _decode_all(
    images: ImageSet, recipe: Recipe, file: BinaryIO | None, workers: int | None
) -> dict[str, NDArray[Any]]:
    """Decode every image, append the records to `file`, and return what is known of each and of those that failed."""
    shapes, offsets, lends, peaks, digests, bad, errors = [], [], [], [], [], [], []
    end = file.tell() if file is not None else 0
    items = [files_of(images, index) for index in range(len(images))]
    work = functools.partial(_decode, recipe, file is not None)
    few = len(items) < _FEW
    decoding = map_items(work, items, workers=1 if few else workers, label=None if few else "decoding")
    with closing(decoding) as results:
        for place, decoded in enumerate(results):
            if file is not None:
                file.writelines(part.tobytes() for part in decoded.parts)
            shapes.append(decoded.shape)
            offsets.append(end)
            end += sum(part.size for part in decoded.parts)
            lends.append(decoded.lends)
            peaks.append(decoded.peak)
            digests.append(decoded.digest.ljust(DIGEST, b"\0"))
            if decoded.error:
                bad.append(place)
                errors.append(decoded.error)
    return {
        "shapes": np.array(shapes, np.int64),
        "offsets": np.array(offsets, np.int64),
        "lends": np.array(lends, bool),
        "peaks": np.array(peaks, np.uint8),
        "digests": np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST),
        "bad": np.array(bad, np.int64),
        "errors": np.array(errors, np.str_),
    }


def _decode(recipe: Recipe, keep: bool, files: tuple[Path, Path | None, NDArray[np.float64] | None]) -> Decoded:
    decoded = recipe.decode(*files)
    return decoded if keep else decoded._replace(parts=())


def _checked(
    images: ImageSet,
    recipe: Recipe,
    index: dict[str, NDArray[Any]],
    records: MappedFile | NDArray[np.uint8] | None,
    skip_bad: bool,
    say: Say,
) -> Store:
    """The store of the readable images; the others are raised or told."""
    good = np.ones(len(images), bool)
    good[index["bad"]] = False
    for error in index["errors"]:
        if not skip_bad:
            raise ImageError(f"{error}; remove it, or leave out all such files with --skip-bad")
        say(f"left out: {error}")
    if not good.any():
        raise ValueError(f"none of the {len(images)} images in {images.root} can be read")
    kept = images.select(good)
    return Store(
        images=kept,
        recipe=recipe,
        lends=index["lends"][good],
        peaks=index["peaks"][good],
        digest=content_hash(kept, (bytes(row) for row in index["digests"][good])),
        shapes=index["shapes"][good],
        offsets=None if records is None else index["offsets"][good],
        records=records,
    )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder alone: a second process that wants the same cache waits until the first has written it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except PermissionError as error:
        raise ValueError(
            f"cannot write the cache in {error.filename}: choose another folder with XDG_CACHE_HOME, or --cache none"
        ) from None
