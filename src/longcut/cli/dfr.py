"""`longcut dfr`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from longcut.cli.output import print_rows, say


def dfr(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A model: run:DIR, timm:NAME, torchvision:NAME, onnx:FILE, an exported file, or module:callable.",
        ),
    ],
    data: Annotated[Path, typer.Option("--data", help="Images with classes, splits and bias labels.")],
    split: Annotated[
        str | None, typer.Option("--split", help="Split to retrain on; val by default, train is the paper's other one.")
    ] = None,
    test: Annotated[str | None, typer.Option("--test", help="Split to measure; test, else val by default.")] = None,
    inverse_strengths: Annotated[
        str, typer.Option("--inverse-strengths", help="C of the L1 penalty to choose from, comma-separated.")
    ] = "1,0.7,0.3,0.1,0.07,0.03,0.01",
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="How many balanced subsets are fitted.")] = 10,
    skip_empty: Annotated[bool, typer.Option("--skip-empty", help="Leave out groups that have no image.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of what is held out and drawn.")] = 0,
    selection: Annotated[
        str, typer.Option("--selection", help="Which checkpoint: last, best_val, best_val_group or best_test.")
    ] = "last",
    weights: Annotated[str | None, typer.Option("--weights", help="Local weights, for timm:NAME.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the results; the run's own.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable images out and list them.")] = False,
) -> None:
    """Retrain a model's last layer on groups of equal size (DFR), and measure it by groups."""
    from longcut.recipes.dfr import dfr as run_dfr
    from longcut.recipes.models import open_model

    strengths = _numbers(inverse_strengths)
    opened, folder = open_model(model, selection=selection, weights=weights, out=out)
    rows = run_dfr(
        opened, data, folder, split=split, test=test, inverse_strengths=strengths, repeats=repeats, seed=seed,
        skip_empty=skip_empty, skip_bad=skip_bad, say=say,
    )  # fmt: skip
    print_rows(rows, folder, width=28)


def _numbers(text: str) -> list[float]:
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number < math.inf for number in numbers):
        raise ValueError(f"--inverse-strengths {text}: numbers above 0 are needed, separated by commas")
    return numbers
