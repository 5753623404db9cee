"""Textures made from examples: images with the look of a photograph and without its meaning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from longcut.negatives.multiresolution import recolour, resolve, shuffle
from longcut.negatives.quilting import quilt
from longcut.negatives.texture_atlas import (
    NUM_LEVELS,
    make_atlas,
    make_canvas,
    make_offsets,
    make_scratch,
    make_tables,
    reset_stamps,
    unpack,
)

Mode = Literal["multiresolution", "quilting"]

NUM_NEIGHBOURS = 50
NUM_RANDOM = 50
DISPERSION = 1.0
OUTSIDE = 0.25
EXAMPLE_SIDES = (96, 48)
_GUIDE_BLUR = 1.5
_GUIDE_FLOOR = 0.1


def synthesize_texture(
    examples: Sequence[NDArray[np.uint8]],
    *,
    size: int | tuple[int, int],
    seed: int,
    mode: Mode = "multiresolution",
    guide: NDArray[np.uint8] | None = None,
    guide_strength: float = 0.8,
) -> NDArray[np.uint8]:
    """Make an image that looks like its examples close up and shows none of their objects whole.

    `multiresolution` gives each pixel, in random order, the colour of the example pixel whose surroundings fit its 50
    nearest resolved pixels best, of those that carry on what the neighbours were copied from and of 50 random ones; the
    first pixels are chosen on blurred examples and chosen anew as the picture gets finer. `quilting` joins overlapping
    square blocks along seams of least difference: faster, and with larger verbatim pieces.
    One thread; the bytes depend on the arguments alone, and in `multiresolution` on no processor.

    Args:
        examples: RGB images `[h, w, 3]` of any sizes.
        size: height and width of the texture in pixels, or both as one number.
        seed: of the random choices.
        mode: how it is made.
        guide: RGB image `[height, width, 3]` whose light and dark the texture follows, only with `multiresolution`:
            a picture of this content painted in the examples' texture. The examples' luminance is matched to its
            histogram first.
        guide_strength: from 0, which ignores the guide, to 1.

    Returns:
        `[height, width, 3]`; an example of one colour gives that colour.

    Raises:
        ValueError: there is no example, an image is not uint8 RGB or has no pixel, the size is below 1, the guide has
            another size, the strength is outside [0, 1], or the mode is unknown or takes no guide.

    Source:
        The line of Wei and Levoy (SIGGRAPH 2000), Ashikhmin (I3D 2001) and Hertzmann et al., "Image analogies"
        (SIGGRAPH 2001, the guide), with the robust cost and the stages of Embark Studios' texture-synthesis; a pixel is
        no neighbour of itself here, and random candidates' surroundings are not mirrored. What lies beside an example
        counts as a difference of a quarter of the range instead of as black, and the guide keeps a tenth of its
        strength to the end, where theirs fades out. Quilting: Efros and Freeman (SIGGRAPH
        2001).
    """
    height, width = (size, size) if isinstance(size, int | np.integer) else size
    _check(examples, height, width, guide, guide_strength)
    if mode == "quilting":
        if guide is not None:
            raise ValueError("quilting takes no guide: use mode='multiresolution'")
        return quilt(examples, height, width, np.random.default_rng(_bits(seed)))
    if mode != "multiresolution":
        raise ValueError(f"mode is 'multiresolution' or 'quilting', not {mode!r}")
    return _synthesize(examples, height, width, _bits(seed), guide, guide_strength if guide is not None else 0.0)


def texture_examples(
    image: NDArray[np.uint8], uniforms: ArrayLike, *, side: int | None = None
) -> list[NDArray[np.uint8]]:
    """Two square parts of an image to make a texture from: its centre and a random place.

    Their side is 96 px where both sides of the image have as many, else 48, else that of the largest square that fits.
    Those are sides for photographs of some 400 px: of a small image they hold the whole object, so name a smaller one.

    Args:
        image: `[h, w, c]`.
        uniforms: `[2]` draws in [0, 1): row and column of the random place.
        side: of both parts, or of the largest square that fits where that is smaller.

    Returns:
        Two copies `[side, side, c]`.

    Raises:
        ValueError: the image has no pixel, or the side is below 1.

    Source:
        Ge et al., "Robust contrastive learning using negative samples with diminished semantics" (NeurIPS 2021),
        section 2.2, which leaves images under 48 px open.
    """
    height, width = image.shape[:2]
    if min(height, width) < 1:
        raise ValueError(f"an image {list(image.shape)} has no pixels to make a texture from")
    if side is not None and side < 1:
        raise ValueError(f"an example's side is at least 1 pixel, not {side}")
    sides = EXAMPLE_SIDES if side is None else (side,)
    side = next((s for s in sides if s <= min(height, width)), min(height, width))
    down, right = np.asarray(uniforms, np.float64)
    corners = (
        ((height - side) // 2, (width - side) // 2),
        (int(down * (height - side + 1)), int(right * (width - side + 1))),
    )
    return [image[y : y + side, x : x + side].copy() for y, x in corners]


def _check(
    examples: Sequence[NDArray[np.uint8]], height: int, width: int, guide: NDArray[np.uint8] | None, strength: float
) -> None:
    if not len(examples):
        raise ValueError("a texture needs at least one example")
    for name, image in [*((f"example {n}", e) for n, e in enumerate(examples)), ("guide", guide)]:
        if image is not None and (image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0):
            raise ValueError(f"{name} must be uint8 [h, w, 3] with a pixel at least, not {_kind(image)}")
    if min(height, width) < 1:
        raise ValueError(f"a texture has a size of at least 1, not {height} x {width}")
    if guide is not None and guide.shape[:2] != (height, width):
        raise ValueError(f"the guide {_kind(guide)} must have the texture's size {height} x {width}: resize it")
    if not 0 <= strength <= 1:
        raise ValueError(f"guide_strength is from 0 to 1, not {strength}")


def _kind(image: NDArray[Any]) -> str:
    return f"{image.dtype} {list(image.shape)}"


def _bits(seed: int) -> int:
    return seed & (2**64 - 1)


def _synthesize(
    examples: Sequence[NDArray[np.uint8]],
    height: int,
    width: int,
    seed: int,
    guide: NDArray[np.uint8] | None,
    strength: float,
) -> NDArray[np.uint8]:
    """Resolve a 32nd of the pixels on the coarsest level, then all of these anew and as many more on the next ..."""
    luminance, guides = _guides(guide, examples) if guide is not None else (None, None)
    canvas, atlas = make_canvas(height, width, luminance), make_atlas(examples, guides)
    offsets = make_offsets(canvas.stride, atlas.stride, atlas.down, atlas.right)
    scratch = make_scratch(atlas, NUM_NEIGHBOURS, NUM_RANDOM)
    state = np.array([seed], np.uint64)
    order = np.flatnonzero(canvas.inside).astype(np.int32)
    shuffle(order, state)
    resolved = 0
    for stage in range(NUM_LEVELS + 1):
        last = len(order) >> (NUM_LEVELS - stage)
        level = min(stage, NUM_LEVELS - 1)
        share = strength * max((1 - resolved / len(order)) ** 3, _GUIDE_FLOOR)
        tables = make_tables(DISPERSION, OUTSIDE, share)
        recolour(order[:resolved], atlas.colours[level], canvas)
        reset_stamps(scratch, atlas)
        resolve(
            0, last, resolved, level, NUM_NEIGHBOURS, NUM_RANDOM, order, canvas, atlas, offsets, tables, scratch, state
        )
        resolved = last
    return unpack(atlas.colours[-1][canvas.source[canvas.inside]]).reshape(height, width, 3)


def _guides(
    guide: NDArray[np.uint8], examples: Sequence[NDArray[np.uint8]]
) -> tuple[NDArray[np.uint8], list[NDArray[np.uint8]]]:
    """Blurred luminance of the guide and of the examples, these matched to the histogram of that."""
    target, *greys = (_luminance(image) for image in (guide, *examples))
    wanted = np.sort(target, axis=None)
    counts = np.bincount(np.concatenate([g.ravel() for g in greys]), minlength=256)
    ranks = (np.cumsum(counts) - counts / 2) / counts.sum()
    matched = wanted[np.minimum((ranks * len(wanted)).astype(np.int64), len(wanted) - 1)]
    return target, [matched[grey] for grey in greys]


def _luminance(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), _GUIDE_BLUR, borderType=cv2.BORDER_REFLECT_101))
