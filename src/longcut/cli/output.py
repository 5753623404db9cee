"""Lines for the person: results go to standard output, everything else to standard error."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from longcut.data.telling import tell


def say(line: str) -> None:
    """Print a line about what is going on; of several processes the first does."""
    if os.environ.get("RANK", "0") == "0":
        tell(line)


def print_rows(rows: Sequence[Mapping[str, Any]], folder: Path, *, width: int, without: str = "") -> None:
    """Print measurements over all classes, and say where every row is.

    Args:
        rows: that were kept.
        folder: of the results.
        width: of the column of names.
        without: ending of the names that goes without saying.
    """
    for row in rows:
        if row["class"] is None:
            name = row["metric"].removesuffix(without).replace("_", " ")
            share = f"{row['value']:6.1%}  [{row['low']:.1%}, {row['high']:.1%}]"
            print(f"{name:<{width}} {row['dataset']:<10} {share}  n = {row['n']}")
    say(f"{len(rows)} rows in {folder / 'results.jsonl'}")


def stop_where(failing: Sequence[str]) -> None:
    """Exit with 1 where a guard's conditions hold, and say which."""
    for line in failing:
        say(f"fails: {line}")
    if failing:
        raise typer.Exit(1)


def check_none_left_out(count: int) -> None:
    """End with a fault where some of many runs diverged, once the others are shown.

    Raises:
        ValueError: some did.
    """
    if count:
        raise ValueError(f"runs left out since they diverged: {count}; each is named above")
