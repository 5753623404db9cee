"""Predictions that were made elsewhere: a CSV for what needs no forward pass."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from longcut.data.image_set import ImageSet
from longcut.data.layouts.samples import some
from longcut.data.tables import columns_of, read_cells

Say = Callable[[str], None]
_PLAIN = ("path", "prediction", "confidence")
_ROUNDING = 0.01


@dataclass(frozen=True)
class Row:
    """What a line says of an image: the place of its class, and how sure; NaN where that is not said."""

    place: int
    confidence: float


def read_predictions(
    file: Path, images: ImageSet, *, say: Say = lambda line: None
) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
    """The class that is predicted for each image, and how sure the model was.

    Args:
        file: a CSV `path,prediction`, optionally with `confidence` (0 to 1), or with a column for each class that holds
            its probability; with these `prediction` may be left out. Paths are absolute, or relative to the images'
            folder, or the file's name where no other image has it.
        images: in the order of the result; predictions are names of their classes, or where they have none of those
            in `prediction_classes(file)`.
        say: is told of lines that are about none of the images.

    Returns:
        `[s]` places of classes; `[s]` confidences, None where the file tells none.

    Raises:
        ValueError: the table is broken, lacks images, or predicts classes that the images have not.
    """
    file = Path(file)
    classes = images.classes or prediction_classes(file)
    places, shared = _places_of(images)
    found: dict[int, Row] = {}
    unknown: list[str] = []
    for line, path, row in _rows(file, classes):
        at = _place(path, places, shared, file, line)
        if at is None:
            unknown.append(path)
        elif at in found:
            raise ValueError(f"{file}, line {line}: {path} was predicted before, further up")
        else:
            found[at] = row
    missing = [path for at, path in enumerate(images.paths) if at not in found]
    if missing:
        also = f"; {len(unknown)} of its lines are about other images: {some(unknown)}" if unknown else ""
        raise ValueError(
            f"{file} has no prediction of {len(missing)} of {len(images)} images in {images.root}: "
            f"{some(missing)}{also}"
        )
    if unknown:
        say(f"{file}: {len(unknown)} lines are about none of the images in {images.root}: {some(unknown)}")
    rows = [found[at] for at in range(len(images))]
    confidence = np.array([row.confidence for row in rows], np.float32)
    return np.array([row.place for row in rows], np.int64), None if np.isnan(confidence).any() else confidence


def prediction_classes(file: Path) -> tuple[str, ...]:
    """Names of the classes that a file predicts, sorted.

    Raises:
        ValueError: the table is broken, or has no column of predictions.
    """
    if "prediction" not in columns_of(Path(file)):
        return tuple(sorted(name for name in columns_of(Path(file)) if name not in _PLAIN))
    return tuple(sorted({name for _, (_, name) in read_cells(Path(file), _PLAIN[:2]) if name}))


def _rows(file: Path, classes: Sequence[str]) -> list[tuple[int, str, Row]]:
    """Number, path and content of each line."""
    header = columns_of(file)
    scored = [name for name in classes if name in header and name not in _PLAIN]
    if scored and len(scored) < len(classes):
        lacking = next(name for name in classes if name not in scored)
        raise ValueError(f"{file} has a column for {scored[0]!r} and none for {lacking!r}: give one for each class")
    needed = _PLAIN[:1] if scored else _PLAIN[:2]
    place = {name: at for at, name in enumerate(classes)}
    lines = list(read_cells(file, (*_PLAIN, *scored), needed=needed))
    named = [(line, name) for line, (_, name, *_) in lines if name or "prediction" in header or not scored]
    _check_classes(file, named, place)
    rows = []
    for line, (path, name, confidence, *scores) in lines:
        if not path:
            raise ValueError(f"{file}, line {line}: path is empty")
        probabilities = [_probability(score, file, line) for score in scores]
        if scores and abs(sum(probabilities) - 1) > _ROUNDING:
            raise ValueError(
                f"{file}, line {line}: probabilities of the classes sum to {sum(probabilities):.3f}, not 1"
            )
        at = place[name] if name else int(np.argmax(probabilities))
        sure = probabilities[at] if scores else _probability(confidence, file, line) if confidence else np.nan
        rows.append((line, path, Row(at, sure)))
    return rows


def _check_classes(file: Path, named: Sequence[tuple[int, str]], place: Mapping[str, int]) -> None:
    """Refuse predictions of classes that there are not, all in one line."""
    unknown = Counter(name for _, name in named if name not in place)
    if not unknown:
        return
    first = next(iter(unknown))
    line = next(line for line, name in named if name == first)
    if not first:
        raise ValueError(f"{file}, line {line}: prediction is empty")
    near = difflib.get_close_matches(first, place, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"the classes are {some(list(place))}"
    raise ValueError(
        f"{file} predicts {len(unknown)} classes that the images have not: {some(list(unknown))} "
        f"(line {line} for one); {hint}"
    )


def _probability(text: str, file: Path, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not 0 <= value <= 1:
        raise ValueError(f"{file}, line {line}: {text!r} is no probability from 0 to 1")
    return value


def _places_of(images: ImageSet) -> tuple[dict[str, int], Counter[str]]:
    """Place of each image by every way to write its path; how many images have each file name."""
    names = [PurePosixPath(path).name for path in images.paths]
    shared = Counter(names)
    roots = {images.root.as_posix(), images.root.absolute().as_posix(), images.root.resolve().as_posix()}
    places = {name: at for at, name in enumerate(names) if shared[name] == 1}
    for root in sorted(roots):
        places |= {f"{root}/{path}": at for at, path in enumerate(images.paths)}
    return places | {path: at for at, path in enumerate(images.paths)}, shared


def _place(path: str, places: Mapping[str, int], shared: Mapping[str, int], file: Path, line: int) -> int | None:
    """Place of the image that a line is about; None where it is about none of them."""
    written = str(PurePosixPath(path.replace("\\", "/")))
    if written in places or "/" in written:
        return places.get(written)
    if shared.get(written, 0) > 1:
        raise ValueError(
            f"{file}, line {line}: {shared[written]} images are called {written}: give paths relative to their folder"
        )
    return None
