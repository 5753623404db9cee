"""Find the shortcuts an image model takes, train one that does not take them, prove the difference.

The rooms are imported when they are first named, so `import longcut` costs nothing.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0"
__all__ = ["__version__"]

_ROOMS = frozenset(
    (
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


def __getattr__(name: str) -> ModuleType:
    if name in _ROOMS:
        return importlib.import_module(f"longcut.{name}")
    raise AttributeError(f"longcut has no {name!r}; its rooms are {', '.join(sorted(_ROOMS))}")
