"""`longcut train`, `longcut sweep`, `longcut demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from longcut.cli.changes import read_changes, split_changes
from longcut.cli.output import check_none_left_out, say

Data = Annotated[
    Path,
    typer.Option("--data", help="Folder of class folders (or of splits of them), a CSV, or a public set as it is."),
]
Out = Annotated[Path, typer.Option("--out", help="Folder of the run.")]
Masks = Annotated[Path | None, typer.Option("--masks", help="Tree of foreground masks that mirrors the images'.")]
Boxes = Annotated[Path | None, typer.Option("--boxes", help="CSV file,x1,y1,x2,y2 of the foregrounds' boxes.")]
Textures = Annotated[
    Path | None, typer.Option("--textures", help="Tree of textures that mirrors the images', for texture negatives.")
]
Stylized = Annotated[
    Path | None,
    typer.Option("--stylized", help="Folder that 'longcut data stylize' made, for composites of its images."),
]
Weights = Annotated[
    str | None,
    typer.Option("--weights", help="Starting weights: FILE (.safetensors, .pt), a name of timm's, or none."),
]
Limit = Annotated[int | None, typer.Option("--limit-per-class", help="At most so many images of each class.")]
Cache = Annotated[str | None, typer.Option("--cache", help="Where decoded images are kept: disk, memory or none.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable images out and list them.")]
Changes = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, e.g. steps=200.")]


def train(
    name: Annotated[str, typer.Argument(metavar="METHOD|PRESET|MODULE:CLASS", help="What to train.")],
    data: Data,
    out: Out,
    changes: Changes = None,
    masks: Masks = None,
    boxes: Boxes = None,
    textures: Textures = None,
    stylized: Stylized = None,
    weights: Weights = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the run.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's checkpoint.")] = False,
    limit_per_class: Limit = None,
    cache: Cache = None,
    skip_bad: SkipBad = False,
) -> None:
    """Train one run into a folder. Several processes: torchrun --nproc_per_node N --no-python longcut train ..."""
    from longcut.engine.settings import find_method, resolve
    from longcut.recipes.inputs import Inputs
    from longcut.recipes.training import train_run

    overrides = _overrides(changes, seed=seed, limit=limit_per_class, weights=weights, cache=cache)
    settings = resolve(name, overrides)
    if train_run(
        settings, Inputs(data, masks, boxes, textures, stylized, skip_bad=skip_bad), out, resume=resume, say=say
    ):
        command = "evaluate" if find_method(settings.method).supervised else "probe"
        say(f"done: measure it with 'longcut {command} {out} --data DIR'")
    else:
        raise typer.Exit(130)


def sweep(
    names: Annotated[
        list[str], typer.Argument(metavar="METHOD|PRESET|MODEL... [KEY=VALUE]...", help="What to train and measure.")
    ],
    data: Data,
    out: Out,
    test: Annotated[Path | None, typer.Option("--test", help="What to measure on: images or a challenge.")] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds, separated by commas.")] = "0",
    vary: Annotated[
        list[str] | None, typer.Option("--vary", help="KEY=VALUE,VALUE,...: a run for each; may be repeated.")
    ] = None,
    measure: Annotated[
        str,
        typer.Option(
            "--measure",
            help="accuracy, selections, probe, corruptions, cue-conflict, similarity, textures; by commas.",
        ),
    ] = "accuracy",
    stimuli: Annotated[Path | None, typer.Option("--stimuli", help="Images for the measure cue-conflict.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", help="At most so many images for corruptions and cue-conflict.")
    ] = None,
    adversarial: Annotated[bool, typer.Option("--adversarial", help="Also try adversarial backgrounds.")] = False,
    masks: Masks = None,
    boxes: Boxes = None,
    textures: Textures = None,
    stylized: Stylized = None,
    weights: Weights = None,
    limit_per_class: Limit = None,
    cache: Cache = None,
    skip_bad: SkipBad = False,
) -> None:
    """Train and measure many runs: presets x values x seeds. Run again, it goes on where it stopped."""
    from longcut.recipes.inputs import Inputs
    from longcut.recipes.measures import Sources
    from longcut.recipes.sweep import Grid
    from longcut.recipes.sweep import sweep as run_sweep
    from longcut.report.summary import write_sweep

    changes = [name for name in names if "=" in name]
    models = [name for name in names if _is_model(name)]
    values = {key: _list(text) for key, text in split_changes(vary or []).items()}
    grid = Grid(
        presets=[name for name in names if name not in changes and name not in models],
        seeds=[_whole(text) for text in seeds.split(",")],
        vary=values,
        overrides=_overrides(changes, limit=limit_per_class, weights=weights, cache=cache),
        models=models,
    )
    inputs = Inputs(data, masks, boxes, textures, stylized, skip_bad=skip_bad)
    sources = Sources(data, test, textures, stimuli, limit, adversarial=adversarial, skip_bad=skip_bad)
    runs = run_sweep(grid, inputs, out, sources=sources, measures=measure.split(","), say=say)
    if runs is None:
        raise typer.Exit(130)
    if runs:
        print(write_sweep(runs, out, list(values)))
    check_none_left_out(len(grid.runs()) + len(models) - len(runs))


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("longcut-demo"),
    seed: Annotated[int, typer.Option("--seed", help="Seed of the data and of the runs.")] = 0,
) -> None:
    """The main job on embedded data: digits on photographs, three models, a table and a report."""
    from longcut.recipes.demo import run_demo
    from longcut.report.summary import summarise

    runs = run_demo(out, seed=seed, say=say)
    if runs is None:
        raise typer.Exit(130)
    print(summarise(runs, out / "report.html", title="longcut demo: handwritten digits on photographs"))


def _overrides(changes: list[str] | None, **options: Any) -> dict[str, Any]:
    """Settings by key, from KEY=VALUE words and from the options that name a setting."""
    keys = {
        "seed": "run.seed",
        "limit": "data.limit_per_class",
        "weights": "backbone.weights",
        "cache": "data.cache",
    }
    return read_changes(changes or []) | {keys[name]: value for name, value in options.items() if value is not None}


def _is_model(name: str) -> bool:
    """Whether a name is that of a model: `module:name` is a method here."""
    return name.startswith(("run:", "timm:", "torchvision:", "onnx:")) or Path(name, "settings.toml").is_file()


def _list(text: str) -> list[Any]:
    """Values separated by commas; one that holds commas itself stands in brackets or quotes."""
    from longcut.engine.settings import parse_value

    whole = parse_value(f"[{text}]")
    return whole if isinstance(whole, list) else [parse_value(value) for value in text.split(",")]


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is no whole number: write --seeds 0,1,2") from None
