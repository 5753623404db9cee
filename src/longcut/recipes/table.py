"""A paper's table: its data built, its runs trained and measured, each once, whichever of several processes does it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longcut.data.decoding import write_whole
from longcut.engine.run_folder import check_run_folder
from longcut.engine.settings import Settings, SettingsError, resolve
from longcut.evaluation.finite import NotFiniteError
from longcut.recipes.inputs import Inputs, training_images
from longcut.recipes.measures import MEASURES, Sources
from longcut.recipes.paper_table import Column, PaperTable, TableRun, runs_of
from longcut.recipes.table_data import build_column, check_build
from longcut.recipes.training import train_run

Say = Callable[[str], None]
_MEASURE = "selections"


@dataclass(frozen=True)
class TableJob:
    """What is to be made of a table.

    Attributes:
        table: with the rows and columns that are wanted.
        source: what its data is built of, or the data itself.
        out: folder of the table: `data`, `ensembles` and `runs`.
        seeds: of each cell; the table's own where none are given.
        build: what the builder of its data is told for every column.
        overrides: settings that all runs share.

    Raises:
        ValueError: `build` or `overrides` hold what tells its cells apart.
    """

    table: PaperTable
    source: Path
    out: Path
    seeds: Sequence[int] = ()
    build: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns = self.table.columns
        varied = {"run.seed": "--seeds"} | {key: "--columns" for column in columns for key in column.settings}
        for key, option in varied.items():
            for word in {key, key.rpartition(".")[2]} & self.overrides.keys():
                raise ValueError(f"{word} tells the table's cells apart: choose it by {option}")
        for name in {name for column in columns for name in column.build} & self.build.keys():
            raise ValueError(f"build.{name} tells the table's cells apart: choose it by --columns")

    def runs(self) -> list[tuple[TableRun, Settings]]:
        """Every run with its settings.

        Raises:
            ValueError: a setting is wrong.
        """
        return [(run, self._settings(run)) for run in runs_of(self.table, self.seeds)]

    def _settings(self, run: TableRun) -> Settings:
        try:
            return resolve(run.row.preset, {"run.seed": run.seed, **run.column.settings, **self.overrides})
        except SettingsError as error:
            raise SettingsError(f"{run.row.preset}: {error}; --rows chooses those that it is for") from None

    def data(self, column: Column) -> Path:
        """What a column's runs train on and are measured on."""
        return self.source if self.table.builder is None else self.out / "data" / column.key

    def inputs(self, column: Column) -> Inputs:
        """What a column's runs read."""
        return Inputs(self.data(column), ensembles=self.out / "ensembles")


def make_table(job: TableJob, *, say: Say = print) -> list[TableRun] | None:
    """Build, train and measure what a table lacks.

    Called again, it skips what is done and goes on with what was cut off. Several processes may work on one table: a
    run that one of them makes is left out by the others. One that diverges is told of, and its cell stays empty.

    Args:
        job: what to make.
        say: is told what begins, and what diverged.

    Returns:
        The runs that diverged; None where it was asked to stop.

    Raises:
        ValueError: a setting is wrong, or a run's folder holds one with other settings (both are told before the first
            run begins); the source is not what the table is built of; or a run cannot be made for another reason than
            that it diverged.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("a table's runs are made one by one: start 'longcut table' several times, not by torchrun")
    runs = job.runs()
    _check(job, runs)
    for column in job.table.columns:
        _build(job, column, say)
    diverged = []
    for place, (run, settings) in enumerate(runs, 1):
        try:
            if not _make_once(job, run, settings, f"[{place}/{len(runs)}] {run.title}", say):
                return None
        except NotFiniteError as error:
            say(f"{run.title} is left out: {error}")
            diverged.append(run)
    return diverged


def _check(job: TableJob, runs: Sequence[tuple[TableRun, Settings]]) -> None:
    """Find what cannot be before anything is made."""
    for column in job.table.columns:
        check_build(job.table.builder, {**column.build, **job.build})
    for run, settings in runs:
        check_run_folder(run.folder(job.out), job.inputs(run.column).table(settings), resume=True, alone=False)
    if job.table.builder is None:
        for run, settings in {run.column.key: (run, settings) for run, settings in runs}.values():
            _check_source(job, settings, job.inputs(run.column))


def _check_source(job: TableJob, settings: Settings, inputs: Inputs) -> None:
    """Find a source that is something else before the first run begins."""
    try:
        training_images(settings, inputs)
    except ValueError as error:
        raise ValueError(
            f"--source {job.source} is not what the table {job.table.name} reads, {job.table.source} ({error})"
        ) from None


def _build(job: TableJob, column: Column, say: Say) -> None:
    """Make a column's data, unless it is there; another process that wants it waits."""
    if job.table.builder is None:
        return
    folder = job.data(column)
    with _held(folder, wait=True):
        if not folder.exists():
            say(f"building {folder}")
        build_column(job.table.builder, job.source, folder, {**column.build, **job.build})


def _make_once(job: TableJob, run: TableRun, settings: Settings, label: str, say: Say) -> bool:
    """Make a run unless it is done or another process makes it; False where it was asked to stop."""
    with _held(run.folder(job.out)) as held:
        if not held:
            say(f"{label}: left to the process that is making it")
        if not held or _is_done(job, run):
            return True
        say(label)
        return _make(job, run, settings, say)


def _make(job: TableJob, run: TableRun, settings: Settings, say: Say) -> bool:
    """Train and measure one run; whether it is finished."""
    folder, sources = run.folder(job.out), Sources(job.data(run.column))
    if not train_run(settings, job.inputs(run.column), folder, resume=True, say=say):
        return False
    MEASURES[_MEASURE](str(folder), folder, sources, say)
    write_whole(folder / "measured.json", json.dumps({_MEASURE: sources.read_by(_MEASURE)}, indent=1).encode())
    return True


def _is_done(job: TableJob, run: TableRun) -> bool:
    """Whether a run was measured on its data, which follows its last step."""
    folder, sources = run.folder(job.out), Sources(job.data(run.column))
    note = folder / "measured.json"
    if not note.is_file() or not (folder / "results.jsonl").is_file():
        return False
    return bool(json.loads(note.read_text("utf-8")).get(_MEASURE) == sources.read_by(_MEASURE))


@contextmanager
def _held(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold a folder alone, by a lock beside it that ends with the process; whether it is held."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
