"""`longcut data biased ...`: sets whose shortcut is known, with as many exceptions to it as one asks for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from longcut.cli.output import say

if TYPE_CHECKING:
    from longcut.data.builders.biased_set import BiasedSet

app = typer.Typer(help="Build sets with a known shortcut.", no_args_is_help=True)

Mnist = Annotated[
    Path,
    typer.Option("--mnist", help="MNIST: an .npz file, the folder of its IDX files, or of train and test folders."),
]
Out = Annotated[Path, typer.Option("--out", help="Folder of the set.")]
Ratio = Annotated[float, typer.Option("--ratio", help="Share of the training images that conflict.")]
Valid = Annotated[int, typer.Option("--valid", min=0, help="Training images held out for validation, biased likewise.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of what is drawn.")]
Images = Annotated[Path, typer.Argument(metavar="IMAGES", help="Images with classes and splits: a folder or a CSV.")]


@app.command("cmnist")
def cmnist(
    mnist: Mnist,
    ratio: Ratio,
    out: Out,
    construction: Annotated[
        Literal["lff", "pgd"], typer.Option("--construction", help="Whose Colored MNIST; their colours differ too.")
    ] = "lff",
    severity: Annotated[
        int | None, typer.Option("--severity", help="1 to 5, of lff: how little colours vary; 4 by default.")
    ] = None,
    valid: Annotated[
        int | None,
        typer.Option(
            "--valid", min=0, help="Training images held out for validation; 5,000 by default, a tenth for pgd."
        ),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Colored MNIST: digits in their class's colour but for a few, on black."""
    from longcut.data.builders.colored_digits import build_colored_mnist

    _tell(
        build_colored_mnist(
            mnist, out, ratio=ratio, construction=construction, severity=severity, valid=valid, seed=seed
        ),
        out,
    )


@app.command("biased-mnist")
def biased_mnist(
    mnist: Mnist,
    rho: Annotated[float, typer.Option("--rho", help="Share of the training images that are aligned.")],
    out: Out,
    valid: Valid = 5000,
    seed: Seed = 0,
) -> None:
    """Biased-MNIST: white digits on their class's colour but for a few."""
    from longcut.data.builders.biased_mnist import build_biased_mnist

    _tell(build_biased_mnist(mnist, out, rho=rho, valid=valid, seed=seed), out)


@app.command("colour-mnist")
def colour_mnist(
    mnist: Mnist,
    variance: Annotated[float, typer.Option("--variance", help="Of the colours around their class's: 0.02 to 0.05.")],
    out: Out,
    valid: Valid = 5000,
    seed: Seed = 0,
) -> None:
    """Colour MNIST: all training digits around their class's colour, of which the variance leaves more or less."""
    from longcut.data.builders.colour_variance import build_colour_mnist

    _tell(build_colour_mnist(mnist, out, variance=variance, valid=valid, seed=seed), out)


@app.command("corrupted")
def corrupted(
    images: Images,
    ratio: Ratio,
    out: Out,
    corruptions: Annotated[
        str, typer.Option("--corruptions", help="type0, type1, or a name for each class, separated by commas.")
    ] = "type0",
    severity: Annotated[int, typer.Option("--severity", help="1 to 5, of the corruptions.")] = 5,
    size: Annotated[int | None, typer.Option("--size", help="Side in pixels; the smallest image's by default.")] = None,
    valid: Annotated[
        int | None, typer.Option("--valid", min=0, help="Training images held out for validation; none by default.")
    ] = None,
    seed: Seed = 0,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes; every core by default.")] = None,
    engine: Annotated[
        Literal["pool", "ray"], typer.Option("--engine", help="What spreads the work over processes.")
    ] = "pool",
) -> None:
    """Corrupted photographs: a corruption goes with each class, but for a few images."""
    from longcut.data.builders.corrupted_set import build_corrupted

    built = build_corrupted(
        images, out, ratio=ratio, corruptions=corruptions, severity=severity, size=size, valid=valid, seed=seed,
        workers=workers, engine=engine, label="corrupting",
    )  # fmt: skip
    _tell(built, out)


@app.command("severity")
def by_severity(
    images: Images,
    conflict_ratio: Annotated[
        float, typer.Option("--conflict-ratio", help="Share of the training images that conflict.")
    ],
    out: Out,
    seed: Seed = 0,
    target: Annotated[str | None, typer.Option("--target", help="Attribute to classify, of several (CelebA).")] = None,
    bias: Annotated[str | None, typer.Option("--bias", help="Attribute that goes with it.")] = None,
    severity: Annotated[
        str | None, typer.Option("--severity", help="Folder of a share of conflicting images, of several: 1pct.")
    ] = None,
) -> None:
    """A table of a subset of any set with bias labels, in which as many training images conflict as asked for."""
    from longcut.data.builders.severity import build_severity

    built = build_severity(
        images, out, conflict_ratio=conflict_ratio, seed=seed, target=target, bias=bias, severity=severity
    )
    _tell(built, out)


def _tell(built: BiasedSet, out: Path) -> None:
    if built.was_complete:
        say("everything was there already")
    for split, count in built.images.items():
        conflicting = built.conflicting[split]
        print(f"{split}: {count} images, {conflicting} conflicting ({conflicting / count:.2%})")
    say(f"images.csv of the set is in {out}")
