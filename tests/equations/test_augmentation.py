"""Augmentation against torchvision's rule and per-pixel colour arithmetic, written with loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.augmentation import (
    GREY,
    Augmentation,
    centre_crop,
    colour_matrices,
    crop,
    draw,
    finish,
    resize_shorter,
)

PLAIN = (0.0, 0.0, 0.0, 0.0)


def crops_of(augmentation: Augmentation, height: int, width: int, count: int = 4000) -> np.ndarray:
    shapes = np.tile([height, width], (count, 1))
    return draw(augmentation, shapes, seed=4, epoch=1, indices=np.arange(count), stream=Stream.IMAGE).crops


def torchvision_crop(
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    uniform: np.random.Generator,
) -> tuple[int, int, int, int]:
    """`RandomResizedCrop.get_params`, line by line."""
    for _ in range(10):
        area = height * width * uniform.uniform(*scale)
        aspect = math.exp(uniform.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(uniform.integers(0, height - h + 1)), int(uniform.integers(0, width - w + 1)), h, w
    own = width / height
    if own < ratio[0]:
        h, w = round(width / ratio[0]), width
    elif own > ratio[1]:
        h, w = height, round(height * ratio[1])
    else:
        h, w = height, width
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize(("height", "width"), [(64, 64), (100, 60), (37, 90), (1, 1), (3, 2)])
def test_crops_lie_in_the_frame(height: int, width: int) -> None:
    top, left, h, w = crops_of(Augmentation(8), height, width).T
    assert (h >= 1).all()
    assert (w >= 1).all()
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + h <= height).all()
    assert (left + w <= width).all()


def test_areas_and_aspects_are_in_their_ranges() -> None:
    _, _, h, w = crops_of(Augmentation(8, scale=(0.2, 0.5), ratio=(0.6, 1.5)), 400, 400).T
    area, aspect = h * w / 400**2, w / h
    assert area.min() == pytest.approx(0.2, abs=0.005)
    assert area.max() == pytest.approx(0.5, abs=0.005)
    assert aspect.min() == pytest.approx(0.6, abs=0.01)
    assert aspect.max() == pytest.approx(1.5, abs=0.01)
    assert np.log(aspect).mean() == pytest.approx((math.log(0.6) + math.log(1.5)) / 2, abs=0.02)


@pytest.mark.parametrize(
    ("height", "width", "scale", "ratio"),
    [(100, 60, (0.08, 1.0), (3 / 4, 4 / 3)), (64, 64, (0.2, 1.0), (3 / 4, 4 / 3)), (50, 120, (0.5, 0.9), (0.5, 2.0))],
)
def test_crops_are_spread_as_torchvision_s(
    height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> None:
    found = crops_of(Augmentation(8, scale=scale, ratio=ratio), height, width).astype(float)
    generator = np.random.default_rng(0)
    expected = np.array([torchvision_crop(height, width, scale, ratio, generator) for _ in range(4000)], float)
    for moment in (1, 2):
        a, b = found**moment, expected**moment
        error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / 4000)
        assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) < 4.5 * error + 1e-9).all()
    assert np.corrcoef(found.T) == pytest.approx(np.corrcoef(expected.T), abs=0.1)


@pytest.mark.parametrize(("height", "width", "expected"), [(10, 200, (0, 93, 10, 13)), (200, 10, (93, 0, 13, 10))])
def test_a_frame_too_long_for_any_try_gives_its_centre(
    height: int, width: int, expected: tuple[int, int, int, int]
) -> None:
    found = crops_of(Augmentation(8, scale=(0.9, 1.0)), height, width, count=50)
    assert (found == expected).all()
    assert torchvision_crop(height, width, (0.9, 1.0), (3 / 4, 4 / 3), np.random.default_rng(0)) == expected


def test_a_crop_is_those_rows_and_columns() -> None:
    image = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    assert (crop(image, np.array([1, 2, 3, 4])) == image[1:4, 2:6]).all()


def test_draws_are_keyed() -> None:
    shapes = np.array([[40, 50], [64, 64], [30, 90], [64, 32]])
    indices = np.array([7, 3, 11, 3000])
    whole = draw(Augmentation(8), shapes, seed=1, epoch=2, indices=indices, stream=Stream.IMAGE)
    turned = draw(Augmentation(8), shapes[::-1], seed=1, epoch=2, indices=indices[::-1], stream=Stream.IMAGE)
    assert (whole.crops == turned.crops[::-1]).all()
    assert (whole.flips == turned.flips[::-1]).all()
    assert whole.colours is not None
    assert turned.colours is not None
    assert (whole.colours == turned.colours[::-1]).all()
    other = draw(Augmentation(8), shapes, seed=1, epoch=2, indices=indices, stream=Stream.COMPOSITE)
    assert (whole.crops != other.crops).any(axis=1).all()


def test_flips_and_strengths_are_spread_over_their_ranges() -> None:
    augmentation = Augmentation(8, flip=0.3, jitter=(0.4, 0.2, 1.5, 0.1))
    shapes, indices = np.tile([20, 20], (4000, 1)), np.arange(4000)
    found = draw(augmentation, shapes, seed=0, epoch=0, indices=indices, stream=Stream.IMAGE)
    assert found.flips.mean() == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / 4000))
    uniforms = keyed_uniforms(0, 0, indices, Stream.IMAGE, 27)[:, 23:]
    ranges = (0.6, 1.4), (0.8, 1.2), (0.0, 2.5), (-0.1, 0.1)
    colours = np.stack([low + u * (high - low) for u, (low, high) in zip(uniforms.T, ranges, strict=True)], axis=1)
    assert np.allclose(found.colours, colour_matrices(colours), rtol=1e-12, atol=1e-12)


def test_no_jitter_no_matrix() -> None:
    found = draw(
        Augmentation(8, jitter=PLAIN, flip=0.0),
        np.array([[9, 9]]),
        seed=0,
        epoch=0,
        indices=np.array([0]),
        stream=Stream.IMAGE,
    )
    assert found.colours is None
    assert not found.flips.any()
    assert colour_matrices(np.array([[1.0, 1.0, 1.0, 0.0]]))[0] == pytest.approx(np.eye(3, 4), abs=1e-12)


def luma(pixel: list[float]) -> float:
    return 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]


def coloured_by_loops(
    image: np.ndarray, brightness: float, contrast: float, saturation: float, turn: float
) -> np.ndarray:
    """Brightness, contrast, saturation and a rotation of the chroma plane of YIQ, one pixel and one at a time."""
    pixels = [[brightness * float(x) for x in pixel] for pixel in image.reshape(-1, 3)]
    mean = sum(luma(pixel) for pixel in pixels) / len(pixels)
    pixels = [[contrast * x + (1 - contrast) * mean for x in pixel] for pixel in pixels]
    pixels = [[saturation * x + (1 - saturation) * luma(pixel) for x in pixel] for pixel in pixels]
    angle, rows = 2 * math.pi * turn, [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]]
    out = []
    for r, g, b in pixels:
        y, i, q = (row[0] * r + row[1] * g + row[2] * b for row in rows)
        i, q = i * math.cos(angle) - q * math.sin(angle), i * math.sin(angle) + q * math.cos(angle)
        out.append(np.linalg.solve(np.array(rows), [y, i, q]))
    return np.array(out).reshape(image.shape)


COLOURS = [
    (1.2, 1.0, 1.0, 0.0),
    (1.0, 0.7, 1.0, 0.0),
    (1.0, 1.0, 1.4, 0.0),
    (1.0, 1.0, 1.0, 0.1),
    (1.0, 1.0, 0.0, -0.25),
    (0.8, 1.3, 0.6, -0.08),
    (1.1, 0.6, 1.3, 0.5),
]


@pytest.mark.parametrize("colours", COLOURS)
def test_colours_are_four_steps_of_pixel_arithmetic(colours: tuple[float, float, float, float]) -> None:
    image = np.random.default_rng(0).integers(90, 150, (6, 6, 3)).astype(np.uint8)
    expected = coloured_by_loops(image, *colours)
    assert expected.min() > 1
    assert expected.max() < 254
    matrix = colour_matrices(np.array([colours]))[0]
    exact = image @ matrix[:, :3].T + matrix[:, 3] * (image.reshape(-1, 3).mean(axis=0) @ GREY)
    assert exact == pytest.approx(expected, abs=1e-9)
    fixed_point = 3 * 150 * 0.5 / 1024  # OpenCV rounds the coefficients for 8 bits
    assert np.abs(finish(image, 6, False, matrix) - expected).max() < 0.5 + fixed_point


def test_colours_clip_and_do_not_wrap() -> None:
    image = np.full((4, 4, 3), 200, np.uint8)
    assert (finish(image, 4, False, colour_matrices(np.array([[1.4, 1.0, 1.0, 0.0]]))[0]) == 255).all()


@pytest.mark.parametrize("colours", [(1.0, 1.0, 0.3, 0.0), (1.0, 1.0, 1.0, 0.2), (1.0, 1.0, 1.7, -0.37)])
def test_saturation_and_hue_leave_grey_alone(colours: tuple[float, float, float, float]) -> None:
    image = np.arange(0, 250, 2, dtype=np.uint8)[:, None, None].repeat(125, axis=1).repeat(3, axis=2)
    assert (finish(image, 125, False, colour_matrices(np.array([colours]))[0]) == image).all()


def test_a_matrix_is_not_changed_by_its_use() -> None:
    matrix = colour_matrices(np.array([[0.9, 0.5, 1.0, 0.0]]))[0]
    before = matrix.copy()
    finish(np.full((3, 3, 3), 120, np.uint8), 3, False, matrix)
    assert (matrix == before).all()


def test_finish_alone_changes_nothing_and_flips_columns() -> None:
    image = np.random.default_rng(1).integers(0, 256, (5, 5, 3)).astype(np.uint8)
    assert (finish(image, 5, False, None) == image).all()
    assert (finish(image, 5, True, None) == image[:, ::-1]).all()
    assert finish(image[:4, :3], 8, True, None).shape == (8, 8, 3)


def test_shrinking_averages_areas() -> None:
    image = np.random.default_rng(2).integers(0, 256, (12, 12, 3)).astype(np.uint8)
    means = image.reshape(4, 3, 4, 3, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(finish(image, 4, False, None) - means).max() <= 0.5


@pytest.mark.parametrize(("height", "width"), [(12, 20), (20, 12), (12, 12), (13, 30)])
def test_the_centre_is_cut_out(height: int, width: int) -> None:
    image = np.random.default_rng(3).integers(0, 256, (height, width, 3)).astype(np.uint8)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    assert (centre_crop(image, side) == image[top : top + side, left : left + side]).all()


@pytest.mark.parametrize(("height", "width"), [(9, 14), (31, 7), (64, 65)])
@pytest.mark.parametrize("size", [5, 8, 40])
def test_every_centre_has_its_size(height: int, width: int, size: int) -> None:
    assert centre_crop(np.full((height, width, 3), 77, np.uint8), size).shape == (size, size, 3)
    assert (centre_crop(np.full((height, width, 3), 77, np.uint8), size) == 77).all()


def test_the_shorter_side_shrinks_and_never_grows() -> None:
    assert resize_shorter(np.zeros((100, 150, 3), np.uint8), 50).shape == (50, 75, 3)
    assert resize_shorter(np.zeros((90, 30), np.uint8), 20).shape == (60, 20)
    small = np.random.default_rng(4).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    assert (resize_shorter(small, 20) == small).all()
    assert (resize_shorter(small, 200) == small).all()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"scale": (0.0, 1.0)}, "scale"),
        ({"scale": (0.5, 0.2)}, "scale"),
        ({"scale": (0.5, 1.2)}, "scale"),
        ({"ratio": (0.0, 1.0)}, "ratio"),
        ({"ratio": (2.0, 1.0)}, "ratio"),
        ({"flip": 1.5}, "flip"),
        ({"jitter": (0.1, 0.1, 0.1, 0.6)}, "jitter"),
        ({"jitter": (-0.1, 0.1, 0.1, 0.1)}, "jitter"),
    ],
)
def test_ranges_without_sense_are_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=f"^{says} .* not "):
        Augmentation(8, **wrong)
