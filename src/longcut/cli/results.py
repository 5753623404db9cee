"""`longcut evaluate`, `longcut compare`, `longcut report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from longcut.cli.output import say

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs that were evaluated.")]


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run (DIR or run:DIR), or timm:NAME on ImageNet-9.")],
    data: Annotated[Path, typer.Option("--data", help="Images in class folders, or a Background Challenge.")],
    selection: Annotated[str, typer.Option("--selection", help="Which checkpoint: last or best_val.")] = "last",
    adversarial: Annotated[bool, typer.Option("--adversarial", help="Also try adversarial backgrounds.")] = False,
    weights: Annotated[str | None, typer.Option("--weights", help="Local weights, for timm:NAME.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the results; the run's own.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable images out and list them.")] = False,
) -> None:
    """Measure a model on a data set, or on every variant of a Background Challenge."""
    from longcut.recipes.evaluating import evaluate as run_evaluation
    from longcut.recipes.evaluating import open_model
    from longcut.report.summary import compare_runs, format_table

    opened, folder = open_model(model, selection=selection, weights=weights, out=out)
    rows = run_evaluation(opened, data, folder, adversarial=adversarial, skip_bad=skip_bad, say=say)
    print(format_table(compare_runs([folder])))
    say(f"{len(rows)} rows in {folder / 'results.jsonl'}")


def compare(
    runs: Runs,
    form: Annotated[str, typer.Option("--format", help="text, markdown, csv, json or html.")] = "text",
) -> None:
    """Show runs side by side; several seeds of the same settings as mean and standard deviation."""
    from longcut.report.summary import compare_runs, format_table

    print(format_table(compare_runs(runs), form))


def report(
    runs: Runs,
    out: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option("--title", help="Heading of the page.")] = None,
) -> None:
    """Write one self-contained HTML page that shows runs side by side."""
    from longcut.report.page import write_report

    print(write_report(runs, out, title=title))
