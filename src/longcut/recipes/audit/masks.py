"""Foreground masks for an audit: the ones given, or GrabCut's, made once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from longcut.data.arrays import split_member
from longcut.data.builders.segmentation import segment
from longcut.data.cache import default_cache, locked
from longcut.data.decoding import ImageError, image_size, read_image, write_image
from longcut.data.image_set import ImageSet, mask_path
from longcut.data.store import Recipe, fingerprint

Say = Callable[[str], None]


def with_masks(
    images: ImageSet, given: Path | None, cache: Path | None, *, make: bool = True, say: Say = lambda line: None
) -> tuple[ImageSet, dict[str, Any]]:
    """The images with a mask file each, empty where there is no mask, and what is known of the masks' quality.

    Args:
        images: what to find masks for.
        given: tree of masks that mirrors the images' tree; where None those that the set names, else GrabCut's.
        cache: folder of what is made; `default_cache()` where None.
        make: masks where there are none; else all are empty.
        say: is told what is made.

    Raises:
        ValueError: `given` is no folder, or holds no mask of any of the images.
    """
    recipe = Recipe(0, composites=images.boxes is not None)  # with composites, the fingerprint tells the boxes
    folder = (cache or default_cache()) / "masks" / fingerprint(replace(images, masks=None), recipe)
    if given is not None:
        images = images.with_masks(given)
    if images.masks is not None and any(mask.is_file() for mask in images.masks):
        about: dict[str, Any] = {"source": "given", "folder": str(given) if given else str(images.root)}
        verdicts = ["ok" if mask.is_file() else "missing" for mask in images.masks]
    elif not make:
        about, verdicts = {"source": "none"}, ["missing"] * len(images)
        images = replace(images, masks=tuple(mask_path(folder, path) for path in images.paths))
    else:
        say(f"no masks are given: GrabCut's are made in {folder}")
        with locked(folder):
            named = _in_files(images, folder / "images")
            rows = segment(named, folder / "grabcut", skip_bad=True, label="masks")
        images = replace(images, masks=tuple(mask_path(folder / "grabcut", path) for path in named.paths))
        about, verdicts = {"source": "grabcut", "folder": str(folder)}, [row.verdict for row in rows]
        about["mean_area"] = float(np.mean([row.area for row in rows if row.verdict == "ok"] or [0.0]))
    about |= {"images": len(images), "usable": verdicts.count("ok"), "verdicts": dict(Counter(verdicts))}
    assert images.masks is not None
    files = zip(images.paths, images.masks, strict=True)
    masks = tuple(mask if mask.is_file() else _empty_mask(images.root / path, folder) for path, mask in files)
    return replace(images, masks=masks), about


def _in_files(images: ImageSet, folder: Path) -> ImageSet:
    """The images in files of different names, as their masks will have: rows of arrays are written out, files linked.

    Where the names differ already, the images as they are.
    """
    if len({mask_path(folder, path) for path in images.paths}) == len(images):
        return images
    paths = []
    for place, path in enumerate(images.paths):
        row, file = split_member(path), images.root / path
        paths.append(f"{place:06d}{file.suffix if row is None else '.png'}")
        copy = folder / paths[-1]
        copy.parent.mkdir(parents=True, exist_ok=True)
        if row is None and not copy.is_symlink():
            copy.symlink_to(file.absolute())
        elif row is not None and not copy.is_file():
            with suppress(ImageError):  # it is refused, or left out, where it is decoded
                write_image(copy, read_image(file))
    return replace(images, root=folder, paths=tuple(paths))


def _empty_mask(image: Path, folder: Path) -> Path:
    """A mask without foreground, of an image's size; one file serves all images of it."""
    try:
        height, width = image_size(image)
    except ImageError:
        height, width = 1, 1  # the image is refused, or left out, where it is decoded
    file = folder / "empty" / f"{height}x{width}.png"
    if not file.is_file():
        write_image(file, np.zeros((height, width), np.uint8))
    return file
