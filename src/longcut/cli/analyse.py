"""`longcut analyse`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from longcut.cli.output import say


def analyse(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run, best with run.sample_state_every.")],
    data: Annotated[Path, typer.Option("--data", help="What it was trained on, with bias labels.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the figures and numbers.")],
    beside: Annotated[
        list[str] | None, typer.Option("--beside", metavar="RUN", help="A run to show beside it; may be given again.")
    ] = None,
    pairs: Annotated[int, typer.Option("--pairs", min=0, help="Pairs of images whose guidance is shown.")] = 6,
    images: Annotated[int, typer.Option("--images", min=0, help="Test images whose maps are shown.")] = 6,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of which images are shown.")] = 0,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out unreadable images, where training did.")
    ] = False,
) -> None:
    """Read what a run kept of its images beside their bias labels: which ones it took for bias-conflicting, and where.

    Curves over training, the contents of the bias-negative set, maps of the guidance and of several runs.
    """
    from longcut.recipes.analysis import analyse as run_analysis
    from longcut.report.analysis import format_analysis, write_analysis

    if out.is_file():
        raise ValueError(f"{out} is a file: --out names a folder")
    found = run_analysis(
        run, data, beside=beside or [], num_pairs=pairs, num_images=images, seed=seed, skip_bad=skip_bad, say=say
    )
    files = write_analysis(found, out)
    print(format_analysis(found))
    say(f"in {out}: {', '.join(file.name for file in files)}")
