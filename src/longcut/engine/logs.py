"""What a run says while it trains: a JSONL file, TensorBoard's events and a line of progress."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from longcut.data.decoding import write_whole
from longcut.data.telling import tell


class RunLog:
    """Log lines in `log.jsonl`, the same for the same run whatever machine or day, and in TensorBoard's events.

    Args:
        folder: of the run.
        step: step that the run goes on from; lines after it, of a run that was cut off, are dropped.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._path = folder / "log.jsonl"
        self._drop_after(step)
        self._file = self._path.open("a", encoding="utf-8")
        self._events = SummaryWriter(folder / "tensorboard", purge_step=step + 1)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        self._events.close()

    def write(self, step: int, values: dict[str, float], *, speed: float | None = None) -> None:
        """Write values of a step; `speed` (images/s) goes to TensorBoard alone, as it never repeats."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        for name, value in {**values, **({"images_per_second": speed} if speed else {})}.items():
            self._events.add_scalar(name, value, step)

    def _drop_after(self, step: int) -> None:
        if not self._path.exists():
            return
        lines = self._path.read_text("utf-8").splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
        if kept != lines:
            write_whole(self._path, "".join(kept).encode())


class ProgressLine:
    """Steps, images a second and time left: a bar on a terminal, a plain line every few seconds elsewhere."""

    def __init__(
        self,
        step: int,
        total: int,
        label: str,
        *,
        stream: TextIO | None = None,
        every: float = 10.0,
        silent: bool = False,
    ) -> None:
        self._stream = stream or sys.stderr
        self._silent = silent
        self._label, self._total, self._first = label, total, step
        self._every, self._said = every, time.monotonic()
        self._start, self._images = time.monotonic(), 0
        self._bar = self._new_bar() if self._stream.isatty() and not silent else None
        self._task = self._bar.add_task(label, total=total, completed=step, text="") if self._bar else None

    def __enter__(self) -> ProgressLine:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    @property
    def speed(self) -> float:
        """Images a second since this process began."""
        return self._images / max(1e-9, time.monotonic() - self._start)

    def advance(self, step: int, images: int, loss: float | None) -> None:
        """Tell that a step of so many images is done; `loss` where it was read."""
        self._images += images
        text = f"{self.speed:.0f} images/s" + (f", loss {loss:.4f}" if loss is not None else "")
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=step)
            if loss is not None:
                self._bar.update(self._task, text=text)
        elif not self._silent and (time.monotonic() - self._said >= self._every or step == self._total):
            self._said = time.monotonic()
            left = (self._said - self._start) / max(1, step - self._first) * (self._total - step)
            tell(f"{self._label}: step {step}/{self._total}, {text}, {left:.0f} s left", self._stream)

    def _new_bar(self) -> Progress:
        columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
        columns += [TextColumn("{task.fields[text]}"), TimeRemainingColumn()]
        return Progress(*columns, console=Console(file=self._stream))
