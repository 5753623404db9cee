"""What the tests of the command line share: settings of a tiny run, how a command ended, what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SMALL = (
    "backbone.name=convnet5",
    "lr=0.001",
    "steps=2",
    "batch_size=6",
    "image_size=32",
    "precision=fp32",
    "cache=memory",
    "log_every=1",
)


def small(*words: str) -> list[str]:
    """The settings of a tiny run with some of them changed, and others added."""
    return [*{word.partition("=")[0]: word for word in (*SMALL, *words)}.values()]


@dataclass(frozen=True)
class Told:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


Longcut = Callable[..., Told]
Refused = Callable[..., str]


def rows_of(run: Path) -> list[dict[str, Any]]:
    """What a run measured."""
    return [json.loads(line) for line in (run / "results.jsonl").read_text("utf-8").splitlines()]
