"""Who trains in a folder: a lock that ends with its process, however that ends, and leaves no file behind."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

_HELD: dict[Path, int] = {}  # the folder that this process trains in, and the descriptor by which it is locked


def hold(folder: Path) -> None:
    """Lock a folder for as long as this process lives, in the place of the one that it held before.

    Nothing happens where another process holds it, as one of the same run does, or where the file system has no locks.

    Raises:
        OSError: there is no such folder.
    """
    while _HELD:
        os.close(_HELD.popitem()[1])
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
    else:
        _HELD[folder.resolve()] = lock


def is_held(folder: Path) -> bool:
    """Whether another process holds a folder; False where the file system has no locks.

    Raises:
        OSError: there is no such folder.
    """
    if folder.resolve() in _HELD:
        return False
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(lock)
    return False
