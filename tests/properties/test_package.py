"""The package's face."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import longcut


def test_rooms_are_there_by_name_and_nothing_else_is() -> None:
    assert longcut.losses.info_nce is not None
    assert longcut.queues.ClassQueue is not None
    packages = {found.name for found in pkgutil.iter_modules(longcut.__path__) if found.ispkg}
    assert packages - {"cli"} == longcut._ROOMS
    with pytest.raises(AttributeError, match="'loses'; its rooms are"):
        longcut.loses  # noqa: B018


def test_importing_it_imports_no_room() -> None:
    code = "import longcut, sys; print('torch' in sys.modules or 'longcut.core' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
