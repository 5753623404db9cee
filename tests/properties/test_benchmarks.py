"""The benchmarks still find what they measure; what they print is looked at by people."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _beside_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))


def test_each_one_that_can_be_named_has_rows() -> None:
    names = importlib.import_module("benchmarks.__main__").NAMES
    assert len(names) >= 12
    for name in names:
        assert callable(importlib.import_module(f"benchmarks.{name}").rows)
