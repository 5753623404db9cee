"""Images with the shape of one class and the texture of another, made of one's own images.

The files are named as the stimuli of Geirhos et al., "ImageNet-trained CNNs are biased towards texture" (ICLR 2019),
so what evaluates those reads these; they made theirs, and Stylized-ImageNet, by style transfer with a network.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from longcut.core.seeding import keyed_seed
from longcut.data.builders.build_record import building, write_rows
from longcut.data.builders.picture_grid import picture_grid, sampled
from longcut.data.builders.stylize_plan import Pair, class_words, plan_by_image, plan_by_pair
from longcut.data.builders.stylized_table import COLUMNS, TABLE
from longcut.data.decoding import ImageError, read_image, write_image
from longcut.data.image_set import ImageSet
from longcut.data.pasting import cover
from longcut.data.pool import Engine, map_items
from longcut.negatives.amplitude import mix_amplitude
from longcut.negatives.texture_synthesis import synthesize_texture

StyleMode = Literal["guided", "amplitude"]
Image = NDArray[np.uint8]

PICTURE, MAPPING = "stylized.jpg", "classes.csv"
_SHOWN, _PER_ROW = 18, 3


@dataclass(frozen=True)
class StylizedRow:
    """What became of one pair."""

    pair: Pair
    verdict: Literal["ok", "unreadable"]
    error: str = ""
    """What was wrong with an unreadable file."""


@dataclass(frozen=True)
class _Job:
    """What a worker needs to know beside the pair."""

    images: Path
    textures: Path
    destination: Path
    size: int | None
    mode: StyleMode
    seed: int


def build_stylized(
    images: ImageSet,
    textures: ImageSet,
    destination: Path,
    *,
    per_image: int | None = None,
    per_pair: int | None = None,
    mode: StyleMode = "guided",
    size: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    engine: Engine = "pool",
    skip_bad: bool = False,
    label: str | None = None,
) -> list[StylizedRow]:
    """Give images the texture of another class.

    `<destination>/<shape>/<shape><i>-<texture><j>.png`: i and j number the image and the texture in their classes, from
    1. A class whose name could not be read back from such a file's goes by another word (`class_words`), which
    `classes.csv` then says. Beside the images lie `stylized.csv` (a row for each), `stylized.jpg` (a sample: image,
    texture, result) and `build.json`. Run again, an interrupted build goes on; the result does not depend on the number
    of workers.

    Args:
        images: with classes; they give the shapes.
        textures: with classes, which need not be the images'; as `build_textures` makes them, or any pictures.
        destination: folder to build in.
        per_image: how many textures each image gets, each of another class than its own as far as there are any: a set
            to train on. 1 where neither this nor `per_pair` is given.
        per_pair: how many images each pair of a shape's class and another texture's class gets: a set to measure with.
        mode: "guided" makes new texture along the image's luminance (`synthesize_texture`), "amplitude" puts the
            texture's Fourier amplitude under the image's phase (`mix_amplitude`), which is far quicker; there a texture
            larger than the image is cut to it, a smaller one enlarged.
        size: height and width in pixels that images are scaled (shorter side) and centrally cropped to; None keeps each
            image's own.
        seed: of the draws and of the synthesis.
        workers: number of processes; None takes every core.
        engine: "pool" or "ray".
        skip_bad: leave pairs with an unreadable file out instead of stopping at the first.
        label: what the progress display says; None shows none.

    Returns:
        A row for each pair, ordered by image and texture.

    Raises:
        ValueError: no classes, no other class to take a texture of, more asked for than there are, a wrong mode or
            size, a destination built with other settings or of other files, or an unreadable file (`ImageError`).
        OSError: the destination cannot be written.
    """
    images, textures = _checked(images), _checked(textures)
    if mode not in ("guided", "amplitude"):
        raise ValueError(f"unknown mode {mode!r}: 'guided' or 'amplitude'")
    if size is not None and size < 1:
        raise ValueError(f"size is {size}: at least 1 pixel is needed")
    pairs = _plan(images, textures, per_image, per_pair, seed)
    job = _Job(images.root, textures.root, Path(destination), size, mode, seed)
    with building(job.destination, _record(job, pairs), what="stylized images"):
        todo = [pair for pair in pairs if not (job.destination / pair.file).is_file()]
        errors: dict[str, str] = {}
        results = map_items(functools.partial(_build_one, job), todo, workers=workers, engine=engine, label=label)
        with closing(results):
            for pair, error in zip(todo, results, strict=True):
                if error and not skip_bad:
                    raise ImageError(error)
                errors[pair.file] = error
        rows = [_row(pair, errors.get(pair.file, "")) for pair in pairs]
        _write_tables(job.destination, rows)
        write_image(job.destination / PICTURE, _picture(job, [row.pair for row in rows if row.verdict == "ok"]))
    return rows


def _checked(images: ImageSet) -> ImageSet:
    """The same images without the classes that have none.

    Raises:
        ValueError: there are no classes.
    """
    if not images.classes:
        raise ValueError(f"{images.root} has no classes: stylizing needs class folders, or a CSV with targets")
    present = np.unique(images.targets)
    return replace(
        images, targets=np.searchsorted(present, images.targets), classes=tuple(images.classes[c] for c in present)
    )


def _plan(images: ImageSet, textures: ImageSet, per_image: int | None, per_pair: int | None, seed: int) -> list[Pair]:
    if per_image is not None and per_pair is not None:
        raise ValueError(
            "per_image and per_pair exclude each other: the first makes a set to train on, the second to measure"
        )
    for name, count in (("per_image", per_image), ("per_pair", per_pair)):
        if count is not None and count < 1:
            raise ValueError(f"{name} is {count}: at least 1 is needed")
    if per_pair is not None:
        return plan_by_pair(images, textures, per_pair, seed)
    return plan_by_image(images, textures, per_image or 1, seed)


def _record(job: _Job, pairs: Sequence[Pair]) -> dict[str, str | int | None]:
    content = hashlib.sha256(repr([(pair.file, pair.image, pair.texture) for pair in pairs]).encode()).hexdigest()
    choices = {"seed": job.seed, "mode": job.mode, "size": job.size}
    return {"build": "stylized", **choices, "pairs": f"sha256:{content}"}


def _build_one(job: _Job, pair: Pair) -> str:
    """Write what a pair makes; what is wrong with a file that cannot be read."""
    try:
        image, texture = _content(job, pair), read_image(job.textures / pair.texture)
    except ImageError as error:
        return str(error)
    height, width = image.shape[:2]
    if job.mode == "amplitude":
        mixed = mix_amplitude(image, _fit(texture, height, width))
    else:
        seed = keyed_seed(f"{pair.image}\0{pair.texture}", job.seed)
        mixed = synthesize_texture([texture], size=(height, width), seed=seed, guide=image)
    write_image(job.destination / pair.file, mixed)
    return ""


def _fit(texture: Image, height: int, width: int) -> Image:
    """The middle of a texture at its own scale, which is part of what it looks like; enlarged where it is too small."""
    if texture.shape[0] < height or texture.shape[1] < width:
        return cover(texture, height, width)
    top, left = (texture.shape[0] - height) // 2, (texture.shape[1] - width) // 2
    return texture[top : top + height, left : left + width]


def _content(job: _Job, pair: Pair) -> Image:
    image = read_image(job.images / pair.image)
    return image if job.size is None else cover(image, job.size, job.size)


def _row(pair: Pair, error: str) -> StylizedRow:
    return StylizedRow(pair, "unreadable" if error else "ok", error)


def _write_tables(destination: Path, rows: Sequence[StylizedRow]) -> None:
    cells = (
        (p.file, p.image, p.shape_class, p.texture, p.texture_class, row.verdict) for row in rows for p in (row.pair,)
    )
    write_rows(destination / TABLE, COLUMNS, cells)
    words = class_words(sorted({name for row in rows for name in (row.pair.shape_class, row.pair.texture_class)}))
    renamed = [(word, name) for name, word in words.items() if word != name]
    if renamed:
        write_rows(destination / MAPPING, ("folder", "model_class"), renamed)


def _picture(job: _Job, pairs: Sequence[Pair]) -> Image:
    """Image, texture and what was made of them, and so again beside it."""
    shown: list[list[Image]] = []
    captions: list[list[str]] = []
    for place, i in enumerate(sampled(len(pairs), _SHOWN)):
        if place % _PER_ROW == 0:
            shown.append([])
            captions.append([])
        pair = pairs[i]
        texture, made = read_image(job.textures / pair.texture), read_image(job.destination / pair.file)
        shown[-1] += [_content(job, pair), texture, made]
        captions[-1] += [pair.shape_class, pair.texture_class, "result"]
    return picture_grid(shown or [[]], captions or [[]])
