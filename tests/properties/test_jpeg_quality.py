"""The quality that a file was written with is read back, and writing again at it changes little."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from longcut.data.jpeg_quality import encode_again, jpeg_quality

QUALITIES = range(1, 101)


def picture(side: int = 48) -> np.ndarray:
    """Coarse shapes, and grain over them."""
    draw = np.random.default_rng(0)
    coarse = cv2.resize(draw.uniform(80, 170, (4, 4, 3)), (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(coarse + draw.normal(0, 12, (side, side, 1)), 0, 255).astype(np.uint8)


def by_pillow(path: Path, quality: int, *, grey: bool = False, **options: object) -> Path:
    image = Image.fromarray(picture())
    (image.convert("L") if grey else image).save(path, "JPEG", quality=quality, **options)
    return path


def by_opencv(path: Path, quality: int, *options: int) -> Path:
    assert cv2.imwrite(str(path), picture()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality, *options])
    return path


def test_what_pillow_wrote_is_read_back(tmp_path: Path) -> None:
    found = [jpeg_quality(by_pillow(tmp_path / f"{quality}.jpg", quality)) for quality in QUALITIES]
    assert found == list(QUALITIES)


def test_what_opencv_wrote_is_read_back(tmp_path: Path) -> None:
    found = [jpeg_quality(by_opencv(tmp_path / f"{quality}.jpg", quality)) for quality in QUALITIES]
    assert found == list(QUALITIES)


@pytest.mark.parametrize("quality", [1, 30, 75, 95, 100])
def test_grey_progressive_and_finely_sampled_files_are_read_too(tmp_path: Path, quality: int) -> None:
    assert jpeg_quality(by_pillow(tmp_path / "grey.jpg", quality, grey=True)) == quality
    assert jpeg_quality(by_pillow(tmp_path / "full.jpg", quality, subsampling=0, optimize=True)) == quality
    assert jpeg_quality(by_pillow(tmp_path / "steps.jpg", quality, progressive=True)) == quality
    assert jpeg_quality(by_opencv(tmp_path / "steps_cv.jpg", quality, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)) == quality


def test_a_file_is_told_by_what_it_holds_and_not_by_its_name(tmp_path: Path) -> None:
    assert jpeg_quality(by_pillow(tmp_path / "image.png", 40)) == 40
    for kind in ("PNG", "WEBP", "BMP", "GIF", "TIFF"):
        Image.fromarray(picture()).save(tmp_path / "image.jpg", kind)
        assert jpeg_quality(tmp_path / "image.jpg") is None, kind


def test_tables_that_no_quality_has_give_the_nearest(tmp_path: Path) -> None:
    tables = [[16] * 64, [32] * 64]
    Image.fromarray(picture()).save(tmp_path / "own.jpg", qtables=tables)
    sums = {}
    for quality in QUALITIES:
        with Image.open(by_pillow(tmp_path / "other.jpg", quality)) as image:
            sums[quality] = sum(image.quantization[0])  # type: ignore[attr-defined]
    nearest = min(QUALITIES, key=lambda quality: abs(sums[quality] - 16 * 64))
    assert jpeg_quality(tmp_path / "own.jpg") == nearest


def test_what_is_no_image_has_no_quality(tmp_path: Path) -> None:
    assert jpeg_quality(tmp_path / "missing.jpg") is None
    assert jpeg_quality(tmp_path) is None
    assert jpeg_quality(tmp_path / "train.npy#17") is None
    for name, content in (("empty", b""), ("text", b"no image"), ("start", b"\xff\xd8\xff\xe0")):
        (tmp_path / name).write_bytes(content)
        assert jpeg_quality(tmp_path / name) is None


def test_a_damaged_file_has_its_quality_or_none(tmp_path: Path) -> None:
    """Its tables are whole or it has none, and no damage is an error: whoever decodes it says what is wrong."""
    content, draw = by_pillow(tmp_path / "whole.jpg", 60).read_bytes(), np.random.default_rng(0)
    file = tmp_path / "damaged.jpg"
    for _ in range(300):
        damaged = np.frombuffer(content, np.uint8).copy()
        damaged[draw.integers(2, 700, 3)] = draw.integers(0, 256, 3)
        file.write_bytes(damaged[: draw.integers(10, len(damaged))].tobytes())
        assert jpeg_quality(file) in (None, *QUALITIES)
    file.write_bytes(content[:-100])
    assert jpeg_quality(file) == 60


def test_a_file_of_many_pixels_has_a_quality(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow refuses to open what may be a bomb; nothing is decoded here."""
    by_pillow(tmp_path / "large.jpg", 60)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert jpeg_quality(tmp_path / "large.jpg") == 60


@pytest.mark.parametrize("quality", [5, 10, 50, 75, 90, 100])
def test_an_image_comes_back_as_its_file_shows_it(quality: int) -> None:
    stream = BytesIO()
    Image.fromarray(picture()).save(stream, "JPEG", quality=quality)
    theirs = np.asarray(Image.open(stream).convert("RGB"), np.int16)
    assert np.abs(encode_again(picture(), quality).astype(np.int16) - theirs).mean() < 1.5


@pytest.mark.parametrize("quality", [5, 10, 50, 75, 90, 100])
def test_writing_again_at_the_same_quality_changes_little(quality: int) -> None:
    once = encode_again(picture(), quality)
    twice = encode_again(once, quality)
    change, again = (np.abs(a.astype(np.int16) - b).mean() for a, b in ((once, picture()), (twice, once)))
    assert once.shape == picture().shape
    assert once.dtype == np.uint8
    assert again < 0.3
    assert again < 0.5 * change


def test_a_lower_quality_is_farther_from_the_image() -> None:
    away = [np.abs(encode_again(picture(), q).astype(np.int16) - picture()).mean() for q in (95, 75, 50, 25, 10, 2)]
    assert away == sorted(away)
    assert away[0] < 3
    assert away[-1] > 12
