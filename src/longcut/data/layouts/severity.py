"""Folders called after the share of bias-conflicting images that they hold: `0.5pct`, `1pct`, ..."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_SEVERITY = re.compile(r"\d+(\.\d+)?pct")


def is_severity(name: str) -> bool:
    """Whether a folder is called after a severity."""
    return _SEVERITY.fullmatch(name) is not None


def choose_severity(folder: Path, names: Sequence[str], severity: str | None) -> str:
    """The folder of the severity that was asked for, or the only one.

    Raises:
        ValueError: it is not there, or several are and none was asked for.
    """
    known = sorted(names, key=_share)
    if severity is None and len(known) == 1:
        return known[0]
    if severity is None:
        way_out = f"choose one with data.severity={known[0]} or --severity {known[0]}, for example"
        raise ValueError(f"{folder} holds the severities {', '.join(known)}: {way_out}")
    wanted = severity.strip().removesuffix("%").removesuffix("pct")
    for name in known:
        if name.removesuffix("pct") == wanted:
            return name
    raise ValueError(f"{folder} has no severity {severity!r}: it holds {', '.join(known)}")


def _share(name: str) -> float:
    return float(name.removesuffix("pct"))
