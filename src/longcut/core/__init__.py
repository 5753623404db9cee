"""The types that everything else is made of.

They are imported on first use, so that processes that decode or segment images start without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longcut.core.batch import Batch
    from longcut.core.method import Method

__all__ = ["Batch", "Method"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{name.lower()}"), name)
