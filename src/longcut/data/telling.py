"""Lines about what is going on, which no work depends on."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TextIO

GO_ON = "run the same command again (train: with --resume) to go on"
"""What to do after an interruption, whichever command it was."""


def tell(line: str, stream: TextIO | None = None) -> None:
    """Print a line at once; where its reader has left, as `| head` does, the work goes on in silence.

    Args:
        line: to print.
        stream: standard error where None.
    """
    with suppress(BrokenPipeError):
        print(line, file=stream or sys.stderr, flush=True)
