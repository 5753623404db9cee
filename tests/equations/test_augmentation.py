"""Augmentation against torchvision and per-pixel colour arithmetic, written with loops."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms import functional

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.augmentation import Augmentation, Draws, draw, finish
from longcut.data.colours import GREY, colour_matrices
from longcut.data.crops import crop
from longcut.data.randaugment import OPERATIONS, Operation
from longcut.data.resizing import centre_crop, resize_shorter

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


def drawn(augmentation: Augmentation, count: int = 4000, view: int = 0) -> Draws:
    shapes, indices = np.tile([20, 20], (count, 1)), np.arange(count)
    return draw(augmentation, shapes, seed=0, epoch=0, indices=indices, stream=Stream.IMAGE, view=view)


def test_what_is_added_moves_no_other_draw() -> None:
    plain = drawn(Augmentation(8))
    full = drawn(Augmentation(8, jitter_probability=0.5, grey=0.2, blur=0.5, solarize=0.2, randaugment=3))
    assert (plain.crops == full.crops).all()
    assert (plain.flips == full.flips).all()
    assert plain.coloured.all()
    assert not plain.sigmas.any()
    assert not plain.solarized.any()
    assert plain.operations == ((),) * 4000
    jittered = full.coloured & ~np.isclose(full.colours[:, 0, :3], GREY).all(axis=1)
    uncoloured = np.isclose(full.colours[:, 0], full.colours[:, 1]).all(axis=1)
    kept = jittered & ~uncoloured
    assert kept.mean() == pytest.approx(0.5 * 0.8, abs=0.04)
    assert (plain.colours[kept] == full.colours[kept]).all()


def test_probabilities_are_kept_and_independent() -> None:
    found = drawn(Augmentation(8, flip=0.3, jitter_probability=0.8, grey=0.2, blur=0.4, solarize=0.1))
    grey = np.isclose(found.colours[:, 0], found.colours[:, 1]).all(axis=1)
    unchanged = np.isclose(found.colours, np.eye(3, 4)).all(axis=(1, 2))
    assert (unchanged == ~found.coloured).all()
    events = np.stack([found.flips, grey, found.sigmas > 0, found.solarized])
    for event, probability in zip([*events, unchanged], (0.3, 0.2, 0.4, 0.1, 0.2 * 0.8), strict=True):
        assert event.mean() == pytest.approx(probability, abs=4 * math.sqrt(probability * (1 - probability) / 4000))
    assert np.abs(np.corrcoef(events) - np.eye(4)).max() < 4.5 / math.sqrt(4000)


def test_further_views_are_draws_of_their_own() -> None:
    augmentation = Augmentation(8, randaugment=2)
    first, second, third = (drawn(augmentation, view=view) for view in range(3))
    uniforms = keyed_uniforms(0, 0, np.arange(4000), Stream.IMAGE, 3 * 36).reshape(4000, 3, 36)
    assert (uniforms[:, 1] != uniforms[:, 2]).any(axis=1).all()
    for a, b in ((first, second), (second, third)):
        assert np.corrcoef(a.flips, b.flips)[0, 1] == pytest.approx(0, abs=4.5 / math.sqrt(4000))
        assert (a.crops != b.crops).any(axis=1).mean() > 0.95


def test_a_grey_image_is_its_luma() -> None:
    image = np.random.default_rng(5).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    draws = drawn(Augmentation(9, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter=PLAIN, grey=1.0), count=1)
    out = np.empty_like(image)
    draws.finish(0, image, out)
    expected = [[luma(pixel) for pixel in row] for row in image.astype(float)]
    assert np.abs(out - np.array(expected)[..., None]).max() <= 1
    assert (out == out[..., :1]).all()


def test_jitter_comes_before_grey() -> None:
    both = drawn(Augmentation(8, grey=1.0), count=50).colours
    jitter = drawn(Augmentation(8), count=50).colours
    pixel, mean = np.array([40.0, 200.0, 90.0]), 120.0
    coloured = jitter[:, :, :3] @ pixel + jitter[:, :, 3] * mean
    assert both[:, :, :3] @ pixel + both[:, :, 3] * mean == pytest.approx(np.tile((coloured @ GREY)[:, None], 3))


@pytest.mark.parametrize("size", [224, 64])
def test_blur_is_gaussian_and_scales_with_the_picture(size: int) -> None:
    found = drawn(Augmentation(size, blur=1.0)).sigmas * 224 / size
    assert found.min() == pytest.approx(0.1, abs=0.005)
    assert found.max() == pytest.approx(2.0, abs=0.005)
    assert found.mean() == pytest.approx(1.05, abs=0.04)


def test_a_blurred_point_is_a_gaussian() -> None:
    augmentation = Augmentation(41, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter=PLAIN, blur=1.0, solarize=0.0)
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    draws = drawn(augmentation, count=1)
    draws = replace(draws, sigmas=np.array([1.7]))
    out = np.empty_like(point)
    draws.finish(0, point, out)
    expected = [
        [255 * math.exp(-((y - 20) ** 2 + (x - 20) ** 2) / (2 * 1.7**2)) / (2 * math.pi * 1.7**2) for x in range(41)]
        for y in range(41)
    ]
    assert np.abs(out - np.array(expected)[..., None]).max() <= 1


def test_solarized_is_inverted_from_the_middle_on() -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)[..., None].repeat(3, axis=2)
    augmentation = Augmentation(16, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter=PLAIN, solarize=1.0)
    out = np.empty_like(image)
    drawn(augmentation, count=1).finish(0, image, out)
    assert out[..., 0].ravel().tolist() == [x if x < 128 else 255 - x for x in range(256)]


def photograph(seed: int = 0, side: int = 32) -> np.ndarray:
    """Smooth, so that ways to interpolate agree, and not of full contrast."""
    noise = np.random.default_rng(seed).uniform(20, 180, (5, 5, 3)).astype(np.float32)
    return cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC).clip(10, 230).astype(np.uint8)


def applied(name: str, strength: float, image: np.ndarray) -> np.ndarray:
    out = image.copy()
    Operation(name, strength).apply(out)
    return out


def as_torch(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)


LEVELS = {
    "identity": (0.0, lambda image: image),
    "autocontrast": (0.0, functional.autocontrast),
    "equalize": (0.0, functional.equalize),
    "posterize": (5, lambda image: functional.posterize(image, 5)),
    "solarize": (170, lambda image: functional.solarize(image, 170)),
    "colour": (0.4, lambda image: functional.adjust_saturation(image, 0.4)),
    "contrast": (1.3, lambda image: functional.adjust_contrast(image, 1.3)),
    "brightness": (0.7, lambda image: functional.adjust_brightness(image, 0.7)),
    "sharpness": (1.9, lambda image: functional.adjust_sharpness(image, 1.9)),
}


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("seed", [0, 1])
def test_operations_on_levels_are_torchvision_s(name: str, seed: int) -> None:
    strength, theirs = LEVELS[name]
    image = photograph(seed)
    expected = theirs(as_torch(image)).permute(1, 2, 0).numpy()
    found = applied(name, strength, image)
    # torchvision cuts fractions off where these round, in up to two places
    allowed = {"identity": 0, "posterize": 0, "solarize": 0, "equalize": 0}.get(name, 2)
    assert np.abs(found.astype(int) - expected).max() <= allowed
    assert name == "identity" or np.abs(found.astype(int) - image).max() > 4


@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
def test_a_channel_of_one_level_stays(name: str) -> None:
    image = photograph()
    image[..., 1] = 77
    found = applied(name, 0.0, image)
    assert (found[..., 1] == 77).all()
    assert (found[..., 0] != image[..., 0]).any()


WARPS = {
    "rotate": (20.0, {"angle": -20.0}),
    "shear_x": (0.2, {"shear": [math.degrees(math.atan(0.2)), 0.0]}),
    "shear_y": (0.2, {"shear": [0.0, math.degrees(math.atan(0.2))]}),
    "translate_x": (5.0, {"translate": [-5, 0]}),
    "translate_y": (5.0, {"translate": [0, -5]}),
}


@pytest.mark.parametrize("name", WARPS)
@pytest.mark.parametrize("sign", [1, -1])
def test_operations_on_places_are_torchvision_s(name: str, sign: int) -> None:
    strength, theirs = WARPS[name]
    image = photograph()
    arguments = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    arguments |= {k: [sign * x for x in v] if isinstance(v, list) else sign * v for k, v in theirs.items()}
    expected = functional.affine(
        as_torch(image), interpolation=functional.InterpolationMode.BILINEAR, fill=[128.0] * 3, **arguments
    )
    found = applied(name, sign * strength, image)
    inside = np.s_[8:-8, 8:-8]  # they differ in how they blend with the filling at the frame's edge
    assert np.abs(found.astype(int) - expected.permute(1, 2, 0).numpy())[inside].max() <= 3
    assert np.abs(found.astype(int) - image)[inside].max() > 10
    assert (np.abs(found.astype(int) - expected.permute(1, 2, 0).numpy()).max(axis=2) > 3).mean() < 0.06


def test_operations_are_drawn_evenly_and_in_both_directions() -> None:
    found = [o for row in drawn(Augmentation(224, randaugment=2)).operations for o in row]
    assert len(found) == 8000
    strengths: dict[str, list[float]] = {}
    for operation in found:
        strengths.setdefault(operation.name, []).append(operation.strength)
    assert list(OPERATIONS) == sorted(strengths, key=list(OPERATIONS).index)
    assert sum((len(s) - 8000 / 14) ** 2 / (8000 / 14) for s in strengths.values()) < 13 + 4 * math.sqrt(26)
    third = 10 / 30
    expected = {"rotate": 30 * third, "shear_x": 0.3 * third, "shear_y": 0.3 * third}
    expected |= dict.fromkeys(("translate_x", "translate_y"), 150 / 331 * 224 * third)
    blends = dict.fromkeys(("brightness", "contrast", "colour", "sharpness"), 0.9 * third)
    for name, size in (expected | blends).items():
        around = np.array(strengths[name]) - (name in blends)
        assert np.abs(around) == pytest.approx(size)
        assert (around > 0).mean() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(len(around)))
    assert set(strengths["posterize"]) == {7.0}
    assert {round(x, 6) for x in strengths["solarize"]} == {round(256 * (1 - third), 6)}


def test_operations_come_before_colours() -> None:
    augmentation = Augmentation(12, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, randaugment=1)
    draws = replace(drawn(augmentation, count=1), operations=((Operation("solarize", 100.0),),))
    image = photograph(side=12)
    out = np.empty_like(image)
    draws.finish(0, image, out)
    assert (out == finish(applied("solarize", 100.0, image), 12, False, draws.colours[0])).all()
    assert (out != applied("solarize", 100.0, finish(image, 12, False, draws.colours[0]))).any()


@pytest.mark.parametrize("name", ["jitter_probability", "grey", "blur", "solarize"])
def test_what_is_no_probability_is_refused(name: str) -> None:
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=f"^{name} is a probability, not "):
            Augmentation(8, **{name: wrong})
    with pytest.raises(ValueError, match=r"^randaugment is a number of operations of at least 0, not -1"):
        Augmentation(8, randaugment=-1)
