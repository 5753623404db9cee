"""The corruptions against what a public library made of three photographs, and their parts against plain loops."""

from __future__ import annotations

import colorsys
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from oracles.corruption_statistics import EXACT, RANDOM, SIDES, photographs, sample, statistics
from scipy import ndimage
from torch import Tensor

from longcut.corruptions import corrupt, spatter
from longcut.corruptions.blur import shuffle, trails, zoom
from longcut.corruptions.filters import correlate, fold, gaussian, scale_kernels
from longcut.corruptions.weather import plasma

ORACLE = np.load(Path(__file__).parents[1] / "oracles" / "corruptions.npz")
DRAWS = 4


def batch(side: int) -> Tensor:
    return torch.from_numpy(np.stack(photographs(side))).permute(0, 3, 1, 2).contiguous()


def arrays(images: Tensor) -> NDArray[np.uint8]:
    return images.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", EXACT)
def test_what_draws_nothing_equals_the_published_pixels(name: str, side: int) -> None:
    images = batch(side)
    for severity in range(1, 6):
        ours = np.stack([sample(image) for image in arrays(corrupt(images, name, severity, scale=False))])
        difference = np.abs(ours.astype(int) - ORACLE[f"{name}/{side}"][severity - 1])
        # float32 against float64 before a rounding down: one level, seldom (most where a value is a whole level)
        assert difference.max() <= (0 if name in ("pixelate", "jpeg_compression") else 1)
        assert difference.mean() < 0.15


@pytest.mark.parametrize(("name", "part"), [("brightness", 2), ("saturate", 1)])
def test_hue_saturation_and_value_are_pythons(name: str, part: int) -> None:
    """Also of black, white and grey, whose hue is 0."""
    colours = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(8))
    colours[:, 0] = torch.linspace(0, 1, 16)
    factors, summands = (
        ((1,) * 5, (0.1, 0.2, 0.3, 0.4, 0.5)) if part == 2 else ((0.3, 0.1, 2, 5, 20), (0, 0, 0, 0.1, 0.2))
    )
    for severity in range(1, 6):
        ours = corrupt(colours[None], name, severity)[0]
        for y, x in np.ndindex(16, 16):
            hsv = list(colorsys.rgb_to_hsv(*colours[:, y, x].tolist()))
            hsv[part] = min(1.0, hsv[part] * factors[severity - 1] + summands[severity - 1])
            assert ours[:, y, x].tolist() == pytest.approx(colorsys.hsv_to_rgb(*hsv), abs=1e-5)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", sorted(set(RANDOM) - {"frost"}))
def test_what_is_drawn_has_the_published_statistics(name: str, side: int) -> None:
    """Means, contrasts, distances and spectra of 4 draws against 12, within 5 standard errors and a tenth of a level.

    The spread of one photograph's draws is known from twelve; at most one figure in a hundred may lie outside.
    """
    images, clean = batch(side).repeat(DRAWS, 1, 1, 1), photographs(side)
    far = []
    for severity in (1, 3, 5) if side == 224 else range(1, 6):
        generator = torch.Generator().manual_seed(severity)
        ours = arrays(corrupt(images, name, severity, generator=generator, scale=False))
        figures = np.array([statistics(image, clean[i % 3]) for i, image in enumerate(ours)]).reshape(DRAWS, 3, -1)
        reference = ORACLE[f"{name}/{side}"][severity - 1]  # [photograph, draw, figure]
        error = reference.std(axis=1, ddof=1) * math.sqrt(1 / DRAWS + 1 / reference.shape[1])
        far.append(np.abs(figures.mean(axis=0) - reference.mean(axis=1)) > 5 * error + 0.1 + 0.005 * figures.mean(0))
    assert np.mean(far) <= 0.01


def test_frost_has_the_statistics_of_photographed_frost() -> None:
    """Its textures are not the published ones: mean brightness, contrast and spectrum over draws within a third."""
    images, clean = batch(224).repeat(8, 1, 1, 1), photographs(224)
    for severity in (1, 3, 5):
        ours = arrays(corrupt(images, "frost", severity, generator=torch.Generator().manual_seed(severity)))
        figures = np.array([statistics(image, clean[i % 3]) for i, image in enumerate(ours)]).reshape(8, 3, -1)
        ratio = figures.mean(axis=(0, 1)) / ORACLE["frost/224"][severity - 1].mean(axis=(0, 1))
        np.testing.assert_allclose(ratio, 1.0, atol=0.34)
        np.testing.assert_allclose(ratio[:6], 1.0, atol=0.15)


@pytest.mark.parametrize("severity", [1, 2, 3, 5])
def test_elastic_equals_opencv_and_scipy_on_the_same_draws(severity: int) -> None:
    """Smooth images: OpenCV rounds its places to a 32nd of a pixel."""
    noise = torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(9))
    images = torch.nn.functional.interpolate(noise, (96, 96), mode="bilinear")
    ours = corrupt(images, "elastic_transform", severity, generator=torch.Generator().manual_seed(10), scale=False)
    generator = torch.Generator().manual_seed(10)
    strength, sigma, reach = (
        244 * share[severity - 1]
        for share in ((2, 2, 0.05, 0.07, 0.12), (0.7, 0.08, 0.01, 0.01, 0.01), (0.1, 0.2, 0.02, 0.02, 0.02))
    )
    corners = 48 + 32 * np.array([[1, 1], [1, -1], [-1, -1]], np.float32)
    moves = reach * (2 * torch.rand(2, 3, 2, generator=generator).numpy() - 1)
    fields = 2 * torch.rand(2, 2, 96, 96, generator=generator).double().numpy() - 1
    for number in range(2):
        matrix = cv2.getAffineTransform(corners, (corners + moves[number]).astype(np.float32))
        image = images[number].permute(1, 2, 0).numpy()
        warped = cv2.warpAffine(image, matrix, (96, 96), borderMode=cv2.BORDER_REFLECT_101)
        right, down = (strength * ndimage.gaussian_filter(field, sigma, truncate=3) for field in fields[number])
        places = np.mgrid[:96, :96] + np.stack([down, right])
        for channel in range(3):
            expected = ndimage.map_coordinates(warped[..., channel], places, order=1, mode="reflect")
            np.testing.assert_allclose(ours[number, channel].numpy(), expected, atol=0.01)


def test_the_shuffle_of_glass_equals_the_loops_over_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    for reach, margin in ((1, 1), (2, 2), (4, 4), (4, 2)):
        offsets = torch.randint(-min(reach, margin), reach, (2, 2, 17, 23), generator=generator).clamp(max=margin - 1)
        sources = shuffle(offsets, margin)
        for number in range(2):
            colours = np.arange(17 * 23).reshape(17, 23)
            for y in range(17 - margin, margin, -1):
                for x in range(23 - margin, margin, -1):
                    down, right = offsets[number, :, y, x].tolist()
                    colours[y, x] = colours[y + down, x + right]
            np.testing.assert_array_equal(sources[number].view(17, 23).numpy(), colours)


@pytest.mark.parametrize(("angle", "radius"), [(-45.0, 3), (0.0, 4), (30.0, 5), (-100.0, 4), (-135.0, 6)])
def test_motion_is_a_sum_of_shifted_images(angle: float, radius: int) -> None:
    image = torch.rand(1, 3, 20, 26, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights = [math.exp(-0.5 * (step / 2.5) ** 2) for step in range(2 * radius + 1)]
    expected = np.zeros((3, 20, 26))
    for step, weight in enumerate(weights):
        down = math.ceil(step * math.sin(math.radians(angle)) - 0.5)
        right = math.ceil(step * math.cos(math.radians(angle)) - 0.5)
        rows, columns = np.clip(np.arange(20) + down, 0, 19), np.clip(np.arange(26) + right, 0, 25)
        expected += weight / sum(weights) * image[0].numpy()[:, rows][:, :, columns]
    blurred = correlate(image.float(), trails(torch.tensor([angle]), radius, 2.5), border="edge")
    np.testing.assert_allclose(blurred[0].numpy(), expected, atol=2e-6)


@pytest.mark.parametrize(("border", "mode"), [("edge", "nearest"), ("symmetric", "reflect"), ("mirror", "mirror")])
@pytest.mark.parametrize("sigma", [0.2, 1.5, 30.0])
def test_gaussian_equals_scipys(border: str, mode: str, sigma: float) -> None:
    image = torch.rand(19, 26, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    filtered = gaussian(image.float()[None], sigma, border=border)[0]  # type: ignore[arg-type]
    np.testing.assert_allclose(filtered.numpy(), ndimage.gaussian_filter(image.numpy(), sigma, mode=mode), atol=1e-5)


@pytest.mark.parametrize(("border", "mode"), [("edge", "edge"), ("symmetric", "symmetric"), ("mirror", "reflect")])
def test_borders_are_numpys(border: str, mode: str) -> None:
    folded = fold(torch.arange(-17, 24), 7, border)  # type: ignore[arg-type]
    np.testing.assert_array_equal(folded.numpy(), np.pad(np.arange(7), 17, mode=mode))  # type: ignore[call-overload]


def test_correlation_equals_a_sum_over_the_kernel() -> None:
    generator = torch.Generator().manual_seed(3)
    images, kernels = torch.rand(2, 3, 9, 12, generator=generator), torch.rand(2, 5, 5, generator=generator)
    ours = correlate(images, kernels, border="mirror")
    for number, channel in np.ndindex(2, 3):
        expected = cv2.filter2D(images[number, channel].numpy(), -1, kernels[number].numpy())
        np.testing.assert_allclose(ours[number, channel].numpy(), expected, atol=1e-5)


def test_zoom_puts_corners_on_corners() -> None:
    image = torch.rand(1, 1, 20, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    expected = ndimage.zoom(image[0, 0, 2:18, 3:27].numpy(), 1.25, order=1)
    np.testing.assert_allclose(zoom(image, 1.25)[0, 0].numpy(), expected, atol=1e-9)


def test_scaled_kernels_keep_sum_centre_and_shape() -> None:
    kernels = trails(torch.tensor([20.0, -60.0]), 10, 4.0)
    assert torch.equal(scale_kernels(kernels, 1.0), kernels)
    places = torch.arange(-20.0, 21.0)
    for scale in (0.25, 0.5, 2.0):
        scaled = scale_kernels(kernels, scale)
        half = scaled.shape[-1] // 2
        line = torch.arange(-half, half + 1.0)
        torch.testing.assert_close(scaled.sum(dim=(1, 2)), kernels.sum(dim=(1, 2)))
        for axis in (1, 2):
            ours = (scaled.sum(dim=3 - axis) * line).sum(dim=1)
            torch.testing.assert_close(ours, scale * (kernels.sum(dim=3 - axis) * places).sum(dim=1), atol=0.05, rtol=0)


@pytest.mark.parametrize("name", ["gaussian_blur", "defocus_blur", "motion_blur"])
def test_a_small_image_looks_like_the_large_one_made_small(name: str) -> None:
    """At the small side the blur is the large one's: much nearer to it than the clean image and the unscaled blur."""
    large = batch(224)[..., :192, :192].float() / 255
    small = large.unflatten(-1, (64, 3)).unflatten(-3, (64, 3)).mean(dim=(-3, -1))
    for severity in (3, 5):
        options = {"generator": torch.Generator().manual_seed(5)}
        expected = corrupt(large, name, severity, **options).unflatten(-1, (64, 3)).unflatten(-3, (64, 3))
        reference = expected.mean(dim=(-3, -1))
        scaled = corrupt(small, name, severity, generator=torch.Generator().manual_seed(5))
        unscaled = corrupt(small, name, severity, generator=torch.Generator().manual_seed(5), scale=False)
        distance = (scaled - reference).abs().mean()
        assert distance < 0.3 * (small - reference).abs().mean()
        assert distance < 0.3 * (unscaled - reference).abs().mean()


def test_the_drops_rims_distances_and_levels_are_opencvs() -> None:
    generator = torch.Generator().manual_seed(6)
    noise = gaussian(0.65 + 0.3 * torch.randn(2, 1, 80, 96, generator=generator), 3.0)
    drops = (torch.where(noise < 0.68, 0.0, noise) * 255).floor()
    rims = spatter._rims(drops)
    distances = spatter._distances(rims)
    equal = spatter._equalize(distances.floor())
    for number in range(2):
        lines = cv2.Canny(drops[number, 0].byte().numpy(), 50, 150) > 0
        assert (lines != rims[number, 0].numpy()).mean() < 0.002  # ours takes no faint lines beside strong ones
        exact = ndimage.distance_transform_edt(~rims[number, 0].numpy()).clip(max=20)
        np.testing.assert_allclose(distances[number, 0].numpy(), exact, atol=1e-5)
        levels = cv2.equalizeHist(distances[number, 0].byte().numpy())
        np.testing.assert_allclose(equal[number, 0].numpy(), levels, atol=1)


def test_plasma_equals_the_loops_of_diamond_and_square() -> None:
    """Without displacements but the first, so that the means over the torus show."""
    side, seed = 16, 7
    ours = plasma(1, side, 1e6, device=torch.device("cpu"), generator=torch.Generator().manual_seed(seed))[0]
    generator = torch.Generator().manual_seed(seed)
    first = [(torch.rand(1, 1, 1, generator=generator) * 2 - 1).item() for _ in range(3)]
    heights = np.zeros((side, side))
    heights[8, 8] = first[0]
    heights[0, 8] = first[0] / 2 + first[1]
    heights[8, 0] = first[0] / 2 + first[2]
    for half in (4, 2, 1):
        for y, x in np.ndindex(side, side):
            if y % (2 * half) == half and x % (2 * half) == half:
                heights[y, x] = np.mean(
                    [heights[(y + a) % side, (x + b) % side] for a in (half, -half) for b in (half, -half)]
                )
        for y, x in np.ndindex(side, side):
            if (y % (2 * half) == half) != (x % (2 * half) == half) and y % half == 0 == x % half:
                around = ((half, 0), (-half, 0), (0, half), (0, -half))
                heights[y, x] = np.mean([heights[(y + a) % side, (x + b) % side] for a, b in around])
    expected = (heights - heights.min()) / np.ptp(heights)
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-5)
