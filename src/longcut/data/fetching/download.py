"""One file over HTTP: resumed, retried, checked before it gets its name."""

from __future__ import annotations

import errno
import hashlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from longcut import __version__
from longcut.data.fetching.sources import Archive

_CHUNK = 1 << 20
_ATTEMPTS = 5
_TIMEOUT = 30.0
_PLAIN_LINE_EVERY = 10.0


class _Broken(Exception):
    """The connection broke; another attempt may go on from what has arrived."""


def download(archive: Archive, path: Path, *, say: Callable[[str], None] = print, pause: float = 1.0) -> None:
    """Download a file; one that lies there already is only checked.

    What arrives is kept in `<path>.part`, from which a later call goes on, and gets its name after the checksum.

    Args:
        archive: address, and checksum and size where they are published.
        path: file to write.
        say: takes the lines to print.
        pause: seconds before the second attempt after a broken connection; twice as many before each next.

    Raises:
        ValueError: the host cannot be reached or refuses, the connection keeps breaking, the disk is full, or the
            checksum is another one (the file is kept as `<path>.wrong`).
    """
    if urlsplit(archive.url).scheme not in {"http", "https"}:
        raise ValueError(f"{archive.url} is no http or https address; give one that is")
    if not path.exists():
        part = path.with_name(path.name + ".part")
        _receive_all(archive.url, part, path, say, pause)
        _check(archive, part, path, say)
        part.replace(path)
    else:
        say(f"{path} is here already")
        _check(archive, path, path, say)


def _receive_all(url: str, part: Path, path: Path, say: Callable[[str], None], pause: float) -> None:
    """Ask for the rest of the file until it is whole; give up after attempts in a row that brought nothing."""
    failures = 0
    while True:
        before = _size(part)
        try:
            return _receive(url, part, path, say)
        except _Broken as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures == _ATTEMPTS:
                raise ValueError(
                    f"the connection to {urlsplit(url).netloc} keeps breaking ({error}); "
                    f"{part} is kept: run the command again to go on"
                ) from error
            say(f"connection broken at {_size(part):,} bytes ({error}); going on")
            time.sleep(pause * 2 ** (failures - 1))


def _receive(url: str, part: Path, path: Path, say: Callable[[str], None]) -> None:
    have = _size(part)
    headers = {"User-Agent": f"longcut/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left to send, or the file has become shorter
            if error.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
                return
            part.unlink()
            raise _Broken("the file has changed; starting again") from error
        if error.code in {408, 429} or error.code >= 500:
            raise _Broken(f"{error.code} {error.reason}") from error
        raise ValueError(f"{url} answers {error.code} {error.reason}; {_by_hand(url, path)}") from error
    except (OSError, http.client.HTTPException) as error:
        if have:
            raise _Broken(f"cannot reach it: {getattr(error, 'reason', error)}") from error
        reason = getattr(error, "reason", error)
        raise ValueError(f"cannot reach {urlsplit(url).netloc} ({reason}); {_by_hand(url, path)}") from error
    with response:
        if response.status != 206:
            have = 0  # the host does not resume
        total = _total(response)
        with part.open("ab" if have else "wb") as file:
            _copy(response, file, _Meter(path.name, have, total, say), part)
    if total is not None and _size(part) < total:
        raise _Broken("it ended early")


def _copy(response: IO[bytes], file: IO[bytes], meter: _Meter, part: Path) -> None:
    with meter:
        while True:
            try:
                chunk = response.read(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise _Broken(str(error) or type(error).__name__) from error
            if not chunk:
                return
            try:
                file.write(chunk)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                raise ValueError(f"the disk of {part} is full; make room and run the command again") from error
            meter.add(len(chunk))


def _check(archive: Archive, file: Path, path: Path, say: Callable[[str], None]) -> None:
    algorithm, _, expected = (archive.checksum or "sha256:").partition(":")
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, algorithm).hexdigest()
    if not expected:
        say(f"no checksum is published for {archive.filename}; this one has {algorithm}:{found}")
    elif found != expected:
        wrong = path.with_name(path.name + ".wrong")
        file.replace(wrong)
        raise ValueError(
            f"{archive.filename} has {algorithm} {found} where {expected} is published; "
            f"kept as {wrong}: run the command again to download it anew"
        )


def _total(response: http.client.HTTPResponse) -> int | None:
    """Size of the whole file, where the host says it."""
    match = re.fullmatch(r"bytes \d+-\d+/(\d+)", response.headers.get("Content-Range", ""))
    length = match.group(1) if match else response.headers.get("Content-Length")
    return int(length) if length else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _by_hand(url: str, path: Path) -> str:
    return f"download it by hand from {url} to {path} and run the command again"


class _Meter:
    """A progress bar on a terminal, a line now and then elsewhere."""

    def __init__(self, name: str, have: int, total: int | None, say: Callable[[str], None]) -> None:
        console = Console(stderr=True)
        self._say = None if console.is_terminal else say
        self._name, self._have, self._total = name, have, total
        self._last = time.monotonic()
        columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, disable=self._say is not None)
        self._task = self._bar.add_task(name, total=total, completed=have)

    def __enter__(self) -> None:
        self._bar.start()

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def add(self, count: int) -> None:
        self._have += count
        self._bar.advance(self._task, count)
        if self._say and time.monotonic() - self._last > _PLAIN_LINE_EVERY:
            self._last = time.monotonic()
            of = f" of {self._total:,} ({100 * self._have / self._total:.0f} %)" if self._total else ""
            self._say(f"{self._name}: {self._have:,}{of} bytes")
