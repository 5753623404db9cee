"""What discovery describes an image by: each cue's numbers follow that cue, and not the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longcut.evaluation.cues.features import PIXEL_CUES, WHOLE, apart, cue_numbers, find_regions, pixel_features
from longcut.evaluation.cues.features_file import FileFacts, file_numbers, read_facts
from longcut.evaluation.cues.local_patterns import local_patterns, pattern_shares

SIDE = 32
ALL = np.ones(40, bool)


def noise(count: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def discs(count: int = 40, radius: int = 9) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    masks = (y - 1) ** 2 + (x + 2) ** 2 < radius**2
    return np.repeat(masks[None].astype(np.uint8) * 255, count, axis=0)


# Local patterns.


def test_patterns_are_those_of_plain_loops() -> None:
    luma = np.random.default_rng(0).random((2, 7, 7)).astype(np.float32)
    found = local_patterns(luma, 2)
    around = [(-2, -2), (-2, 0), (-2, 2), (0, 2), (2, 2), (2, 0), (2, -2), (0, -2)]
    for b in range(2):
        for y in range(2, 5):
            for x in range(2, 5):
                bits = [luma[b, y + dy, x + dx] > luma[b, y, x] + 2 / 255 for dy, dx in around]
                changes = sum(bits[k] != bits[k - 1] for k in range(8))
                assert found[b, y, x] == (sum(bits) if changes <= 2 else 9)


def test_shares_count_a_region_and_sum_to_one() -> None:
    patterns = np.array([[[0, 1], [1, 9]], [[2, 2], [2, 2]]], np.uint8)
    weights = np.array([[[1, 1], [1, 0]], [[0, 0], [0, 0]]], np.float32)
    shares = pattern_shares(patterns, weights)
    np.testing.assert_allclose(shares[0], [1 / 3, 2 / 3, 0, 0, 0, 0, 0, 0, 0, 0], rtol=1e-6)
    assert np.isnan(shares[1]).all()


def test_texture_does_not_depend_on_contrast() -> None:
    draw = np.random.default_rng(0)
    luma = draw.integers(0, 20, (3, 16, 16)).astype(np.float32) * 6 / 255
    np.testing.assert_array_equal(local_patterns(luma, 1), local_patterns(luma * 0.5 + 0.3, 1))


# Regions.


@pytest.mark.parametrize("masked", [False, True])
def test_a_region_says_nothing_of_another(masked: bool) -> None:
    images, masks = noise(), discs() if masked else None
    before = pixel_features(images, masks)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5 - SIDE / 2
    regions = {
        "border": np.maximum(abs(y), abs(x)) > 14,
        "background": (discs(1)[0] == 0) if masked else np.hypot(y, x) > 0.45 * SIDE,
        "colour": (discs(1)[0] > 0) if masked else np.hypot(y, x) < 0.3 * SIDE,
    }
    for changed, place in regions.items():
        other = images.copy()
        other[:, place & ((changed == "border") | ~regions["border"])] //= 3
        after = pixel_features(other, masks)
        moved = {cue for cue in PIXEL_CUES if not np.allclose(before[cue], after[cue])}
        assert moved == {"colour": {"colour", "texture"}}.get(changed, {changed}), changed


def test_an_image_and_its_transpose_have_one_texture_and_colour() -> None:
    images = noise()
    upright, turned = pixel_features(images), pixel_features(images.swapaxes(1, 2))
    for cue in ("colour", "texture"):
        np.testing.assert_allclose(upright[cue], turned[cue], rtol=1e-3, atol=1e-4)


def test_the_sizes_of_regions_do_not_count() -> None:
    images = np.full((40, SIDE, SIDE, 3), 90, np.uint8)
    small = np.zeros((40, SIDE, SIDE), np.uint8)
    small[:, 10:20, 10:20] = 255
    for cue in ("background", "colour", "texture"):
        found = [pixel_features(images, masks)[cue] for masks in (small, discs())]
        np.testing.assert_allclose(*found, atol=1e-5)


def test_a_mask_without_foreground_counts_as_the_mean() -> None:
    images, masks = noise(), discs()
    masks[0] = 0
    masks[1] = 255
    features = pixel_features(images, masks)
    assert np.isnan(features["colour"][0]).all()
    assert np.isnan(features["background"][1]).all()
    numbers = cue_numbers(features, ALL, masked=True)
    np.testing.assert_allclose(numbers["colour"][0], features["colour"][1:].mean(axis=0), rtol=1e-4)
    assert all(np.isfinite(values).all() for values in numbers.values())


def test_between_object_and_background_lies_what_is_neither() -> None:
    cut = slice(3, -3)
    regions = find_regions(SIDE, discs(1)[:, cut, cut])
    assert not (regions.background * regions.centre).any()
    left = 1 - regions.background - regions.centre
    mask = discs(1)[0, cut, cut] > 0
    edge = np.zeros_like(mask)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            edge |= np.roll(mask, (dy, dx), (0, 1)) != mask
    np.testing.assert_array_equal(left[0] > 0, edge)


# What regions share.


def test_what_goes_on_to_the_edge_is_no_border() -> None:
    draw = np.random.default_rng(0)
    colours = draw.integers(40, 200, (200, 1, 1, 3))
    plain = np.clip(colours + draw.normal(0, 8, (200, SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    marked = plain.copy()
    dark = np.arange(200) % 2 == 0
    marked[dark, :2] //= 2
    measured = np.ones(200, bool)
    for images, least, most in ((plain, 0.0, 0.25), (marked, 0.6, 1.0)):
        border = cue_numbers(pixel_features(images), measured, masked=False)["border"]
        with_dark = max(abs(np.corrcoef(border[:, k], dark)[0, 1]) for k in range(border.shape[1]))
        with_colour = max(abs(np.corrcoef(border[:, k], colours[:, 0, 0, 0])[0, 1]) for k in range(4))
        assert least <= with_dark <= most
        assert with_colour < 0.25


def test_the_middle_is_measured_without_its_background() -> None:
    draw = np.random.default_rng(0)
    behind, object_ = draw.normal(100, 25, (2, 200, 1, 1, 1))
    pixels = np.where(discs(200, 6)[..., None] > 0, object_, behind) + draw.normal(0, 8, (200, SIDE, SIDE, 3))
    features = pixel_features(np.clip(pixels, 0, 255).astype(np.uint8))
    apart_from_it, as_it_is = (cue_numbers(features, np.ones(200, bool), masked=m)["colour"] for m in (False, True))
    for colour, least, most in ((as_it_is, 0.25, 1.0), (apart_from_it, 0.0, 0.2)):
        assert least < abs(np.corrcoef(colour[:, 0], behind[:, 0, 0, 0])[0, 1]) + 1e-9 <= most
        assert abs(np.corrcoef(colour[:, 0], object_[:, 0, 0, 0])[0, 1]) > 0.4


def test_apart_leaves_what_others_do_not_tell() -> None:
    draw = np.random.default_rng(0)
    beside = draw.normal(3, 2, (500, 4))
    own = draw.normal(size=(500, 2))
    measured = np.arange(500) < 400
    left = apart(own + beside @ draw.normal(size=(4, 2)) * 5, beside, measured)
    centred = left[measured] - left[measured].mean(axis=0)
    np.testing.assert_allclose(centred.T @ (beside[measured] - beside[measured].mean(axis=0)) / 400, 0, atol=0.6)
    assert np.corrcoef(left[~measured, 0], own[~measured, 0])[0, 1] > 0.97, "other images are treated alike"


def test_every_cue_has_numbers_of_its_own_width() -> None:
    numbers = cue_numbers(pixel_features(noise()), ALL, masked=False)
    widths = {cue: numbers[cue].shape for cue in (*PIXEL_CUES, WHOLE)}
    assert widths == {
        "border": (40, 16), "background": (40, 38), "colour": (40, 8), "texture": (40, 22), WHOLE: (40, 276),
    }  # fmt: skip


# Files.


def test_facts_of_files(tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 30), (90, 10, 200))
    exif = Image.Exif()
    exif[0x010F] = "maker"
    picture.save(tmp_path / "a.jpg", quality=40, progressive=True, exif=exif)
    picture.convert("L").save(tmp_path / "b.jpg", quality=90)
    picture.save(tmp_path / "c.png")
    (tmp_path / "d.png").write_bytes(b"no image")
    assert read_facts(tmp_path / "a.jpg") == FileFacts("JPEG", "RGB", 40, True, True, False)
    assert read_facts(tmp_path / "b.jpg") == FileFacts("JPEG", "L", 90, False, False, False)
    assert read_facts(tmp_path / "c.png") == FileFacts("PNG", "RGB", 0, False, False, False)
    assert read_facts(tmp_path / "d.png") is None


def test_a_file_of_too_many_pixels_for_pillow_has_no_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    assert read_facts(tmp_path / "a.png") is None


def test_values_of_files_are_columns() -> None:
    plain = FileFacts("JPEG", "RGB", 75, False, False, False)
    facts = [plain, plain._replace(quality=90), plain._replace(quality=80, exif=True), plain]
    shapes = np.array([[30, 40], [40, 30], [30, 40], [30, 60]])
    found = file_numbers(facts, shapes)
    np.testing.assert_array_equal(found["file"], [[1, 0, 0, 1, 0], [0, 0, 1, 1, 0], [0, 1, 0, 0, 1], [1, 0, 0, 1, 0]])
    assert found["size"].shape == (4, 0), "the shorter side of all is 30"
    np.testing.assert_array_equal(found["aspect"], [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert file_numbers([plain, None], shapes[:2])["file"].shape == (2, 0), "not all are known"


def test_many_values_have_a_column_for_each_eighth() -> None:
    sides = np.arange(100, 180)
    found = file_numbers([None] * 80, np.stack([sides, sides * 2], axis=1))["size"]
    np.testing.assert_allclose(found[:, 0], np.log(sides), rtol=1e-6)
    np.testing.assert_array_equal(found[:, 1:].sum(axis=0), [10] * 8)
    assert (found[:, 1:].sum(axis=1) == 1).all()
