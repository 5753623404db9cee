"""Image files to arrays and back.

Files are decoded by what they hold, not by what they are called, and as a viewer shows them. Ordinary 8-bit JPEG, PNG
and WebP files go through OpenCV, which is the fastest; everything else goes through Pillow, which knows more. OpenCV
fills what a truncated file lacks with grey and says nothing, so the end of the file is looked for first.

`train.npy#17` names row 17 of an array (see `longcut.data.arrays`), which is read as a file with that image is.
"""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from longcut.data.arrays import read_row, split_member

_WHITE = 255
_SIXTEEN_BITS = 257  # 65535 / 255
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # JPEG markers without a length
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # start-of-frame markers
_SCAN = 0xDA


class ImageError(ValueError):
    """A file that holds no whole image."""


def read_image(path: str | os.PathLike[str], content: bytes | None = None) -> NDArray[np.uint8]:
    """Decode an image as a viewer shows it.

    The orientation of EXIF is applied; CMYK, palettes and grey become RGB; 16 bits are scaled to 8; what is transparent
    shows white; of several frames the first is taken. Colour profiles are not applied.

    Args:
        path: the file.
        content: what is in it, where that has been read already.

    Returns:
        `[h, w, 3]` RGB.

    Raises:
        ImageError: names a file that cannot be read, is cut short or holds no image.
    """
    row = _row(path)
    if row is not None:
        return np.array(row) if row.ndim == 3 else np.repeat(row[..., None], 3, axis=2)
    return _decode(read_bytes(path) if content is None else content, path, cv2.IMREAD_COLOR)


def read_mask(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Decode a mask: 255 is foreground, 0 is background, what lies between is an edge.

    Returns:
        `[h, w]`; a coloured file gives its luminance.

    Raises:
        ImageError: names a file that cannot be read, is cut short or holds no image.
    """
    return _decode(read_bytes(path), path, cv2.IMREAD_GRAYSCALE)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """A file's content, or the pixels of an array's row.

    Raises:
        ImageError: names a file that cannot be read.
    """
    row = _row(path)
    if row is not None:
        return row.tobytes()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}") from error


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Height and width of an image as a viewer shows it, from the file's header.

    Raises:
        ImageError: names a file that cannot be read or holds no image.
    """
    row = _row(path)
    if row is not None:
        return row.shape[0], row.shape[1]
    try:
        with Image.open(path) as image:
            if image.format == "TIFF":
                image.load()  # Pillow itself turns these, and no others
                return image.height, image.width
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
            return (image.width, image.height) if turned else (image.height, image.width)
    except Exception as error:  # decoders meet broken headers with every kind of exception
        raise ImageError(f"cannot decode {path}: {_reason(error)}") from error


def write_image(path: str | os.PathLike[str], array: NDArray[np.uint8], *, quality: int = 95) -> None:
    """Write a PNG or JPEG file, as the name's suffix says, whole or not at all.

    Args:
        path: ends in `.png`, `.jpg` or `.jpeg`; missing folders are made.
        array: `[h, w, 3]` RGB or `[h, w]` grey.
        quality: of a JPEG, 1 to 100.

    Raises:
        ValueError: for another suffix.
        OSError: where the file cannot be written; nothing is left behind.
    """
    target = Path(path)
    if target.suffix.lower() not in {".png", ".jpg", ".jpeg"}:
        raise ValueError(f"cannot write {target}: images are written as .png or .jpg")
    pixels = cv2.cvtColor(array, cv2.COLOR_RGB2BGR) if array.ndim == 3 else array
    options = [] if target.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, quality]
    write_whole(target, cv2.imencode(target.suffix.lower(), pixels, options)[1].tobytes())


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file under a temporary name beside it, then rename it: a reader sees all of it or nothing.

    Raises:
        OSError: where the file cannot be written; nothing is left behind.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{os.getpid()}-{threading.get_ident()}.part")
    try:
        part.write_bytes(content)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _row(path: str | os.PathLike[str]) -> NDArray[np.uint8] | None:
    """The row of an array that a path names; None where it names a file of its own."""
    member = split_member(os.fspath(path))
    try:
        return None if member is None else read_row(Path(member[0]), member[1])
    except ValueError as error:
        raise ImageError(str(error)) from None


def _decode(data: bytes, name: str | os.PathLike[str], flag: int) -> NDArray[np.uint8]:
    if not data:
        raise ImageError(f"cannot decode {name}: the file is empty")
    try:
        if _is_ordinary(data):
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
            if pixels is not None:
                if flag == cv2.IMREAD_COLOR:
                    cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
                return np.asarray(pixels, np.uint8)
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            rgb = _as_shown(image)
        return np.array(rgb if flag == cv2.IMREAD_COLOR else rgb.convert("L"), np.uint8)
    except Exception as error:  # decoders meet broken files with every kind of exception
        raise ImageError(f"cannot decode {name}: {_reason(error)}") from error


def _is_ordinary(data: bytes) -> bool:
    """Whether the bytes are a whole 8-bit JPEG, PNG or WebP file without transparency."""
    if data[:2] == b"\xff\xd8":
        return _is_ordinary_jpeg(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _is_ordinary_png(data)
    if data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8 ":
        return len(data) >= int.from_bytes(data[4:8], "little") + 8
    return False


def _is_ordinary_jpeg(data: bytes) -> bool:
    """Grey or three colours with 8 bits.

    Raises:
        ValueError: the file has no end after its pixels: decoders fill the rest with grey, Pillow where it is zeros.
    """
    ordinary = False
    try:
        for marker, start in _segments(data):
            if marker in _FRAMES:
                ordinary = data[start] == 8 and data[start + 5] in (1, 3)
            if marker == _SCAN and data.rfind(b"\xff\xd9", start) > 0:
                return ordinary
            if marker == _SCAN:
                break
    except (IndexError, struct.error) as error:
        raise ValueError("the file is cut short") from error
    raise ValueError("the file is cut short")


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Markers of a JPEG file and where what belongs to them begins."""
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _STANDALONE:
            at += 2
        else:
            yield marker, at + 4
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]


def _is_ordinary_png(data: bytes) -> bool:
    """Grey or RGB with 8 bits, and nothing that changes how the pixels are shown.

    Raises:
        ValueError: the file is cut short, or the checksum of what matters in it is wrong: neither decoder minds.
    """
    at = 8
    kinds: set[bytes] = set()
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            break
        kinds.add(kind)
        if kind.isupper() and zlib.crc32(data[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ValueError(f"the checksum of its {kind.decode()} is wrong")
        if kind == b"IEND":
            plain = data[24:26] in (b"\x08\x00", b"\x08\x02")
            return plain and kinds.isdisjoint((b"tRNS", b"eXIf"))
        at = end
    raise ValueError("the file is cut short")


def _as_shown(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; store 8 or 16 bits")
    if image.mode.startswith("I"):
        values = np.clip(np.asarray(image, np.int64), 0, 65535)
        return Image.fromarray(((values + _SIXTEEN_BITS // 2) // _SIXTEEN_BITS).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, (_WHITE,) * 4), layer).convert("RGB")
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it holds no image of a known format"
    return str(error).splitlines()[0].strip() if str(error) else type(error).__name__
