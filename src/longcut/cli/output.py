"""Lines for the person: results go to standard output, everything else to standard error."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """Print a line about what is going on."""
    print(line, file=sys.stderr, flush=True)
