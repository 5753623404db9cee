"""How long the command line takes to say what it can do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.timing import Row

REPEATS = 7
_COMMAND = "import sys; sys.argv = ['longcut', '--help']; from longcut.cli import main; main()"


def rows() -> Iterator[Row]:
    """Wall time of `longcut --help`, after one call that fills the disk's cache."""
    times = [_seconds() for _ in range(REPEATS + 1)][1:]
    yield Row("longcut --help", tuple(times), bar=1.0, kind="seconds")


def _seconds() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", _COMMAND], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start
