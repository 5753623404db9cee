"""Many runs: presets, values of one setting and seeds; each trained and measured once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longcut.engine.run_folder import load_run
from longcut.engine.settings import resolve
from longcut.recipes.evaluating import evaluate, open_model
from longcut.recipes.inputs import Inputs
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
    """

    presets: Sequence[str]
    seeds: Sequence[int] = (0,)
    vary: Mapping[str, Sequence[Any]] | None = None
    overrides: Mapping[str, Any] | None = None

    def runs(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Preset and overrides of each run, by the name of its folder."""
        varied = self.vary or {}
        points = [dict(zip(varied, values, strict=True)) for values in itertools.product(*varied.values())]
        named = {}
        for seed, preset, point in itertools.product(self.seeds, self.presets, points):
            parts = [preset, *(f"{key.rpartition('.')[2]}={value}" for key, value in point.items()), str(seed)]
            named["_".join(parts)] = (preset, {**(self.overrides or {}), **point, "run.seed": seed})
        return named


def sweep(
    grid: Grid, inputs: Inputs, out: Path, *, test: Path | None = None, adversarial: bool = False, say: Say = print
) -> list[Path] | None:
    """Train and measure every run of a grid, each in a folder of its own below `out`.

    Called again, it skips what is done and goes on with what was cut off.

    Args:
        grid: what varies.
        inputs: what the runs read.
        out: folder of the runs.
        test: what they are measured on; the training data's own test or validation split where None.
        adversarial: also measure against adversarial backgrounds.
        say: is told which run begins.

    Returns:
        The runs' folders; None where it was asked to stop.

    Raises:
        ValueError: a setting is wrong (all are checked before the first run begins), or a run cannot be made.
    """
    runs = grid.runs()
    settings = {name: resolve(preset, overrides) for name, (preset, overrides) in runs.items()}
    for place, (name, chosen) in enumerate(settings.items(), 1):
        folder = out / name
        say(f"[{place}/{len(settings)}] {name}")
        if not _measured(folder):
            if not train_run(chosen, inputs, folder, resume=True, say=say):
                return None
            model, results = open_model(str(folder))
            evaluate(model, test or inputs.data, results, adversarial=adversarial, skip_bad=inputs.skip_bad, say=say)
    return [out / name for name in settings]


def _measured(folder: Path) -> bool:
    """Whether a run has results; they are written in one piece after its last step."""
    return (folder / "results.jsonl").exists() and load_run(folder).step > 0
