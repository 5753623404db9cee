"""What every test has: a cache of its own, so that none reads or fills the person's, and one thread."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait for each other over small tensors, in each worker

import pytest


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work on files without a pool, whose start takes seconds."""
    monkeypatch.setattr("longcut.data.pool.num_cores", lambda: 1)
