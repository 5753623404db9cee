"""Settings as they stand on the command line: KEY=VALUE."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def split_change(change: str) -> tuple[str, str]:
    """Key and value of a word KEY=VALUE.

    Raises:
        ValueError: it is none.
    """
    key, equals, value = change.partition("=")
    if not equals or not key or not value:
        raise ValueError(f"{change!r} is no KEY=VALUE, such as steps=200")
    return key, value


def read_changes(changes: Iterable[str]) -> dict[str, Any]:
    """Values by key, of words KEY=VALUE.

    Raises:
        ValueError: one is none.
    """
    from longcut.engine.settings import parse_value

    return {key: parse_value(text) for key, text in map(split_change, changes)}
