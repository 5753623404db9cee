"""A corruption for each class: any photographs, made a set whose shortcut is what is wrong with the images.

Nam, Cha, Ahn, Lee and Shin, "Learning from Failure" (NeurIPS 2020), section 4, Corrupted CIFAR-10. The corruptions are
ImageNet-C's with lengths scaled to the image (`longcut.corruptions`); theirs have CIFAR-10-C's own parameters, so that
accuracies on the two are not each other's.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.corruptions import corrupt
from longcut.data.builders.bias_assignment import block_bias, check_share, hold_out
from longcut.data.builders.biased_set import BiasedSet, Block, Image, Part, write_biased_set
from longcut.data.builders.choosing import choose_images
from longcut.data.builders.corruption_lists import ORIGINAL, corruptions_for
from longcut.data.decoding import ImageError, image_size, read_image
from longcut.data.image_set import ImageSet, splits_of
from longcut.data.pasting import cover
from longcut.data.pool import Engine, map_items

Read = TypeVar("Read")
_BLOCK = 64  # images corrupted at a time; what they draw depends on it
_SMALLEST = 16  # pixels, of what can be corrupted
_STREAMS = {"train": 0, "valid": 1, "test": 2}


class _Source(NamedTuple):
    """Where the images of a split come from."""

    images: ImageSet
    bias: NDArray[np.int64]


class _Job(NamedTuple):
    """Images of a split that get the same corruption."""

    places: NDArray[np.int64]
    paths: tuple[str, ...]
    corruption: str
    draw: int
    """Seed of what is drawn."""


@dataclass(frozen=True)
class _Options:
    """What a worker needs to know beside its images."""

    root: Path
    size: int
    severity: int


def build_corrupted(
    source: Path,
    destination: Path,
    *,
    ratio: float,
    corruptions: str | Sequence[str] = "type0",
    severity: int = 5,
    size: int | None = None,
    valid: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    engine: Engine = "pool",
    label: str | None = None,
) -> BiasedSet:
    """Corrupt every image, most of them with what goes with their class.

    The i-th corruption goes with the i-th class. Which image conflicts follows from its place in its class
    (`block_bias`); in the test split corruptions are independent of the class. What is drawn for an image depends on
    the seed and on the images of its split that get the same corruption, not on the number of workers.

    Args:
        source: a set with classes, and with the split `train` and one to test on (`test`, or else `val` or `valid`), as
            `read_images` takes it. Where it has both, `val` or `valid` becomes the split `valid`, biased as `train` is.
        destination: folder to write, as `write_biased_set` says.
        ratio: share of the training images that conflict.
        corruptions: "type0" or "type1", the lists of Nam et al., of which as many as there are classes are taken; or
            names of `longcut.corruptions` and "original", one for each class.
        severity: 1 to 5, of all corruptions; 5 in the published tables (their code calls it 4).
        size: side in pixels that images are scaled (shorter side) and centrally cropped to; that of the smallest image
            where None.
        valid: how many training images are held out for validation, drawn so that they are as biased as those that
            stay; none where None.
        seed: of the draws.
        workers: number of processes; None takes every core.
        engine: "pool" or "ray".
        label: what the progress display says; None shows none.

    Returns:
        How many images each split has, and how many of them conflict.

    Raises:
        ValueError: a wrong ratio, severity, size or corruption, fewer corruptions than classes, splits that lack, so
            few images that none conflicts, an unreadable image (`ImageError`), or a destination that holds something
            else or was built with other settings.
        OSError: the destination cannot be written.
    """
    check_share("ratio", ratio)
    if severity not in range(1, 6):
        raise ValueError(f"severity must be 1 to 5, not {severity}")
    train, test, validation = _read(source, destination, valid)
    names = corruptions_for(corruptions, len(train.classes))
    size = _smallest([train, test, *validation]) if size is None else size
    if size < _SMALLEST:
        raise ValueError(f"size is {size}: images are corrupted at {_SMALLEST} pixels and more, such as --size 32")
    sources = _biased(train, test, validation, ratio, valid, seed)
    options = _Options(train.root, size, severity)
    parts = []
    for name, found in sources.items():
        jobs = _jobs(found, names, seed, _STREAMS[name])
        blocks = functools.partial(_blocks, options, jobs, workers, engine, label and f"{label} {name}")
        paths = found.images.paths
        parts.append(Part(name, found.images.targets, found.bias, paths, (size, size), blocks))
    settings: dict[str, str | int | None] = {
        "build": "corrupted",
        "ratio": str(ratio),
        "corruptions": ",".join(names),
        "severity": severity,
        "size": size,
        "valid": valid,
        "seed": seed,
        "images": _listed(sources),
    }
    return write_biased_set(
        destination, parts, settings=settings, classes=train.classes, attributes=names, what="corrupted images"
    )


def _read(source: Path, destination: Path, valid: int | None) -> tuple[ImageSet, ImageSet, list[ImageSet]]:
    """Training, test and validation images, the last only where the set has a split of its own for them."""
    splits = splits_of(source)
    others = [name for name in ("test", "val", "valid") if name in splits]
    if "train" not in splits or not others:
        raise ValueError(
            f"{source} has {'the splits ' + ', '.join(splits) if splits else 'no splits'}: "
            "a biased set is made of 'train' and of 'test', 'val' or 'valid'"
        )
    if len(others) > 1 and valid is not None:
        raise ValueError(f"{source} has a split {others[1]!r} of its own: leave valid = {valid} out")
    train, test, *validation = (choose_images(source, name, destination=destination) for name in ("train", *others[:2]))
    if len(train.classes) < 2:
        raise ValueError(f"{source} has {len(train.classes)} classes: each goes with a corruption, so two are needed")
    for images, name in ((train, "train"), (test, others[0])):
        empty = np.flatnonzero(np.bincount(images.targets, minlength=len(train.classes)) == 0)
        if images.classes != train.classes or len(empty):
            lacking = next(iter(sorted(set(train.classes) ^ set(images.classes))), "") or train.classes[empty[0]]
            raise ValueError(
                f"the class {lacking!r} of {source} has no images in {name!r} or in 'train': it needs both"
            )
    return train, test, validation


def _smallest(sets: Sequence[ImageSet]) -> int:
    return min(min(_opened(image_size, images.root / path)) for images in sets for path in images.paths)


def _opened(read: Callable[[Path], Read], path: Path) -> Read:
    try:
        return read(path)
    except ImageError as error:
        raise ImageError(f"{error}; repair or remove it: 'longcut data check' names all such files") from None


def _biased(
    train: ImageSet, test: ImageSet, validation: Sequence[ImageSet], ratio: float, valid: int | None, seed: int
) -> dict[str, _Source]:
    """The splits to write, each with its biases."""
    count = len(train.classes)
    bias = block_bias(train.targets, 1 - ratio, count)
    if (bias == train.targets).all():
        raise ValueError(
            f"ratio is {ratio}, by which none of {len(train)} training images conflicts: give a higher one"
        )
    draws = keyed_uniforms(seed, 0, np.arange(len(train)), Stream.BIAS, 1)[:, 0]
    chosen = hold_out(train.targets, bias, valid or 0, draws)
    found = {"train": _Source(train.select(~chosen), bias[~chosen])}
    if chosen.any():
        found["valid"] = _Source(train.select(chosen), bias[chosen])
    for images in validation:
        found["valid"] = _Source(images, block_bias(images.targets, 1 - ratio, count))
    found["test"] = _Source(test, block_bias(test.targets, 1 / count, count))
    return found


def _jobs(source: _Source, names: Sequence[str], seed: int, split: int) -> list[_Job]:
    jobs = []
    for bias, name in enumerate(names):
        members = np.flatnonzero(source.bias == bias)
        for start in range(0, len(members), _BLOCK):
            places = members[start : start + _BLOCK]
            # The first image is in no other block of the split.
            high, low = (keyed_uniforms(seed, split, places[:1], Stream.CORRUPTION, 2)[0] * 2**31).astype(int).tolist()
            jobs.append(_Job(places, tuple(source.images.paths[i] for i in places), name, high << 31 | low))
    return jobs


def _blocks(
    options: _Options, jobs: Sequence[_Job], workers: int | None, engine: Engine, label: str | None
) -> Iterator[Block]:
    made = map_items(functools.partial(_make, options), jobs, workers=workers, engine=engine, label=label)
    with closing(made):
        for job, images in zip(jobs, made, strict=True):
            yield job.places, images


def _make(options: _Options, job: _Job) -> Image:
    import torch

    found = (_opened(read_image, options.root / path) for path in job.paths)
    images = np.stack([cover(image, options.size, options.size) for image in found])
    if job.corruption == ORIGINAL:
        return images
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    generator = torch.Generator().manual_seed(job.draw)
    corrupted = corrupt(batch, job.corruption, options.severity, generator=generator)
    return corrupted.permute(0, 2, 3, 1).contiguous().numpy()


def _listed(sources: dict[str, _Source]) -> str:
    listed = [(name, found.images.paths, found.images.targets.tolist()) for name, found in sources.items()]
    return f"sha256:{hashlib.sha256(repr(listed).encode()).hexdigest()}"
