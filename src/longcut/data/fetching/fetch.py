"""Public data sets from their own addresses into a folder."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from longcut.data.fetching.download import download
from longcut.data.fetching.sources import Source, find_source
from longcut.data.fetching.unpacking import unpack


def fetch(
    name: str, destination: Path, *, url: str | None = None, say: Callable[[str], None] = print, pause: float = 1.0
) -> Path:
    """Download a public data set and unpack it.

    The downloaded files lie in `<destination>.downloads` until all is unpacked; files put there by hand are taken. The
    destination appears at the end, whole: an interrupted call goes on where it stopped.

    Args:
        name: one of `SOURCES`.
        destination: folder to make; one that exists is left as it is, and said.
        url: another address of the file (a mirror); of the folder that holds the files, where the set has several.
        say: takes the lines to print.
        pause: seconds before the second attempt after a broken connection.

    Returns:
        The destination.

    Raises:
        ValueError: the name is unknown, the disk has no room, a host cannot be reached, a checksum is another one, or
            an archive is damaged or unsafe.
    """
    source = find_source(name)
    destination = destination.expanduser()
    if destination.exists():
        say(f"{destination} exists and is left as it is; to fetch {name} anew, delete it or name another folder")
        return destination
    downloads = destination.with_name(destination.name + ".downloads")
    if url:
        source = _mirrored(source, url)
    say(f"{name}: {source.licence}")
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        _require_room(source, downloads)
        for archive in source.archives:
            download(archive, downloads / archive.filename, say=say, pause=pause)
        _build(source, downloads, destination, say)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ValueError(f"the disk of {destination} is full; make room and run the command again") from error
        raise ValueError(
            f"cannot write {error.filename or destination} ({error.strerror}); name another folder"
        ) from error
    shutil.rmtree(downloads)
    say(f"{destination}: {source.layout}")
    return destination


def _mirrored(source: Source, url: str) -> Source:
    if len(source.archives) == 1:
        return replace(source, archives=(replace(source.archives[0], url=url),))
    base = url.rstrip("/")
    return replace(source, archives=tuple(replace(a, url=f"{base}/{a.filename}") for a in source.archives))


def _require_room(source: Source, downloads: Path) -> None:
    """Refuse at once what cannot fit: the files that are still to come, and all of them once more unpacked."""
    sizes = {archive.filename: archive.size or 0 for archive in source.archives}
    here = sum(file.stat().st_size for file in downloads.iterdir() if file.name.removesuffix(".part") in sizes)
    needed = max(0, 2 * sum(sizes.values()) - here)
    free = shutil.disk_usage(downloads).free
    if needed > free:
        raise ValueError(
            f"{downloads.parent} has {free / 1e9:.1f} GB free and {needed / 1e9:.1f} GB are needed; make room or name "
            "a folder on another disk"
        )


def _build(source: Source, downloads: Path, destination: Path, say: Callable[[str], None]) -> None:
    """Unpack into a folder of its own, which is renamed when it is whole."""
    unfinished = destination.with_name(destination.name + ".unpacking")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        if source.convert:
            say("writing images")
            source.convert(downloads, unfinished)
        else:
            for archive in source.archives:
                say(f"unpacking {archive.filename}")
                unpack(downloads / archive.filename, unfinished)
        entries = list(unfinished.iterdir())
        only = entries[0] if len(entries) == 1 and entries[0].is_dir() and not source.convert else unfinished
        only.rename(destination)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
