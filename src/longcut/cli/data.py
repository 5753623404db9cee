"""`longcut data ...`: folders in, folders out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from longcut.cli import biased
from longcut.cli.output import say

app = typer.Typer(help="Prepare images: folders in, folders out.", no_args_is_help=True)
app.add_typer(biased.app, name="biased")

Images = Annotated[
    Path, typer.Argument(metavar="IMAGES", help="Folder of class folders, a CSV, or a public set as it is.")
]
Boxes = Annotated[Path | None, typer.Option("--boxes", help="CSV file,x1,y1,x2,y2 of the foregrounds' boxes.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Processes; every core by default.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable images out and list them.")]
Method = Annotated[
    Literal["grabcut", "onnx", "u2net", "isnet", "birefnet"],
    typer.Option(
        "--method", help="GrabCut, or the family of the network in --model; onnx tells it by the file's name."
    ),
]
Engine = Annotated[Literal["pool", "ray"], typer.Option("--engine", help="What spreads the work over processes.")]
Edges = Annotated[Literal["soft", "hard"], typer.Option("--edges", help="Of the pasted foregrounds.")]
Format = Annotated[Literal["png", "jpeg"], typer.Option("--format", help="Of the images.")]
Split = Annotated[str | None, typer.Option("--split", help="One split of the images; all by default.")]
Limit = Annotated[int | None, typer.Option("--limit-per-class", help="At most so many images of each class.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of what is drawn.")]
Size = Annotated[int | None, typer.Option("--size", help="Side in pixels; each image's own by default.")]
Total = Annotated[int | None, typer.Option("--limit", help="At most so many images, spread evenly over the classes.")]


@app.command("check")
def check(
    images: Images,
    masks: Annotated[
        Path | None, typer.Option("--masks", help="Tree of foreground masks that mirrors the images'.")
    ] = None,
    target: Annotated[str | None, typer.Option("--target", help="Attribute to classify, of several (CelebA).")] = None,
    bias: Annotated[str | None, typer.Option("--bias", help="Attribute that goes with it.")] = None,
    severity: Annotated[
        str | None, typer.Option("--severity", help="Folder of a share of conflicting images, of several: 1pct.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything that was found as JSON.")] = False,
    workers: Workers = None,
) -> None:
    """Read every image: layout, splits, groups, sizes, broken files, duplicates across splits."""
    from longcut.data.check_text import check_json, check_text
    from longcut.data.checking import check_set
    from longcut.data.layouts import LayoutOptions

    options = LayoutOptions(target=target, bias=bias, severity=severity)
    found = check_set(images, options, masks=masks, workers=workers, label="reading")
    print(check_json(found) if as_json else check_text(found))


@app.command("segment")
def segment(
    images: Images,
    out: Annotated[Path, typer.Option("--out", help="Folder of the masks.")],
    boxes: Boxes = None,
    method: Method = "grabcut",
    model: Annotated[Path | None, typer.Option("--model", help="ONNX file of a segmentation network.")] = None,
    split: Split = None,
    limit_per_class: Limit = None,
    seed: Seed = 0,
    workers: Workers = None,
    engine: Engine = "pool",
    skip_bad: SkipBad = False,
) -> None:
    """Make a foreground mask for every image; goes on where it was cut off."""
    from longcut.data.builders.choosing import choose_images
    from longcut.data.builders.segmentation import segment as run

    found = choose_images(images, split, destination=out, limit_per_class=limit_per_class, boxes=boxes)
    rows = run(
        found, out, method=method, model=model, seed=seed, workers=workers, engine=engine,
        skip_bad=skip_bad, label="segmenting",
    )  # fmt: skip
    _count([row.verdict for row in rows])
    say(f"masks, masks.csv and masks.jpg are in {out}")


@app.command("backgrounds")
def backgrounds(
    images: Images,
    masks: Annotated[Path, typer.Option("--masks", help="Tree of foreground masks that mirrors the images'.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the challenge.")],
    boxes: Boxes = None,
    split: Split = None,
    limit_per_class: Limit = None,
    size: Size = None,
    edges: Edges = "soft",
    form: Format = "png",
    seed: Seed = 0,
    workers: Workers = None,
    engine: Engine = "pool",
    skip_bad: SkipBad = False,
) -> None:
    """Build the Background Challenge of one's own images; goes on where it was cut off."""
    from longcut.data.builders.challenge_builder import build_backgrounds
    from longcut.data.builders.choosing import choose_images

    found = choose_images(images, split, destination=out, limit_per_class=limit_per_class, masks=masks, boxes=boxes)
    built = build_backgrounds(
        found, out, seed=seed, edges=edges, format=form, size=size, workers=workers, engine=engine,
        skip_bad=skip_bad, label="building",
    )  # fmt: skip
    left_out = ", ".join(f"{count} {reason}" for reason, count in built.left_out.items())
    say("everything was there already" if built.was_complete else f"left out: {left_out or 'none'}")
    print(f"{built.images} images in each variant, in {out}")


@app.command("textures")
def textures(
    images: Images,
    out: Annotated[Path, typer.Option("--out", help="Folder of the textures.")],
    split: Split = None,
    limit: Total = None,
    limit_per_class: Limit = None,
    size: Annotated[int, typer.Option("--size", help="Side in pixels.")] = 224,
    mode: Annotated[
        Literal["multiresolution", "quilting"], typer.Option("--mode", help="How they are made; quilting is faster.")
    ] = "multiresolution",
    patch_size: Annotated[
        int | None, typer.Option("--patch-size", help="Side of the patches; 96 px, 48 or what fits by default.")
    ] = None,
    quality: Annotated[bool, typer.Option("--quality", help="Measure how well each fits its image.")] = False,
    seed: Seed = 0,
    workers: Workers = None,
    engine: Engine = "pool",
    skip_bad: SkipBad = False,
) -> None:
    """Make a texture of every image, from two patches of it; goes on where it was cut off."""
    from longcut.data.builders.choosing import choose_images
    from longcut.data.builders.textures import build_textures, mean_quality

    found = choose_images(images, split, destination=out, limit=limit, limit_per_class=limit_per_class)
    rows = build_textures(
        found, out, seed=seed, size=size, mode=mode, patch_size=patch_size, quality=quality,
        workers=workers, engine=engine, skip_bad=skip_bad, label="synthesizing",
    )  # fmt: skip
    _count([row.verdict for row in rows])
    if quality:
        print(", ".join(f"{name} {value:.4f}" for name, value in mean_quality(rows).items()) or "nothing to measure")
    say(f"textures, textures.csv and textures.jpg are in {out}")


@app.command("stylize")
def stylize(
    images: Images,
    textures: Annotated[
        Path, typer.Option("--textures", help="Class folders of textures; of their splits the images' is taken.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the stylized images.")],
    per_image: Annotated[
        int | None, typer.Option("--per-image", help="Textures for each image, to train on; 1 by default.")
    ] = None,
    per_pair: Annotated[
        int | None, typer.Option("--per-pair", help="Images for each two classes instead, to measure shape bias.")
    ] = None,
    split: Split = None,
    limit: Total = None,
    limit_per_class: Limit = None,
    size: Size = None,
    mode: Annotated[
        Literal["guided", "amplitude"], typer.Option("--mode", help="New texture, or the quick mix of Fourier spectra.")
    ] = "guided",
    seed: Seed = 0,
    workers: Workers = None,
    engine: Engine = "pool",
    skip_bad: SkipBad = False,
) -> None:
    """Give images the texture of another class; goes on where it was cut off."""
    from longcut.data.builders.choosing import choose_images, choose_textures
    from longcut.data.builders.stylize import build_stylized

    found = choose_images(images, split, destination=out, limit=limit, limit_per_class=limit_per_class)
    rows = build_stylized(
        found, choose_textures(textures, split, destination=out), out, per_image=per_image, per_pair=per_pair,
        mode=mode, size=size, seed=seed, workers=workers, engine=engine, skip_bad=skip_bad, label="stylizing",
    )  # fmt: skip
    _count([row.verdict for row in rows])
    say(f"images, stylized.csv and stylized.jpg are in {out}")


@app.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(help="Name of a public data set.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder to make; the set's name by default.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="Another address of the same file: a mirror.")] = None,
) -> None:
    """Download a public data set and unpack it; goes on where it was cut off."""
    from longcut.data.fetching.fetch import fetch as run

    print(run(name, out or Path(name), url=url, say=say))


def _count(verdicts: Sequence[str]) -> None:
    print(", ".join(f"{count} {verdict}" for verdict, count in Counter(verdicts).most_common()))
