"""Suites of out-of-domain tests, by their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from longcut.recipes.corruption_suite import measure_corruptions
from longcut.recipes.cue_conflict import measure_cue_conflict
from longcut.recipes.folder_suites import FOLDER_SUITES, measure_folders
from longcut.recipes.imagenet_c import measure_imagenet_c
from longcut.recipes.models import Model
from longcut.recipes.reading import Say
from longcut.recipes.suite_options import SuiteOptions, check_name

ON_THE_FLY = ("corruptions", "corruptions-extra")
"""Suites that make their images from clean ones."""
READ: dict[str, Callable[..., list[dict[str, Any]]]] = {
    "imagenet-c": measure_imagenet_c,
    **{suite.name: partial(measure_folders, suite) for suite in FOLDER_SUITES},
    "cue-conflict": measure_cue_conflict,
}
"""Suites that read their images from a folder of their own."""
SUITES = (*ON_THE_FLY, *READ)


@dataclass(frozen=True)
class Outcome:
    """What became of a suite: its rows, or why it was not run."""

    suite: str
    rows: list[dict[str, Any]]
    not_run: str = ""


def run_suites(
    model: Model,
    names: Sequence[str],
    data: Path | None,
    out: Path,
    options: SuiteOptions | None = None,
    say: Say = lambda line: None,
) -> list[Outcome]:
    """Run suites one after the other; one that cannot run does not keep the others from it, and says why.

    Args:
        model: to measure.
        names: of `SUITES`.
        data: the images; for several suites a folder that holds one for each, called like the suite. None takes a run's
            own data for corruptions, and is not enough for the others.
        out: folder of the results: rows go to `results.jsonl`.
        options: for all of them.
        say: is told what is measured.

    Raises:
        ValueError: a name is unknown, a corruption asked for is in none of the suites, or none of the suites could run.
    """
    options = options or SuiteOptions()
    for name in names:
        check_name(name, SUITES, "suite")
    outcomes = []
    for name in dict.fromkeys(names):
        try:
            outcomes.append(Outcome(name, _run(model, name, _folder(data, name), out, options, say)))
        except ValueError as error:
            outcomes.append(Outcome(name, [], str(error)))
    if all(outcome.not_run for outcome in outcomes):
        raise ValueError("; ".join(f"{outcome.suite}: not run: {outcome.not_run}" for outcome in outcomes))
    return outcomes


def _run(
    model: Model, name: str, data: Path | None, out: Path, options: SuiteOptions, say: Say
) -> list[dict[str, Any]]:
    if name in ON_THE_FLY:
        return measure_corruptions(model, data, out, options, say, extra=name == "corruptions-extra")
    if data is None:
        raise ValueError("needs --data, a folder of its images")
    return READ[name](model, data, out, options, say)


def _folder(data: Path | None, name: str) -> Path | None:
    """A suite's own folder: the one of its name, where `data` holds any such; else `data` itself."""
    if data is None or not data.is_dir():
        return data
    held = [suite for suite in SUITES if (data / suite).is_dir()]
    if not held:
        return data
    if name in held:
        return data / name
    if name in ON_THE_FLY:
        return None
    raise ValueError(f"{data} holds {', '.join(held)}, and no folder {name}")
