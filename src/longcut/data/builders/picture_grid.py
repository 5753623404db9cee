"""Grids of pictures to look at, and which are shown."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from longcut.core.seeding import Stream, keyed_uniforms

_PAPER, _INK, _SEAM = 255, (40, 40, 40), 4
_CAPTION = 16


def picture_grid(
    rows: Sequence[Sequence[NDArray[np.uint8]]], captions: Sequence[Sequence[str]] | None = None, *, cell: int = 128
) -> NDArray[np.uint8]:
    """Lay pictures out in rows, each scaled to fit its square cell.

    Args:
        rows: pictures `[h, w, 3]`; a row may be shorter than the others.
        captions: a short text under each picture (ASCII; other letters show as question marks).
        cell: side of a cell in pixels.

    Returns:
        `[h, w, 3]` on white.
    """
    columns = max(len(row) for row in rows)
    step_x, step_y = cell + _SEAM, cell + _SEAM + (_CAPTION if captions else 0)
    page = np.full((step_y * len(rows) + _SEAM, step_x * columns + _SEAM, 3), _PAPER, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            x, y = _SEAM + j * step_x, _SEAM + i * step_y
            _place(page, picture, x, y, cell)
            if captions:
                text = captions[i][j].encode("ascii", "replace").decode()
                cv2.putText(page, text, (x, y + cell + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.38, _INK, 1, cv2.LINE_AA)
    return page


def sampled(count: int, most: int) -> NDArray[np.int64]:
    """Which of `count` pictures are shown: at most so many, and the same whatever a build's seed, so that two compare.

    Returns:
        Places from 0, in ascending order.
    """
    order = np.argsort(keyed_uniforms(0, 0, np.arange(count), Stream.BUILDER, 1)[:, 0], kind="stable")
    return np.sort(order[:most])


def show_mask(image: NDArray[np.uint8], mask: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """An image with its background darkened and its mask's outline drawn; without a mask, in grey.

    Args:
        image: `[h, w, 3]` RGB.
        mask: `[h, w]`, 0 to 255.
    """
    if mask is None:
        return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    shade = 0.35 + 0.65 * mask[..., None].astype(np.float32) / 255
    shown = np.rint(image * shade).astype(np.uint8)
    outlines = cv2.findContours((mask >= 128).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    return np.asarray(
        cv2.drawContours(shown, outlines, -1, (255, 60, 60), max(1, min(image.shape[:2]) // 128)), np.uint8
    )


def _place(page: NDArray[np.uint8], picture: NDArray[np.uint8], x: int, y: int, cell: int) -> None:
    scale = cell / max(picture.shape[:2])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    fitted = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    x, y = x + (cell - size[0]) // 2, y + (cell - size[1]) // 2
    page[y : y + size[1], x : x + size[0]] = fitted
