"""Foreground masks for a set of images: PNG files in a tree that mirrors the images' tree, and a verdict for each."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from longcut.core.seeding import keyed_seed
from longcut.data.builders.build_record import building, read_rows, rows_added, write_rows
from longcut.data.builders.choosing import check_distinct
from longcut.data.builders.grabcut import Verdict, grabcut_mask
from longcut.data.builders.picture_grid import picture_grid, sampled, show_mask
from longcut.data.builders.saliency import check_model, preset_of, saliency_mask
from longcut.data.decoding import ImageError, image_size, read_image, read_mask, write_image
from longcut.data.image_set import ImageSet, mask_path
from longcut.data.pool import Engine, map_items
from longcut.data.tiles import HALF, LARGEST_SHARE

SegmentMethod = Literal["grabcut", "onnx", "u2net", "isnet", "birefnet"]

TABLE, PICTURE = "masks.csv", "masks.jpg"
_COLUMNS = "path", "verdict", "area", "x1", "y1", "x2", "y2"
_LEAST_OF_IMAGE = 0.01  # share of the image that a mask without a box must fill
_SHOWN, _PER_ROW = 48, 8


@dataclass(frozen=True)
class MaskRow:
    """What became of one image."""

    path: str
    """Of the image, relative to the set's root."""
    verdict: Verdict
    """"ok", or why there is no mask."""
    area: float = 0.0
    """Share of the image that the mask covers, 0 to 1."""
    box: tuple[float, float, float, float] | None = None
    """The box that was given: x1, y1, x2, y2, inclusive."""
    error: str = ""
    """What was wrong with an unreadable file."""


@dataclass(frozen=True)
class _Job:
    """What a worker needs to know beside the image."""

    root: Path
    destination: Path
    preset: str | None
    model: str | None
    seed: int


def segment(
    images: ImageSet,
    destination: Path,
    *,
    method: SegmentMethod = "grabcut",
    model: Path | None = None,
    seed: int = 0,
    workers: int | None = None,
    engine: Engine = "pool",
    skip_bad: bool = False,
    label: str | None = None,
) -> list[MaskRow]:
    """Make a foreground mask for every image.

    The mask of `a/b.JPEG` is `<destination>/a/b.png`, 0 to 255. An image without a usable mask gets none and a verdict
    that says why. Beside the masks lie `masks.csv` (a row for each image), `masks.jpg` (a sample to look at) and
    `build.json` (the settings). Run again, it goes on where it stopped; images that were added, whose box has changed
    or that could not be read are done, the others left as they are. The result does not depend on the number of
    workers.

    Args:
        images: what to segment; boxes are used by GrabCut alone.
        destination: folder of the masks.
        method: "grabcut", or a family of networks, or "onnx" where the model's file name tells its family.
        model: ONNX file, for networks.
        seed: of GrabCut's random numbers, keyed by each image's path.
        workers: number of processes; None takes every core.
        engine: "pool" or "ray".
        skip_bad: give unreadable images a verdict instead of stopping at the first.
        label: what the progress display says; None shows none.

    Returns:
        A row for each image of the set, in its order.

    Raises:
        ValueError: the destination was made with other settings, two images would share a mask, the method lacks its
            model, or an image cannot be read (`ImageError`; what was done until then is kept).
        OSError: the destination cannot be written.
    """
    destination = Path(destination)
    images = images if model is None else replace(images, boxes=None)
    job = _job(images, destination, method, model, seed)
    check_distinct(images, functools.partial(mask_path, Path()), "mask")
    with building(destination, _settings(job, images), what="masks"):
        done = _rows_done(images, destination)
        todo = [(path, box) for path, box in zip(images.paths, _boxes(images), strict=True) if path not in done]
        _save(destination, done, images)
        if todo:
            results = map_items(functools.partial(_segment_one, job), todo, workers=workers, engine=engine, label=label)
            with closing(results), rows_added(destination / TABLE) as add:
                for row in results:
                    if row.verdict == "unreadable" and not skip_bad:
                        raise ImageError(row.error)
                    done[row.path] = row
                    add(_cells(row))
        _save(destination, done, images)
        rows = [done[path] for path in images.paths]
        if todo or not (destination / PICTURE).is_file():
            write_image(destination / PICTURE, _picture(images, rows, destination))
        return rows


def check_masks(images: ImageSet) -> None:
    """Check that every image has a mask of its own size.

    Raises:
        ValueError: no masks were given, masks are missing (how many, and the first few), or one is of another size.
    """
    if images.masks is None:
        raise ValueError(f"no masks for the images in {images.root}; make them with 'longcut data segment'")
    missing = [str(mask) for mask, there in zip(images.masks, images.usable_masks(), strict=True) if not there]
    if missing:
        few = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise ValueError(f"{len(missing)} of {len(images)} images in {images.root} have no mask: {few}")
    for path, mask in zip(images.paths, images.masks, strict=True):
        check_size(images.root / path, image_size(images.root / path), mask, image_size(mask))


def check_size(image: Path, image_shape: tuple[int, ...], mask: Path, mask_shape: tuple[int, ...]) -> None:
    """Refuse a mask whose height and width are not those of its image.

    Raises:
        ValueError: names both files and sizes.
    """
    if image_shape[:2] != mask_shape[:2]:
        (h, w), (mask_h, mask_w) = image_shape[:2], mask_shape[:2]
        raise ValueError(f"the mask {mask} is {mask_w} x {mask_h}, its image {image} is {w} x {h}: they must be equal")


def _job(images: ImageSet, destination: Path, method: str, model: Path | None, seed: int) -> _Job:
    if method == "grabcut":
        if model is not None:
            raise ValueError(f"method 'grabcut' takes no model, but {model} was given: use the method 'onnx'")
        return _Job(images.root, destination, None, None, seed)
    if method not in ("onnx", "u2net", "isnet", "birefnet"):
        raise ValueError(f"unknown method {method!r}: grabcut, onnx, u2net, isnet or birefnet")
    if model is None:
        raise ValueError(f"method {method!r} needs an ONNX file: give it as the model")
    check_model(model)
    return _Job(images.root, destination, preset_of(model) if method == "onnx" else method, str(model), seed)


def _settings(job: _Job, images: ImageSet) -> dict[str, str | int | None]:
    """What the masks depend on; which images there are and their boxes is looked at image by image."""
    if job.model is None:
        boxes = "none" if images.boxes is None else "given"
        return {"build": "masks", "method": "grabcut", "model": None, "seed": job.seed, "boxes": boxes}
    content = hashlib.sha256(Path(job.model).read_bytes()).hexdigest()
    return {"build": "masks", "method": job.preset, "model": f"sha256:{content}", "seed": None, "boxes": "none"}


def _boxes(images: ImageSet) -> Iterator[tuple[float, ...] | None]:
    if images.boxes is None:
        return iter([None] * len(images))
    return (None if np.isnan(box).any() else tuple(map(float, box)) for box in images.boxes)


def _segment_one(job: _Job, item: tuple[str, tuple[float, float, float, float] | None]) -> MaskRow:
    path, box = item
    mask_path(job.destination, path).unlink(missing_ok=True)  # of an earlier run, where this one may find none
    try:
        image = read_image(job.root / path)
    except ImageError as error:
        return MaskRow(path, "unreadable", 0.0, box, str(error))
    if job.model is not None and job.preset is not None:
        mask, verdict = _judge(saliency_mask(image, job.model, job.preset))
    else:
        mask, verdict = grabcut_mask(image, box, seed=keyed_seed(path, job.seed))
    if mask is None:
        return MaskRow(path, verdict, 0.0, box)
    write_image(mask_path(job.destination, path), mask)
    return MaskRow(path, verdict, round(float(mask.mean(dtype=np.float64)) / 255, 6), box)


def _judge(mask: NDArray[np.uint8]) -> tuple[NDArray[np.uint8] | None, Verdict]:
    share = float((mask >= HALF).mean())
    if share >= _LEAST_OF_IMAGE:
        return (mask, "ok") if share <= LARGEST_SHARE else (None, "full")
    return None, "too_small" if share else "empty"


def _rows_done(images: ImageSet, destination: Path) -> dict[str, MaskRow]:
    """Rows of an earlier run that still hold, by path."""
    boxes = dict(zip(images.paths, _boxes(images), strict=True))
    done = {}
    for cells in read_rows(destination / TABLE, _COLUMNS):
        row = _row(cells)
        kept = row.verdict != "unreadable" and row.box == boxes.get(row.path, row.box)
        if kept and (row.verdict != "ok" or mask_path(destination, row.path).is_file()):
            done[row.path] = row
    return done


def _save(destination: Path, rows: dict[str, MaskRow], images: ImageSet) -> None:
    known = set(images.paths)
    others = sorted(path for path in rows if path not in known)
    ordered = [path for path in images.paths if path in rows] + others
    write_rows(destination / TABLE, _COLUMNS, (_cells(rows[path]) for path in ordered))


def _cells(row: MaskRow) -> Sequence[object]:
    return row.path, row.verdict, f"{row.area:.6f}", *(row.box or ("",) * 4)


def _row(cells: dict[str, str]) -> MaskRow:
    corners = [cells[name] for name in ("x1", "y1", "x2", "y2")]
    box: Any = tuple(map(float, corners)) if corners[0] else None
    verdict: Any = cells["verdict"]
    return MaskRow(cells["path"], verdict, float(cells["area"]), box)


def _picture(images: ImageSet, rows: Sequence[MaskRow], destination: Path) -> NDArray[np.uint8]:
    readable = [row for row in rows if row.verdict != "unreadable"]
    sample = [readable[i] for i in sampled(len(readable), _SHOWN)]
    pictures = [_shown(images.root / row.path, row, destination) for row in sample]
    captions = [row.verdict for row in sample]
    starts = range(0, max(1, len(sample)), _PER_ROW)
    return picture_grid(
        [pictures[at : at + _PER_ROW] for at in starts], [captions[at : at + _PER_ROW] for at in starts]
    )


def _shown(file: Path, row: MaskRow, destination: Path) -> NDArray[np.uint8]:
    mask = read_mask(mask_path(destination, row.path)) if row.verdict == "ok" else None
    return show_mask(read_image(file), mask)
