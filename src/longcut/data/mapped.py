"""Bytes that every process which reads them maps into its memory: a file's, an array's, or those of no file at all."""

from __future__ import annotations

import os
import weakref
from multiprocessing.reduction import DupFd
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from longcut.data.arrays import open_array


class MappedFile:
    """A file's bytes, mapped into memory by each process that reads them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # As a plain array: slicing numpy's memmap type costs several times as much.
        self.bytes: NDArray[np.uint8] = np.asarray(np.memmap(path, np.uint8, mode="r"))

    def __reduce__(self) -> tuple[type[MappedFile], tuple[Any, ...]]:
        return MappedFile, (self.path,)


class MappedRows(MappedFile):
    """The bytes of `count` rows of an array from row `first` on, mapped likewise."""

    def __init__(self, path: Path, first: int, count: int) -> None:
        self.path, self.first, self.count = path, first, count
        self.bytes = open_array(path)[first : first + count].reshape(-1)

    def __reduce__(self) -> tuple[type[MappedFile], tuple[Any, ...]]:
        return MappedRows, (self.path, self.first, self.count)


class MappedMemory(MappedFile):
    """The bytes of a file in memory that has no name; a worker process that this is sent to maps it too."""

    def __init__(self, file: BinaryIO) -> None:
        file.flush()
        self.descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self.descriptor)
        self.bytes = np.asarray(np.memmap(file, np.uint8, mode="r"))

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return _received, (DupFd(self.descriptor),)


def in_memory(values: NDArray[np.uint8]) -> MappedMemory:
    """A copy of bytes in such a file; on the disk where the system has none in memory."""
    with os.fdopen(os.memfd_create("longcut"), "w+b") if hasattr(os, "memfd_create") else TemporaryFile() as file:
        file.write(values.data)
        return MappedMemory(file)


def _received(handle: Any) -> MappedMemory:
    with os.fdopen(handle.detach(), "rb") as file:
        return MappedMemory(file)
