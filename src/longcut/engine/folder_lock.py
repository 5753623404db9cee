"""Who trains in a folder: a lock that ends with its process, however that ends, and leaves no file behind."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

_HELD: dict[Path, int] = {}  # the folder that this process trains in, and the descriptor by which it is locked


def hold(folder: Path) -> bool:
    """Lock a folder until it is released or this process ends, in the place of the one that it held before.

    Returns:
        False where another process holds it; True too where the file system has no locks.

    Raises:
        OSError: there is no such folder.
    """
    release()
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        return not isinstance(error, BlockingIOError)
    _HELD[folder.resolve()] = lock
    return True


def release() -> None:
    """Let other processes have the folder that this one holds, if it holds one."""
    while _HELD:
        os.close(_HELD.popitem()[1])


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
