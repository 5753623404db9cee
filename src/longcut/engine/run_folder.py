"""The folder of a run: what it is, whether it can go on, and the method that it trained."""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longcut.core import Method
from longcut.engine.build import Facts, build_method
from longcut.engine.checkpoint import load_checkpoint, restore_method
from longcut.engine.folder_lock import hold, is_held
from longcut.engine.settings import Settings, SettingsError, check

CHECKPOINTS = {
    "last": "checkpoint.pt",
    "best_val": "best_val.pt",
    "best_val_group": "best_val_group.pt",
    "best_test": "best_test.pt",
}
"""File of each selection rule: the last step; the best on the validation split, without and with its bias labels; the
best on the test split, an oracle."""
_NEEDS = {
    "last": "a step",
    "best_val": "a validation split",
    "best_val_group": "bias labels of the validation split",
    "best_test": "oracle=true and a test split",
}
_BEFORE_A_CHECKPOINT = {"settings.toml", "log.jsonl", "tensorboard", "pictures", "ensemble"}


@dataclass(frozen=True)
class TrainedRun:
    """A method as a run left it.

    Attributes:
        folder: of the run.
        settings: as they were.
        method: in evaluation mode.
        classes: names in the order of the head.
        step: optimizer steps done.
        starting_weights: what the backbone began from.
    """

    folder: Path
    settings: Settings
    method: Method
    classes: tuple[str, ...]
    step: int
    starting_weights: str


def load_run(folder: Path, *, selection: str = "last") -> TrainedRun:
    """Load a trained run.

    Raises:
        ValueError: the folder holds no such run, or its checkpoint does not fit its settings.
    """
    if selection not in CHECKPOINTS:
        raise ValueError(f"selection is one of {', '.join(CHECKPOINTS)}, not {selection!r}")
    kept = kept_checkpoints(folder)
    if kept and selection not in kept:
        raise ValueError(
            f"{folder} kept no checkpoint by {selection}, which needs {_NEEDS[selection]}: it has {', '.join(kept)}"
        )
    state = load_checkpoint(folder / CHECKPOINTS[selection])
    about = state["about"]
    settings = read_settings(folder)
    method, _ = build_method(settings, Facts(**about["facts"]), with_weights=False)
    restore_method(method, state)
    return TrainedRun(
        folder, settings, method.eval(), tuple(about["classes"]), state["step"], about["starting_weights"]
    )


def kept_checkpoints(folder: Path) -> list[str]:
    """The selection rules of which a run kept a checkpoint."""
    return [selection for selection, file in CHECKPOINTS.items() if (folder / file).is_file()]


def holds_nothing(folder: Path) -> bool:
    """Whether the folder of a run holds what that writes before its first checkpoint, and nothing else.

    Rows of results, sample states and files of a person's own are something to lose, whatever became of checkpoints.
    """
    found = {file.name for file in folder.iterdir() if file.suffix != ".part"}
    sections = _read_toml(folder / "settings.toml").keys()
    return found <= _BEFORE_A_CHECKPOINT and sections >= {"method", "run", "paths"}


def check_run_folder(folder: Path, settings: dict[str, Any], *, resume: bool, alone: bool = True) -> None:
    """Check that a run may begin or go on in a folder; nothing is written.

    Where a run goes on from a checkpoint its images may have been moved: whether they are the same is told by their
    hash, when they are read. What a run left that ended before its first checkpoint, because it diverged say, is in
    nobody's way: any other may begin there.

    Args:
        folder: of the run.
        settings: of the run, with the files that it reads.
        resume: go on from its checkpoint.
        alone: refuse a run in whose folder another process trains.

    Raises:
        ValueError: the folder holds something else, a run with other settings (the first key that differs is named),
            one that another process trains, or the same run and `resume` was not asked for.
    """
    file = folder / "settings.toml"
    if folder.is_file():
        raise ValueError(f"{folder} is a file: --out names a folder")
    if file.exists():
        difference = _difference(folder, settings, resume=resume)
        held = is_held(folder)
        if alone and held and not difference:
            raise ValueError(_taken(folder))
        if (resume and not difference) or (holds_nothing(folder) and not held):
            return
        if difference:
            raise ValueError(f"{folder} holds a run with other settings ({difference}): choose another --out")
        raise ValueError(f"{folder} already holds this run: go on with --resume, or choose another --out")
    if folder.is_dir() and any(found.suffix != ".part" for found in folder.iterdir()):
        raise ValueError(f"{folder} exists and is no run: choose another --out")


def open_run_folder(folder: Path, settings: dict[str, Any], *, resume: bool, alone: bool = True) -> None:
    """Make a run's folder, or go on in it; never overwrite one that kept a checkpoint.

    Of a run that ended before its first one the log and the pictures go, and the biased models stay: they lie under
    what they depend on. Until this process releases the folder, opens another or ends, no other process trains in it.

    Args:
        folder: of the run.
        settings: of the run, with the files that it reads.
        resume: go on from its checkpoint.
        alone: hold the folder; False for the further processes of a run, whose first one holds it.

    Raises:
        ValueError: as `check_run_folder`; or the folder cannot be written.
    """
    check_run_folder(folder, settings, resume=resume, alone=alone)
    file = folder / "settings.toml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if alone and not hold(folder):
            raise ValueError(_taken(folder))
        check_run_folder(folder, settings, resume=resume, alone=alone)  # another may have trained there in between
        if not (resume and file.exists() and not _difference(folder, settings, resume=resume)):
            _clear(folder)
            _write_settings(file, settings)
    except OSError as error:
        raise ValueError(f"cannot write {folder}: {error.strerror}") from None


def _taken(folder: Path) -> str:
    return f"another process trains in {folder}: wait until it has finished, or give another --out"


def _difference(folder: Path, settings: dict[str, Any], *, resume: bool) -> str:
    former, new = _resolved(_flat(_read_toml(folder / "settings.toml"))), _resolved(_flat(settings))
    if resume and (folder / CHECKPOINTS["last"]).is_file():
        former["paths.data"] = new.get("paths.data")
    return first_difference(former, new)


def _resolved(flat: dict[str, Any]) -> dict[str, Any]:
    """A flat table with its paths made absolute: files are the same however they are named."""
    return {key: os.path.realpath(str(value)) if key.startswith("paths.") else value for key, value in flat.items()}


def _clear(folder: Path) -> None:
    """Take away what a run would add to or leave as it is."""
    for name in ("log.jsonl", "pictures/batch.jpg"):
        (folder / name).unlink(missing_ok=True)
    if (folder / "tensorboard").exists():
        shutil.rmtree(folder / "tensorboard")


def note_data(folder: Path, data: Path) -> None:
    """Keep in a run's settings where its images lie now, if they were moved.

    Raises:
        OSError: the file cannot be written.
    """
    table = _read_toml(folder / "settings.toml")
    if table.get("paths", {}).get("data") != str(data):
        _write_settings(folder / "settings.toml", {**table, "paths": {**table.get("paths", {}), "data": str(data)}})


def _write_settings(file: Path, table: dict[str, Any]) -> None:
    part = file.with_suffix(".part")
    part.write_text(to_toml(table), "utf-8")
    os.replace(part, file)


def read_settings(folder: Path) -> Settings:
    """Settings of a run, from its folder.

    Raises:
        ValueError: there are none, or they are broken.
    """
    file = folder / "settings.toml"
    if not file.is_file():
        raise ValueError(f"{folder} is no run: it has no settings.toml; make one with 'longcut train'")
    table = _read_toml(file)
    preset = table.pop("preset", "")
    table.pop("paths", None)
    try:
        return check(table, {}, preset=preset)
    except SettingsError as error:
        raise SettingsError(f"{file}: {error}") from None


def first_difference(former: dict[str, Any], new: dict[str, Any]) -> str:
    """The first key that differs between two flat tables, with both values; empty where none does."""
    for key in [*former, *new]:
        if former.get(key) != new.get(key):
            return f"{key} is {former.get(key)!r} there and {new.get(key)!r} here"
    return ""


def to_toml(table: dict[str, Any], prefix: str = "") -> str:
    """Write nested tables of plain values as TOML."""
    plain = [f"{_key(key)} = {_plain(value)}\n" for key, value in table.items() if not isinstance(value, dict)]
    tables = [(f"{prefix}{_key(key)}", value) for key, value in table.items() if isinstance(value, dict)]
    return "".join(plain) + "".join(f"\n[{name}]\n" + to_toml(value, f"{name}.") for name, value in tables)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _plain(name)


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)  # JSON's escapes of rare letters are none of TOML's


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is broken: {error}") from None


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
