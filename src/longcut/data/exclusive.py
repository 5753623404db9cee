"""A folder for one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(folder: Path, *, refusal: str) -> Iterator[None]:
    """Hold a folder that no other process holds in this way meanwhile.

    The lock ends with the process, however that ends, and leaves no file behind. A file system without locks refuses
    nobody.

    Args:
        folder: to hold.
        refusal: what to tell where another process holds it.

    Raises:
        ValueError: another process holds it.
        OSError: there is no such folder.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        _take(lock, refusal)
        yield
    finally:
        os.close(lock)


def _take(lock: int, refusal: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(refusal) from None
    except OSError:
        return
