"""Pictures of an audit inside its page: images whose prediction a change turned."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from PIL import Image

from longcut.data.decoding import read_image
from longcut.evaluation.audit.result import AuditResult, Flip
from longcut.report.pictures import Picture

_BYTES = 7_000_000
_CARDS = 240
_SIDE = 224
_PIXELS = 64
"""Up to this side a picture keeps each of its pixels: a mark of one pixel may be what a model looks at."""


@dataclass(frozen=True, slots=True)
class Card:
    """A flip with its pictures.

    Attributes:
        flip: what turned.
        change: what was done to the image, for people.
        label: its class, or the prediction on the unchanged image where there are no labels.
        original: the unchanged image.
        variant: the changed one.
        overlay: the unchanged one under its Grad-CAM.
    """

    flip: Flip
    change: str
    label: str
    original: Picture
    variant: Picture
    overlay: Picture | None


@dataclass(frozen=True, slots=True)
class Gallery:
    """What the page shows of the flips.

    Attributes:
        cards: in the order of the flips.
        missing: flips whose picture files are not in the audit's folder.
        left_out: flips that would make the page too large.
    """

    cards: tuple[Card, ...]
    missing: int
    left_out: int


def hang(result: AuditResult, folder: Path) -> Gallery:
    """Embed the flips' pictures, suites and classes in turn as long as there is room.

    Raises:
        ValueError: names a picture that cannot be decoded.
    """
    titles = {effect.name: effect.title for effect in result.effects}
    known: dict[str, Picture | None] = {}
    cards: dict[int, Card] = {}
    missing = size = 0
    turns = _in_turn(result.flips)
    for turn, i in enumerate(turns):
        flip = result.flips[i]
        original, variant, overlay = (_picture(folder, name, known) for name in _files(flip))
        if original is None or variant is None:
            missing += 1
            continue
        size += sum(len(picture.source) for picture in (original, variant, overlay) if picture)
        if size > _BYTES or len(cards) == _CARDS:
            return Gallery(_sorted(cards), missing, len(turns) - turn)
        title = titles.get(flip.effect, flip.effect)
        cards[i] = Card(flip, title, flip.target or flip.prediction, original, variant, overlay)
    return Gallery(_sorted(cards), missing, 0)


def _sorted(cards: dict[int, Card]) -> tuple[Card, ...]:
    return tuple(cards[i] for i in sorted(cards))


def _in_turn(flips: tuple[Flip, ...]) -> list[int]:
    """The flips' places, a suite and class after the other: what is cut off at the end is cut off fairly."""
    lists: dict[tuple[str, str], list[int]] = {}
    for i, flip in enumerate(flips):
        lists.setdefault((flip.suite, flip.target or flip.prediction), []).append(i)
    return [i for turn in zip_longest(*lists.values()) for i in turn if i is not None]


def _files(flip: Flip) -> tuple[str, str, str | None]:
    return flip.original, flip.variant, flip.overlay


def _picture(folder: Path, name: str | None, known: dict[str, Picture | None]) -> Picture | None:
    """None where the file is gone, or is not the audit's own."""
    if name is None:
        return None
    if name not in known:
        path = folder / name
        own = path.resolve().is_relative_to(folder.resolve())
        known[name] = _embed(path) if own and path.is_file() else None
    return known[name]


def _embed(path: Path) -> Picture:
    image = Image.fromarray(read_image(path))
    stream = io.BytesIO()
    if max(image.size) <= _PIXELS:
        form = "png"
        image.save(stream, form, optimize=True)
    else:
        form = "webp"
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        image.save(stream, form, quality=80, method=4)
    text = base64.b64encode(stream.getvalue()).decode("ascii")
    return Picture(f"data:image/{form};base64,{text}", *image.size)
