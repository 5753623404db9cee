"""Settings as they stand on the command line: KEY=VALUE."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def split_changes(changes: Iterable[str]) -> dict[str, str]:
    """Texts of the values by key, of words KEY=VALUE.

    Raises:
        ValueError: one is none, or a key stands twice.
    """
    texts: dict[str, str] = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals or not key or not value:
            raise ValueError(f"{change!r} is no KEY=VALUE, such as steps=200")
        if key in texts:
            raise ValueError(f"{key} is given twice: leave {key}={texts[key]} or {change} out")
        texts[key] = value
    return texts


def read_changes(changes: Iterable[str]) -> dict[str, Any]:
    """Values by key, of words KEY=VALUE.

    Raises:
        ValueError: one is none, or a key stands twice.
    """
    from longcut.engine.settings import parse_value

    return {key: parse_value(text) for key, text in split_changes(changes).items()}
