"""`longcut probe`, `longcut similarity`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from longcut.cli.output import print_rows, say

Selection = Annotated[
    str, typer.Option("--selection", help="Which checkpoint: last, best_val, best_val_group or best_test.")
]
Limit = Annotated[int | None, typer.Option("--limit-per-class", min=1, help="At most so many images of each class.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable images out and list them.")]


def probe(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A model: run:DIR, timm:NAME, torchvision:NAME, onnx:FILE, an exported file, or module:callable.",
        ),
    ],
    data: Annotated[Path, typer.Option("--data", help="Labelled images: class folders, with splits or not, or a CSV.")],
    train: Annotated[str | None, typer.Option("--train", help="Split to fit on; train by default.")] = None,
    test: Annotated[str | None, typer.Option("--test", help="Split to test on; test, else val by default.")] = None,
    kind: Annotated[str, typer.Option("--kind", help="linear, knn or both, separated by a comma.")] = "linear,knn",
    solver: Annotated[
        Literal["lbfgs", "sgd"], typer.Option("--solver", help="Of the linear probe: sgd is the papers' recipe.")
    ] = "lbfgs",
    views: Annotated[int, typer.Option("--views", help="Passes of random crops for sgd; 0 takes central ones.")] = 0,
    lr: Annotated[float, typer.Option("--lr", help="Of sgd.")] = 10.0,
    neighbours: Annotated[int, typer.Option("--neighbours", help="How many vote.")] = 200,
    knn_temperature: Annotated[float, typer.Option("--knn-temperature", help="Of their votes.")] = 0.1,
    coarse: Annotated[Path | None, typer.Option("--coarse", help="CSV class,coarse: also coarse accuracy.")] = None,
    coarse_prefix: Annotated[
        str | None, typer.Option("--coarse-prefix", help="Or a separator: what stands before it is the coarse class.")
    ] = None,
    limit_per_class: Annotated[
        int | None, typer.Option("--limit-per-class", min=1, help="At most so many training images of each class.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of what is held out and drawn.")] = 0,
    selection: Selection = "last",
    weights: Annotated[str | None, typer.Option("--weights", help="Local weights, for timm:NAME.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the results; the run's own.")] = None,
    skip_bad: SkipBad = False,
) -> None:
    """Fit a linear classifier and nearest neighbours on a model's features, and test them."""
    from longcut.recipes.models import open_model
    from longcut.recipes.probe import Probes, parse_kinds
    from longcut.recipes.probe import probe as run_probe

    probes = Probes(
        kinds=parse_kinds(kind), solver=solver, views=views, lr=lr,
        neighbours=neighbours, temperature=knn_temperature, seed=seed,
    )  # fmt: skip
    opened, folder = open_model(model, selection=selection, weights=weights, out=out)
    rows = run_probe(
        opened, data, folder, train=train, test=test, probes=probes, coarse=coarse, coarse_prefix=coarse_prefix,
        limit_per_class=limit_per_class, skip_bad=skip_bad, say=say,
    )  # fmt: skip
    print_rows(rows, folder, width=18, without="_accuracy")


def similarity(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    data: Annotated[Path, typer.Option("--data", help="Images, with classes or without.")],
    textures: Annotated[
        Path | None, typer.Option("--textures", help="Tree of textures that mirrors the images'.")
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="Of the images; train by default.")] = None,
    out: Annotated[Path, typer.Option("--out", help="The figure to write: .svg or .png.")] = Path("similarity.svg"),
    negatives: Annotated[int, typer.Option("--negatives", help="Standard negatives of each query.")] = 16,
    limit_per_class: Limit = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of what is drawn.")] = 0,
    selection: Selection = "last",
    skip_bad: SkipBad = False,
) -> None:
    """Compare queries with positives, other images, patch and texture negatives: a table and a figure of histograms."""
    from longcut.recipes.similarity import similarity as run_similarity
    from longcut.report.distributions import check_figure, draw_similarities, format_similarities

    check_figure(out)
    found = run_similarity(
        runs, data, textures=textures, split=split, selection=selection, num_negatives=negatives,
        limit_per_class=limit_per_class, seed=seed, skip_bad=skip_bad, say=say,
    )  # fmt: skip
    values = {each.run: each.values for each in found}
    draw_similarities(values, out)
    print(format_similarities(values))
    say(f"figure: {out}")
