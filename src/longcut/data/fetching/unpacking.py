"""Archives of strangers, unpacked so that nothing can land outside the folder they are given."""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

_CHUNK = 1 << 20
# The last two are zipfile's, of a compression that it does not know and of a file that is locked by a password.
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


def unpack(archive: Path, destination: Path) -> None:
    """Unpack a tar (plain or compressed) or zip file.

    Only plain files and folders inside the destination are taken: an absolute path, a path that climbs out, a link or
    a device is refused.

    Args:
        archive: file to read.
        destination: folder to write into; made where it is missing.

    Raises:
        ValueError: the archive is damaged, is no archive, or holds a refused entry.
    """
    destination.mkdir(parents=True, exist_ok=True)
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, destination)
        else:
            _unpack_tar(archive, destination)
    except _DAMAGED as error:
        raise ValueError(
            f"{archive} is damaged or no archive ({error}); delete it and run the command again"
        ) from error


def _unpack_tar(archive: Path, destination: Path) -> None:
    with tarfile.open(archive, "r|*") as file:
        for member in file:
            _require_inside(member.name, archive)
            if not (member.isfile() or member.isdir()):
                raise ValueError(f"{archive} holds {member.name!r}, a link or a device: refused")
            _write(file, member, destination / member.name)


def _write(file: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Take the content alone: no mode, owner or time, and the same on Pythons without extraction filters."""
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    content = file.extractfile(member)
    if content is not None:
        with content, target.open("wb") as out:
            shutil.copyfileobj(content, out, _CHUNK)


def _unpack_zip(archive: Path, destination: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            _require_inside(member.filename, archive)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise ValueError(f"{archive} holds {member.filename!r}, a link or a device: refused")
        file.extractall(destination)


def _require_inside(name: str, archive: Path) -> None:
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    if posix.is_absolute() or windows.drive or windows.root or ".." in posix.parts or ".." in windows.parts:
        raise ValueError(f"{archive} holds {name!r}, which lies outside the folder it is unpacked into: refused")
