"""`longcut discover`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from longcut.cli.output import say


def discover(
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="Images with classes: folders, a CSV, a public set.")
    ],
    split: Annotated[
        str | None, typer.Option("--split", help="Of the images; else the training split, and pseudo-groups for all.")
    ] = None,
    masks: Annotated[Path | None, typer.Option("--masks", help="Foreground masks, a tree like the images'.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of pseudo_groups.csv, of lists and of pictures.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="At most so many images, of each class alike.")
    ] = None,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Of the cross-validation.")] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of folds and permutations.")] = 0,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes; every core by default.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable images out and list them.")] = False,
    form: Annotated[Literal["text", "json", "csv"], typer.Option("--format", help="Of what is printed.")] = "text",
) -> None:
    """Find cues that tell the class by themselves: file, size, border, background, colour, texture.

    Needs neither a model nor bias labels. Pseudo-groups by the strongest cue are written as a table to train with.
    """
    from longcut.recipes.discovery.files import check_folder, write_discovery
    from longcut.recipes.discovery.run import DiscoverOptions
    from longcut.recipes.discovery.run import discover as run_discover
    from longcut.recipes.discovery.sets import read_set
    from longcut.report.discovery import format_discovery

    if out is not None:
        check_folder(images, out)
    chosen = read_set(images, split, masks=masks, limit=limit)
    options = DiscoverOptions(folds=folds, seed=seed, workers=workers, skip_bad=skip_bad)
    found = run_discover(chosen.images, measured=chosen.measured, options=options, say=say)
    files = [] if out is None else write_discovery(found, out, chosen.splits)
    print(format_discovery(found, form))
    if files:
        say(f"in {out}: {', '.join(file.name for file in files)}")
