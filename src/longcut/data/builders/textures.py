"""A texture for each image, in a tree that mirrors the images' tree: ImageNet-Texture of one's own images.

Ge, Mishra, Wang, Li and Jacobs, "Robust Contrastive Learning Using Negative Samples with Diminished Semantics"
(NeurIPS 2021), section 2.2: two patches of an image, one from its centre and one from anywhere, make one texture.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from longcut.core.seeding import Stream, keyed_seed, keyed_uniforms
from longcut.data.builders.build_record import building, read_rows, rows_added, write_rows
from longcut.data.builders.choosing import check_distinct
from longcut.data.builders.picture_grid import picture_grid, sampled
from longcut.data.decoding import ImageError, read_image, write_image
from longcut.data.image_set import ImageSet, texture_path
from longcut.data.pool import Engine, map_items
from longcut.negatives.quality import texture_quality
from longcut.negatives.texture_synthesis import Mode, synthesize_texture, texture_examples

Image = NDArray[np.uint8]

TABLE, PICTURE = "textures.csv", "textures.jpg"
QUALITY = "patch_distance", "relative_distance", "coverage_distance", "colour_distance"
"""Which of `TextureQuality`'s distances the table has."""
_COLUMNS = "image", "file", "verdict", "example_side", *QUALITY
_PATCH = 7  # side of the patches that are compared
_SHOWN, _PER_ROW = 16, 2


@dataclass(frozen=True)
class TextureRow:
    """What became of one image."""

    image: str
    """Path of the image, relative to the set's root."""
    file: str
    """Path of its texture, relative to the destination; empty where there is none."""
    verdict: Literal["ok", "unreadable"]
    example_side: int = 0
    """Side of the two examples in pixels."""
    quality: tuple[float, ...] = ()
    """Distances of the texture to its examples, as `QUALITY` names them; empty where they were not measured."""
    error: str = ""
    """What was wrong with an unreadable file."""


@dataclass(frozen=True)
class _Job:
    """What a worker needs to know beside the image."""

    root: Path
    destination: Path
    size: int
    mode: Mode
    seed: int
    patch_size: int | None
    quality: bool


def build_textures(
    images: ImageSet,
    destination: Path,
    *,
    seed: int = 0,
    size: int = 224,
    mode: Mode = "multiresolution",
    patch_size: int | None = None,
    quality: bool = False,
    workers: int | None = None,
    engine: Engine = "pool",
    skip_bad: bool = False,
    label: str | None = None,
) -> list[TextureRow]:
    """Make a texture of every image.

    The texture of `a/b.JPEG` is `<destination>/a/b.png`. Beside the textures lie `textures.csv` (a row for each image),
    `textures.jpg` (a sample: image, examples, texture) and `build.json` (the settings). What is drawn for an image is
    keyed by its path, so neither the other images nor the number of workers change its texture. Run again, the build
    goes on where it stopped; images that were added or could not be read are done, the others left as they are.

    Args:
        images: what to make textures of; classes are not needed.
        destination: folder of the textures.
        seed: of the patches' places and of the synthesis.
        size: side of the textures in pixels.
        mode: "multiresolution", or "quilting", which is faster.
        patch_size: side in pixels of the two patches that a texture is made of; by the image's size where None, as
            `texture_examples` says.
        quality: measure each texture's distances to its examples too; takes longer than to make it.
        workers: number of processes; None takes every core.
        engine: "pool" or "ray".
        skip_bad: give unreadable images a verdict instead of stopping at the first.
        label: what the progress display says; None shows none.

    Returns:
        A row for each image of the set, in its order.

    Raises:
        ValueError: the destination was made with other settings, two images would share a texture, the size or mode is
            wrong, or an image cannot be read (`ImageError`; what was done until then is kept).
        OSError: the destination cannot be written.
    """
    if size < _PATCH:
        raise ValueError(f"size is {size}: a texture needs at least {_PATCH} pixels")
    if mode not in ("multiresolution", "quilting"):
        raise ValueError(f"unknown mode {mode!r}: 'multiresolution' or 'quilting'")
    if patch_size is not None and patch_size < _PATCH:
        raise ValueError(f"patch_size is {patch_size}: a texture is made of patches of at least {_PATCH} pixels")
    check_distinct(images, texture_path, "texture")
    job = _Job(images.root, Path(destination), size, mode, seed, patch_size, quality)
    record: dict[str, str | int | None] = {"build": "textures", "seed": seed, "size": size, "mode": mode}
    record["patch_size"] = patch_size
    with building(job.destination, record, what="textures"):
        done = _rows_done(job)
        todo = [path for path in images.paths if path not in done]
        _save(job.destination, done)
        if todo:
            results = map_items(functools.partial(_build_one, job), todo, workers=workers, engine=engine, label=label)
            with closing(results), rows_added(job.destination / TABLE) as add:
                for row in results:
                    if row.error and not skip_bad:
                        raise ImageError(row.error)
                    done[row.image] = row
                    add(_cells(row))
        _save(job.destination, done)
        rows = [done[path] for path in images.paths]
        write_image(job.destination / PICTURE, _picture(job, [row for row in rows if row.verdict == "ok"]))
    return rows


def mean_quality(rows: Sequence[TextureRow]) -> dict[str, float]:
    """Mean of each distance over the textures that were measured, by name; empty where none was."""
    measured = np.array([row.quality for row in rows if row.quality and not np.isnan(row.quality).any()])
    return dict(zip(QUALITY, measured.mean(axis=0).tolist(), strict=True)) if len(measured) else {}


def _build_one(job: _Job, path: str) -> TextureRow:
    try:
        image = read_image(job.root / path)
    except ImageError as error:
        return TextureRow(path, "", "unreadable", error=str(error))
    examples = _examples(job, path, image)
    file = texture_path(path)
    if (job.destination / file).is_file():
        texture = read_image(job.destination / file)
    else:
        texture = synthesize_texture(examples, size=job.size, seed=keyed_seed(path, job.seed), mode=job.mode)
        write_image(job.destination / file, texture)
    quality = _quality(texture, examples) if job.quality else ()
    return TextureRow(path, file, "ok", examples[0].shape[0], quality)


def _quality(texture: Image, examples: Sequence[Image]) -> tuple[float, ...]:
    """Distances to the examples; not numbers where these are smaller than the patches that are compared."""
    if min(min(example.shape[:2]) for example in examples) < _PATCH:
        return (float("nan"),) * len(QUALITY)
    measured = texture_quality(texture, examples, patch_size=_PATCH)
    return tuple(round(getattr(measured, name), 4) for name in QUALITY)


def _examples(job: _Job, path: str, image: Image) -> Sequence[Image]:
    draws = keyed_uniforms(job.seed, 0, [zlib.crc32(path.encode())], Stream.BUILDER, 2)[0]
    return texture_examples(image, draws, side=job.patch_size)


def _rows_done(job: _Job) -> dict[str, TextureRow]:
    """Rows of an earlier run that still hold, by path."""
    rows = [_row(cells) for cells in read_rows(job.destination / TABLE, _COLUMNS)]
    made = [row for row in rows if (job.destination / row.file).is_file()]
    return {row.image: row for row in made if row.quality or not job.quality}


def _save(destination: Path, rows: dict[str, TextureRow]) -> None:
    write_rows(destination / TABLE, _COLUMNS, (_cells(rows[path]) for path in sorted(rows)))


def _cells(row: TextureRow) -> Sequence[object]:
    return row.image, row.file, row.verdict, row.example_side, *(row.quality or ("",) * len(QUALITY))


def _row(cells: dict[str, str]) -> TextureRow:
    verdict: Any = cells["verdict"]
    quality = tuple(float(cells[name]) for name in QUALITY) if cells[QUALITY[0]] else ()
    return TextureRow(cells["image"], cells["file"], verdict, int(cells["example_side"]), quality)


def _picture(job: _Job, rows: Sequence[TextureRow]) -> Image:
    """Image, two examples and texture, and so again beside it."""
    shown: list[list[Image]] = []
    for i in sampled(len(rows), _SHOWN):
        image = read_image(job.root / rows[i].image)
        texture = read_image(job.destination / rows[i].file)
        shown.append([image, *_examples(job, rows[i].image, image), texture])
    starts = range(0, max(1, len(shown)), _PER_ROW)
    lines = [list(chain.from_iterable(shown[at : at + _PER_ROW])) for at in starts]
    captions = [["image", "centre", "random", "texture"] * (len(line) // 4) for line in lines]
    return picture_grid(lines, captions)
