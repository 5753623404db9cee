"""Find the shortcuts an image model takes, train one that does not take them, prove the difference.

`longcut.audit` measures any model. The rooms are imported when they are first named, so `import longcut` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "audit"]

_ROOMS = frozenset(
    (
        "attribution",
        "backbones",
        "core",
        "corruptions",
        "data",
        "engine",
        "evaluation",
        "losses",
        "methods",
        "negatives",
        "queues",
        "recipes",
        "report",
        "testing",
    )
)
_DOORS = {"audit": "longcut.report.auditing"}
"""Functions that are there by their own name, and where they are."""


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"longcut.{name}")
    if name in _DOORS:
        return getattr(importlib.import_module(_DOORS[name]), name)
    raise AttributeError(f"longcut has no {name!r}; its rooms are {', '.join(sorted(_ROOMS))}")


def __dir__() -> list[str]:
    return sorted((*globals(), *_ROOMS, *_DOORS))
