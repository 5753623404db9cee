"""Sets of images made so that exactly one cue goes with the class, and everything else is drawn apart from it.

Every image is a bar on a background within a frame. Six properties have two values each, drawn for each image without
regard to its class, but for the one that is planted:

| property | values |
|---|---|
| background | bluish and coarse, greenish and fine |
| colour | of the bar: reddish, violet |
| texture | of the bar: fine grain, coarse grain, of one mean and one standard deviation |
| border | a dark frame, a bright one, a sixteenth of the side wide |
| file | JPEG quality 90 or 10; the other sets are PNG |
| shape | the bar lies or stands: one is the other's transpose, so that area, outline and local statistics are equal |

`none` plants the shape: what an image shows makes its class, and no cue does. Where a value stands for, values mean the
same whatever the seed, so that one seed makes training images and another test images.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

CUES = ("background", "colour", "texture", "border", "file", "none")
CLASSES = ("first", "second")
QUALITIES = (90, 10)
SIDE = 32
_FRAME = SIDE // 16
_HALF = (SIDE // 4, SIDE * 5 // 32)  # of the bar: 16 by 10 pixels
_SHIFT = SIDE * 3 // 32
_BACKGROUNDS = np.array([[0.35, 0.45, 0.65], [0.40, 0.60, 0.35]])
_COLOURS = np.array([[0.75, 0.40, 0.35], [0.55, 0.40, 0.75]])
_FRAMES = np.array([0.12, 0.88])
_GRAINS = (0.0, 1.5)  # standard deviation of the blur, in pixels
_PROPERTIES = ("background", "colour", "texture", "border", "file", "shape")


def planted_set(root: Path, cue: str, *, seed: int, num_images: int, strength: float = 1.0) -> Path:
    """Write `<root>/images/<class>/<number>.png` and `<root>/masks/<class>/<number>.png`; JPEG images for `file`.

    Args:
        root: folder to make.
        cue: one of `CUES`.
        seed: of everything that is drawn.
        num_images: in all, as many of either class.
        strength: share of the images whose planted property is that of their class; the others have the other.

    Returns:
        `root`.
    """
    draw = np.random.default_rng([seed, CUES.index(cue)])
    targets = np.arange(num_images) % 2
    values = {name: draw.integers(0, 2, num_images) for name in _PROPERTIES}
    off = np.zeros(num_images, bool)
    off[draw.permutation(num_images)[: round((1 - strength) * num_images)]] = True
    values["shape" if cue == "none" else cue] = np.where(off, 1 - targets, targets)
    for i, target in enumerate(targets):
        pixels, mask = _picture({name: int(each[i]) for name, each in values.items()}, draw)
        name = f"{CLASSES[target]}/{i:04d}"
        quality = QUALITIES[values["file"][i]]
        _save(root / "images" / f"{name}.{'jpg' if cue == 'file' else 'png'}", pixels, quality)
        _save(root / "masks" / f"{name}.png", mask.astype(np.uint8) * 255, quality)
    return root


def _picture(values: dict[str, int], draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pixels `[h, w, 3]` and the bar's mask `[h, w]`."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    across, along = (x, y) if values["shape"] else (y, x)
    shift = draw.integers(-_SHIFT, _SHIFT + 1, 2)
    mask = (np.abs(along - shift[0]) < _HALF[0]) & (np.abs(across - shift[1]) < _HALF[1])
    background = _surface(_BACKGROUNDS[values["background"]], (1.5, 0.0)[values["background"]], draw)
    bar = _surface(_COLOURS[values["colour"]], _GRAINS[values["texture"]], draw, mask)
    pixels = np.where(mask[..., None], bar, background)
    inside = np.maximum(np.abs(x), np.abs(y)) < SIDE / 2 - _FRAME
    frame = _FRAMES[values["border"]] + draw.uniform(-0.08, 0.08) + draw.normal(0, 0.03, (SIDE, SIDE))
    pixels = np.where(inside[..., None], pixels, frame[..., None])
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8), mask


def _surface(
    colour: np.ndarray, blur: float, draw: np.random.Generator, within: np.ndarray | None = None
) -> np.ndarray:
    """A colour, a little off, with grain whose mean is 0 and whose standard deviation is one `within` a mask."""
    grain = draw.normal(0, 1, (SIDE, SIDE))
    grain = cv2.GaussianBlur(grain, (0, 0), blur) if blur else grain
    part = grain if within is None else grain[within]
    grain = (grain - part.mean()) / part.std()
    return colour + draw.normal(0, 0.04, 3) + 0.09 * grain[..., None]


def _save(path: Path, pixels: np.ndarray, quality: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=quality)
