"""Worker processes of a person's script, without the script."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def main_not_imported(module: str) -> Iterator[None]:
    """Let processes that are started meanwhile leave the main module alone.

    Each would import it first, and a script without `if __name__ == "__main__"` would begin anew in every one of them.

    Args:
        module: where that is which the processes do; where it is the main module, they import it.
    """
    if module == "__main__":
        yield
        return
    said = sys.modules["__main__"].__dict__
    with _ONE_AT_A_TIME:
        former: dict[str, Any] = {name: said[name] for name in ("__file__", "__spec__") if name in said}
        said.pop("__file__", None)
        said["__spec__"] = None
        try:
            yield
        finally:
            said.update(former)
