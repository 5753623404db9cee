"""Two ways timed in turns, so that whatever else the machine does slows both and leaves their ratio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Clock = Callable[[], float]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    ours: tuple[float, ...] = ()
    """Seconds of each repeat."""
    other: tuple[float, ...] = ()
    """Seconds of what each repeat is compared with."""
    bar: float = 0.0
    kind: Literal["times faster", "times as long", "seconds"] = "times faster"
    skipped: str = ""
    """Why nothing was measured."""

    @property
    def figures(self) -> tuple[float, ...]:
        """What the bar is about, for each repeat."""
        if self.kind == "seconds":
            return self.ours
        pairs = zip(self.ours, self.other, strict=True)
        return tuple(o / t if self.kind == "times faster" else t / o for t, o in pairs)

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the bar; None where nothing was measured or there is no bar."""
        if self.skipped or not self.bar:
            return None
        figure = statistics.median(self.figures)
        return figure >= self.bar if self.kind == "times faster" else figure <= self.bar


def alternate(
    ours: Callable[[int], object],
    other: Callable[[int], object],
    *,
    repeats: int,
    clock: Clock = time.process_time,
    warm_up: bool = True,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Seconds of two functions called in turns.

    Args:
        ours: called with the number of the repeat, from 0.
        other: called likewise.
        repeats: how many pairs are timed.
        clock: processor time by default, for work on one thread; wall time for what has several.
        warm_up: whether each is called once more at first, as repeat 0, and not counted.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats + warm_up):
        for function, seconds in zip((ours, other), times, strict=True):
            start = clock()
            function(repeat)
            seconds.append(clock() - start)
    return tuple(times[0][warm_up:]), tuple(times[1][warm_up:])


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch and OpenCV on one thread: figures per core, and no waiting for a busy neighbour."""
    import cv2
    import torch  # here: worker processes import the main module anew, and with it this one

    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])
