"""Rows of `results.jsonl`: every number with what it is a number of."""

from __future__ import annotations

import functools
import hashlib
import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from longcut import __version__
from longcut.data.decoding import write_whole
from longcut.evaluation.heads import OWN, kind_of
from longcut.evaluation.metrics import Measure


@dataclass(frozen=True)
class Subject:
    """What was measured: a model and how it came about; the same for all rows of one evaluation."""

    run: str
    method: str
    preset: str
    seed: int | None
    step: int | None
    selection: str
    starting_weights: str
    weights_hash: str
    """Of the trained weights, whatever classifies their features."""
    head: str = OWN
    """What classifies: the model's own head; or `linear:`, of a linear probe, or `dfr:`, of a retrained last layer, and
    its hash."""


def row(
    subject: Subject,
    metric: str,
    dataset: str,
    measured: Measure,
    *,
    data: str,
    data_hash: str,
    of_class: str | None = None,
) -> dict[str, Any]:
    """One row: the number as a sum and a count, with its interval, data, weights and selection rule.

    What was measured through another head than the model's own is called after its kind: `linear_<metric>`, as a linear
    probe's own accuracy is, and `dfr_<metric>`.
    """
    kind = kind_of(subject.head)
    return {
        "metric": metric if kind == OWN else f"{kind}_{metric}",
        "dataset": dataset,
        "class": of_class,
        "value": measured.value,
        "low": measured.low,
        "high": measured.high,
        "n": measured.n,
        "sum": measured.sum,
        "data": data,
        "data_hash": data_hash,
        **asdict(subject),
        "commit": commit(),
        "version": __version__,
    }


def append_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Add rows to a results file; a row of the same measurement replaces the former one. Whole or not at all."""
    former = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    merged = {_identity(entry): entry for entry in [*former, *rows]}
    write_whole(path, "".join(json.dumps(entry) + "\n" for entry in merged.values()).encode())


def weights_hash(model: nn.Module) -> str:
    """SHA-256 over names and contents of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"


@functools.cache
def commit() -> str | None:
    """Commit of the source tree that this package runs from, marked where it has changes; None outside one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _identity(entry: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(entry.get(k) for k in ("metric", "dataset", "class", "selection", "data_hash", "weights_hash"))
