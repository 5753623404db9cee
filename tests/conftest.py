"""What every test has: caches of its own, none of which is the person's, one thread, and torch as it starts."""

from __future__ import annotations

import os
import random
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait for each other over small tensors, in each worker
# Folders that nothing makes; huggingface_hub reads the names once, when it is imported.
os.environ["HF_HOME"] = str(Path(tempfile.gettempdir(), f"longcut-tests-{os.getpid()}"))
os.environ["HF_HUB_CACHE"] = os.environ["HF_HOME"] + "/hub"

# beartype draws which items of a sequence it looks at: not from the generator whose state a run keeps.
with patch.object(random, "getrandbits", random.Random(0).getrandbits):
    import beartype  # noqa: F401

import pytest
from hypothesis import settings

settings.register_profile("longcut", deadline=None)  # the clock would tell how busy the machine is
settings.load_profile("longcut")


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _torch_as_it_starts() -> None:
    """What a run sets for its whole process, an earlier test's or a module's fixture's, does not reach this test."""
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)
        torch.use_deterministic_algorithms(False)


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work on files without a pool, whose start takes seconds."""
    monkeypatch.setattr("longcut.data.pool.num_cores", lambda: 1)
