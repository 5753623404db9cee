"""Lines for the person: results go to standard output, everything else to standard error."""

from __future__ import annotations

import os
import sys


def say(line: str) -> None:
    """Print a line about what is going on; of several processes the first does."""
    if os.environ.get("RANK", "0") == "0":
        print(line, file=sys.stderr, flush=True)
