"""`longcut table`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longcut.cli.changes import read_changes
from longcut.cli.output import check_none_left_out, say

if TYPE_CHECKING:
    from longcut.recipes.paper_table import PaperTable

_Changes = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Settings of all runs, or of the data as build.NAME=VALUE."),
]


def table(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="cmnist, cmnist_conv, biased_mnist, waterbirds, bffhq or bar.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the table's data and runs.")],
    source: Annotated[
        Path | None, typer.Option("--source", help="What the table's data is built of, or the data itself.")
    ] = None,
    rows: Annotated[str, typer.Option("--rows", help="Only these, e.g. erm,lff.")] = "",
    columns: Annotated[str, typer.Option("--columns", help="Only these, e.g. 0.01,0.05.")] = "",
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds, e.g. 0,1,2; the table's own where left out.")] = "",
    only_print: Annotated[bool, typer.Option("--print", help="Print what is there, and train nothing.")] = False,
    form: Annotated[str, typer.Option("--format", help="text, markdown or csv.")] = "text",
    changes: _Changes = None,
) -> None:
    """Make a paper's table: build its data, train and measure each cell, print it beside what was published.

    Run again, it skips what is done and goes on where it stopped. Several of these may work on one folder at once.
    """
    from longcut.recipes.paper_table import read_table
    from longcut.report.paper_table import check_format, format_paper_table, read_cells

    chosen = read_table(name).choose(_words(rows), _words(columns))
    numbers = [_whole(word) for word in _words(seeds)]
    check_format(form)
    if only_print and changes:
        raise ValueError(f"--print changes nothing: leave {changes[0]} out")
    if only_print and not out.is_dir():
        raise ValueError(f"{out} is no folder: --print shows what 'longcut table {name} --source ... --out' made there")
    left_out = 0 if only_print else _make(chosen, source, out, numbers, changes or [])
    cells = read_cells(chosen, out, numbers)
    if not cells:
        say(f"{out} holds no measured run of these cells")
    print(format_paper_table(chosen, cells, form), end="")
    check_none_left_out(left_out)


def _make(chosen: PaperTable, source: Path | None, out: Path, seeds: list[int], changes: list[str]) -> int:
    """Make what is not there yet; how many runs diverged."""
    from longcut.recipes.table import TableJob, make_table

    if source is None:
        raise ValueError(f"the table {chosen.name} needs --source: {chosen.source}; or --print what is there")
    values = read_changes(changes)
    build = {key.removeprefix("build."): value for key, value in values.items() if key.startswith("build.")}
    overrides = {key: value for key, value in values.items() if not key.startswith("build.")}
    diverged = make_table(TableJob(chosen, source, out, seeds, build, overrides), say=say)
    if diverged is None:
        say("stopped: the same command goes on")
        raise typer.Exit(130)
    return len(diverged)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} is no seed: write --seeds 0,1,2")
    return int(text)
