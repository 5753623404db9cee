"""Image files are read as a viewer shows them, or refused by name."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from longcut.data.decoding import ImageError, image_size, read_image, read_mask, write_image

RNG = np.random.default_rng(0)
SMOOTH = (np.add.outer(np.arange(40) * 2, np.arange(56) * 2)[..., None] + np.array([0, 20, 40])).astype(np.uint8)
BUSY = RNG.integers(0, 256, (40, 56, 3), dtype=np.uint8)


def encoded(format: str, image: Image.Image | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    (image or Image.fromarray(SMOOTH)).save(file, format, **options)
    return file.getvalue()


def stored(tmp_path: Path, data: bytes, name: str = "x.jpg") -> Path:
    file = tmp_path / name
    file.write_bytes(data)
    return file


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_content_counts_not_the_name(tmp_path: Path, format: str) -> None:
    file = stored(tmp_path, encoded(format), "Vögel im Grünen 鳥.jpg")
    with Image.open(file) as opened:
        expected = np.asarray(opened.convert("RGB"))
    assert np.abs(read_image(file).astype(int) - expected).max() <= 1
    assert image_size(file) == (40, 56)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied(tmp_path: Path, format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = stored(tmp_path, encoded(format, exif=exif))
    with Image.open(file) as opened:
        turned = ImageOps.exif_transpose(opened).convert("RGB")
    image = read_image(file)
    assert image.shape == ((56, 40, 3) if orientation >= 5 else (40, 56, 3))
    assert np.abs(image.astype(int) - np.asarray(turned)).max() <= 2
    assert image_size(file) == image.shape[:2]


def test_colour_modes_become_rgb(tmp_path: Path) -> None:
    picture = Image.fromarray(SMOOTH)
    for mode, format, tolerance in [("CMYK", "JPEG", 12), ("P", "PNG", 60), ("L", "JPEG", 3), ("L", "PNG", 0)]:
        converted = picture.convert(mode)
        image = read_image(stored(tmp_path, encoded(format, converted)))
        assert image.shape == SMOOTH.shape
        assert np.abs(image.astype(int) - np.asarray(converted.convert("RGB"))).max() <= tolerance
    bilevel = picture.convert("1")
    assert set(np.unique(read_image(stored(tmp_path, encoded("PNG", bilevel))))) == {0, 255}


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled(tmp_path: Path, format: str) -> None:
    deep = SMOOTH[..., 0].astype(np.uint16) * 257
    assert (read_image(stored(tmp_path, encoded(format, Image.fromarray(deep)))) == SMOOTH[..., :1]).all()


def test_sixteen_bit_colour(tmp_path: Path) -> None:
    file = tmp_path / "deep.png"
    cv2.imwrite(str(file), SMOOTH[..., ::-1].astype(np.uint16) * 257)
    assert (read_image(file) == SMOOTH).all()


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    file = stored(tmp_path, encoded("TIFF", Image.fromarray(np.zeros((4, 4), np.float32))))
    with pytest.raises(ImageError, match="floating-point"):
        read_image(file)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_transparent_pixels_show_white(tmp_path: Path, format: str) -> None:
    alpha = np.zeros((40, 56), np.uint8)
    alpha[:, 20:], alpha[:, 40:] = 128, 255
    layer = Image.fromarray(np.dstack([SMOOTH, alpha]))
    image = read_image(stored(tmp_path, encoded(format, layer, lossless=True))).astype(int)
    assert (image[:, :20] == 255).all()
    assert np.abs(image[:, 20:40] - (SMOOTH[:, 20:40] + 255.0) / 2).max() <= 2
    assert (image[:, 40:] == SMOOTH[:, 40:]).all()


def test_a_transparent_colour_shows_white(tmp_path: Path) -> None:
    grey = np.full((4, 4), 7, np.uint8)
    grey[0] = 9
    image = read_image(stored(tmp_path, encoded("PNG", Image.fromarray(grey), transparency=7)))
    assert (image[1:] == 255).all()
    assert (image[0] == 9).all()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("picture", [SMOOTH, BUSY], ids=["smooth", "busy"])
def test_truncated_files_are_refused(tmp_path: Path, format: str, picture: np.ndarray) -> None:
    data = encoded(format, Image.fromarray(picture))
    for length in {0, 1, 12, 30, len(data) // 4, len(data) // 2, len(data) * 9 // 10, len(data) - 16}:
        file = stored(tmp_path, data[:length], f"cut at {length}.jpg")
        with pytest.raises(ImageError, match=f"cut at {length}.jpg") as refusal:
            read_image(file)
        assert "\n" not in str(refusal.value)


def test_a_truncated_photograph_with_a_thumbnail_is_refused(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a thumbnail's end\xff\xd9".encode("latin-1")
    data = encoded("JPEG", Image.fromarray(BUSY), exif=exif)
    assert data.count(b"\xff\xd9") == 2
    read_image(stored(tmp_path, data))
    for rest in (b"", bytes(len(data) // 2)):
        with pytest.raises(ImageError):
            read_image(stored(tmp_path, data[: len(data) // 2] + rest))


def test_a_photograph_with_zeros_for_its_second_half_is_refused(tmp_path: Path) -> None:
    data = encoded("JPEG", Image.fromarray(BUSY))
    with pytest.raises(ImageError):
        read_image(stored(tmp_path, data[: len(data) // 2] + bytes(len(data) - len(data) // 2)))


def test_progressive_photographs_are_read(tmp_path: Path) -> None:
    image = read_image(stored(tmp_path, encoded("JPEG", progressive=True)))
    assert np.abs(image.astype(int) - SMOOTH).max() <= 12


def test_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    data = bytearray(encoded("PNG", Image.fromarray(BUSY)))
    data[data.index(b"IDAT") + 200] ^= 1
    with pytest.raises(ImageError, match="IDAT"):
        read_image(stored(tmp_path, bytes(data)))


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    body = b"IHDR" + struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 6, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    data += struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    with pytest.raises(ImageError):
        read_image(stored(tmp_path, data))


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    for file in (stored(tmp_path, b"<html></html>", "page.png"), tmp_path / "absent.png", tmp_path):
        with pytest.raises(ImageError, match=file.name):
            read_image(file)
        with pytest.raises(ImageError, match=file.name):
            image_size(file)


@pytest.mark.parametrize("suffix", [".png", ".PNG"])
def test_written_images_come_back(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / "neuer Ordner" / f"bild ü{suffix}"
    write_image(file, BUSY)
    assert (read_image(file) == BUSY).all()
    write_image(file, BUSY[..., 0])
    assert (read_mask(file) == BUSY[..., 0]).all()
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_written_photographs_are_close(tmp_path: Path) -> None:
    write_image(tmp_path / "a.JPEG", SMOOTH, quality=95)
    assert np.abs(read_image(tmp_path / "a.JPEG").astype(int) - SMOOTH).max() <= 8
    assert (tmp_path / "a.JPEG").read_bytes()[:2] == b"\xff\xd8"


def test_unknown_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.png or \.jpg"):
        write_image(tmp_path / "a.webp", SMOOTH)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.png", BUSY)

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_image(tmp_path / "a.png", SMOOTH)
    assert (read_image(tmp_path / "a.png") == BUSY).all()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]
