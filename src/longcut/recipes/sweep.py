"""Many runs: presets, values of settings and seeds; each trained once, and measured once in each way asked for."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longcut.data.decoding import write_whole
from longcut.data.destination import check_outside
from longcut.engine.run_folder import check_run_folder, load_run
from longcut.engine.settings import resolve
from longcut.evaluation.finite import NotFiniteError
from longcut.recipes.inputs import Inputs
from longcut.recipes.measures import MEASURES, Sources
from longcut.recipes.models import results_folder
from longcut.recipes.training import train_run

Say = Callable[[str], None]


@dataclass(frozen=True)
class Grid:
    """What varies between the runs of a sweep.

    Attributes:
        presets: methods or presets.
        seeds: of each.
        vary: a setting's key and the values that it takes; none where empty.
        overrides: settings that all runs share.
        models: names, as `open_model` takes them, of runs that are trained already and of other models, to be measured
            beside the runs.

    Raises:
        ValueError: nothing is named, or the seed is set beside `seeds`.
    """

    presets: Sequence[str]
    seeds: Sequence[int] = (0,)
    vary: Mapping[str, Sequence[Any]] | None = None
    overrides: Mapping[str, Any] | None = None
    models: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.presets and not self.models:
            raise ValueError("nothing is named: give a method, a preset or a model")
        if {"seed", "run.seed"} & {*(self.vary or {}), *(self.overrides or {})}:
            raise ValueError("seed is no setting of a sweep: write --seeds 0,1")

    def runs(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Preset and overrides of each run, by the name of its folder."""
        varied = self.vary or {}
        points = [dict(zip(varied, values, strict=True)) for values in itertools.product(*varied.values())]
        named = {}
        for seed, preset, point in itertools.product(self.seeds, self.presets, points):
            parts = [preset, *(f"{key.rpartition('.')[2]}={_word(value)}" for key, value in point.items()), str(seed)]
            named["_".join(parts)] = (preset, {**(self.overrides or {}), **point, "run.seed": seed})
        return named


def sweep(
    grid: Grid,
    inputs: Inputs,
    out: Path,
    *,
    sources: Sources,
    measures: Sequence[str] = ("accuracy",),
    say: Say = print,
) -> list[Path] | None:
    """Train and measure every run of a grid, each in a folder of its own below `out`, and measure its models.

    Called again, it skips what is done and goes on with what was cut off. A run that diverges is told of and left out.
    The results of a model that is a run go to its own folder, those of any other to one below `out`.

    Args:
        grid: what varies.
        inputs: what the runs read.
        out: folder of the runs.
        sources: what they are measured on.
        measures: names in `MEASURES`.
        say: is told which run begins, and which diverged.

    Returns:
        Folders of the runs that did not diverge, then those of the models; None where it was asked to stop.

    Raises:
        ValueError: a setting, a model's name, a measure, a source or `out` is wrong (all are checked before the first
            run begins), or a run cannot be made for another reason than that it diverged.
    """
    sources.check(measures)
    check_outside(inputs.data, out)
    settings = {name: resolve(preset, overrides) for name, (preset, overrides) in grid.runs().items()}
    of_models = [results_folder(model, out) for model in grid.models]
    folders = []
    for place, (name, chosen) in enumerate(settings.items(), 1):
        say(f"[{place}/{len(settings)}] {name}")
        try:
            finished = _trained(out / name, inputs.table(chosen)) or train_run(
                chosen, inputs, out / name, resume=True, say=say
            )
            if not finished:
                return None
            _measure(str(out / name), out / name, measures, sources, say)
        except NotFiniteError as error:
            say(f"{name} is left out: {error}")
            continue
        folders.append(out / name)
    for model, folder in zip(grid.models, of_models, strict=True):
        say(model)
        _measure(model, folder, measures, sources, say)
    return folders + of_models


def _trained(folder: Path, table: dict[str, Any]) -> bool:
    """Whether a run was measured, which follows its last step.

    Raises:
        ValueError: the folder holds a run with other settings than those in `table`; names the first that differs.
    """
    check_run_folder(folder, table, resume=True)
    return (folder / "measured.json").exists() and load_run(folder).step > 0


def _measure(model: str, folder: Path, measures: Sequence[str], sources: Sources, say: Say) -> None:
    """Make the measures that are not done yet; each is noted when its rows are written."""
    note = folder / "measured.json"
    done = json.loads(note.read_text("utf-8")) if note.exists() and (folder / "results.jsonl").exists() else {}
    for name in (name for name in MEASURES if name in measures):
        if done.get(name) != sources.read_by(name):
            MEASURES[name](model, folder, sources, say)
            done[name] = sources.read_by(name)
            write_whole(note, json.dumps(done, indent=1).encode())


def _word(value: Any) -> str:
    """A value as a part of a folder's name, which no slash may cut."""
    word = "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return word.replace("/", "_")
