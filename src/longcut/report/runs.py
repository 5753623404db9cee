"""What a run left behind: settings, log, results, predictions."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `results.jsonl`: a measure of one run on one dataset."""

    metric: str
    dataset: str
    value: float
    """In [0, 1]; gaps and cosines in [-1, 1]."""
    n: int
    """Images (or pairs of images) behind the value."""
    method: str
    class_name: str | None = None
    """The class that the value is of, None for all of them."""
    low: float | None = None
    high: float | None = None
    """Ends of the 95 % interval."""
    sum: float | None = None
    data: str = ""
    data_hash: str = ""
    weights_hash: str = ""
    run: str = ""
    preset: str | None = None
    seed: int | None = None
    step: int | None = None
    selection: str = "last"
    starting_weights: str = "not recorded"
    commit: str | None = None
    version: str = ""


_REQUIRED: Mapping[str, tuple[type, ...]] = {
    "metric": (str,),
    "dataset": (str,),
    "value": (int, float),
    "n": (int,),
    "method": (str,),
}
_OPTIONAL: Mapping[str, tuple[type, ...]] = {
    "class": (str,),
    "low": (int, float),
    "high": (int, float),
    "sum": (int, float),
    "seed": (int,),
    "step": (int,),
} | dict.fromkeys(
    ("data", "data_hash", "weights_hash", "run", "preset", "selection", "starting_weights", "commit", "version"), (str,)
)


@dataclass(frozen=True, slots=True)
class RunResults:
    """Everything that the report reads of one run."""

    folder: Path
    settings: dict[str, Any]
    """The tables of `settings.toml`; empty where the model was not trained here."""
    rows: tuple[Row, ...]
    """In the order of the file: what was written last comes last."""
    log: tuple[dict[str, float], ...] = ()
    """Logged steps: `step`, `loss` and the terms."""
    predictions: Mapping[str, Path] = field(default_factory=dict)
    """Variant -> `.npz` with logits, targets, paths, root and classes."""

    @property
    def picture(self) -> Path | None:
        """The grid of the first training batch, where the run wrote one."""
        path = self.folder / "pictures" / "batch.jpg"
        return path if path.is_file() else None


def read_run(folder: str | Path) -> RunResults:
    """Read the folder that training and evaluation wrote.

    Raises:
        ValueError: there is no such folder, it has no results yet, or one of its files is broken; one line that names
            the file (and the line in it) and says how to go on.
    """
    folder = Path(folder)
    if folder.is_file():
        raise ValueError(f"{folder} is a file, no run: name folders alone, all of them as {folder.parent}/*/")
    if not folder.is_dir():
        raise ValueError(
            f"{folder} is no run: there is no such folder; train one with 'longcut train METHOD --out RUN'"
        )
    results = folder / "results.jsonl"
    if not results.is_file() or not results.read_bytes().strip():
        raise ValueError(f"{folder} has no results: make them with 'longcut evaluate {folder} --data DIR'")
    return RunResults(
        folder=folder,
        settings=_read_settings(folder / "settings.toml"),
        rows=_read_rows(results, evaluate=f"'longcut evaluate {folder} --data DIR'"),
        log=_read_log(folder / "log.jsonl"),
        predictions={p.stem: p for p in sorted((folder / "predictions").glob("*.npz"))},
    )


def _read_settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no TOML ({error}): mend it, or train the run again") from error


def _read_rows(path: Path, evaluate: str) -> tuple[Row, ...]:
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            rows.append(_parse_row(json.loads(line)))
        except ValueError as error:
            reason = "no complete JSON object" if isinstance(error, (json.JSONDecodeError, UnicodeError)) else error
            raise ValueError(f"{path}, line {number}: {reason}; remove the line and run {evaluate} again") from error
    return tuple(rows)


def _parse_row(entry: Any) -> Row:
    if not isinstance(entry, dict):
        raise ValueError("no complete JSON object")
    values: dict[str, Any] = {}
    for key, types in {**_REQUIRED, **_OPTIONAL}.items():
        value = entry.get(key)
        if value is None:
            if key in _REQUIRED:
                raise ValueError(f"'{key}' is missing")
            continue
        if not isinstance(value, types) or isinstance(value, bool):
            raise ValueError(f"'{key}' is {value!r}, not of type {types[-1].__name__}")
        values["class_name" if key == "class" else key] = value
    return Row(**values)


def _read_log(path: Path) -> tuple[dict[str, float], ...]:
    """The logged steps; a last line that is still being written, or was cut off by a crash, is left out."""
    if not path.is_file():
        return ()
    lines = [line for line in path.read_bytes().splitlines() if line.strip()]
    steps = []
    for number, line in enumerate(lines, start=1):
        try:
            steps.append(json.loads(line))
        except ValueError as error:
            if number == len(lines):
                break
            raise ValueError(f"{path}, line {number}: no complete JSON object; remove the line") from error
    return tuple(step for step in steps if isinstance(step, dict) and "step" in step)
