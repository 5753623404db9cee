"""What training saw: the picture of a run's first batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from longcut.report.groups import Group
from longcut.report.pictures import Picture, grid_picture

_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class FirstBatch:
    """The first batch of a method's run."""

    label: str
    picture: Picture
    beneath: bool
    """Whether rows below the images show what was made of them."""


def first_batches(groups: Sequence[Group]) -> list[FirstBatch]:
    """The first batch of one run of each method, as long as there is room in a page.

    Raises:
        ValueError: names a picture that cannot be decoded.
    """
    found: dict[str, FirstBatch] = {}
    for group in groups:
        batch = None if group.name in found else _first_batch(group)
        if batch is not None:
            if sum(len(shown.picture.source) for shown in (*found.values(), batch)) > _BYTES:
                break
            found[group.name] = batch
    return [*found.values()]


def _first_batch(group: Group) -> FirstBatch | None:
    for run in group.runs:
        path = run.picture
        if path is not None:
            picture = grid_picture(path)
            with Image.open(path) as image:
                beneath = image.height > run.settings.get("data", {}).get("image_size", image.height)
            return FirstBatch(group.name, picture, beneath)
    return None
