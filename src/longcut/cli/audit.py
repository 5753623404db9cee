"""`longcut audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from longcut.cli.heads import HeadOption
from longcut.cli.output import say, stop_where

_MODELS = (
    "run:DIR, timm:NAME, torchvision:NAME, FILE with --arch NAME, onnx:FILE, package.module:callable, or "
    "predictions:FILE.csv."
)


def audit(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=_MODELS)],
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="Images, in class folders or not.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the page, the numbers, the pictures.")] = Path("audit"),
    masks: Annotated[
        Path | None, typer.Option("--masks", help="Foreground masks, a tree like the images'; else GrabCut's.")
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="Of the images; else test, val or train.")] = None,
    suite: Annotated[str, typer.Option("--suite", help="core, all, or names, comma-separated.")] = "core",
    cue_conflict: Annotated[
        Path | None, typer.Option("--cue-conflict", help="Cue-conflict stimuli; adds the suite of that name.")
    ] = None,
    arch: Annotated[str | None, typer.Option("--arch", help="Architecture of a file of weights.")] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="A local file of weights, or none for random ones.")
    ] = None,
    selection: Annotated[str, typer.Option("--selection", help="Which of a run's checkpoints.")] = "last",
    head: HeadOption = "own",
    image_size: Annotated[int | None, typer.Option("--image-size", min=1, help="Side that the model sees.")] = None,
    mean: Annotated[str | None, typer.Option("--mean", help="Of the model's pixels, such as 0.5,0.5,0.5.")] = None,
    std: Annotated[str | None, typer.Option("--std", help="Of the model's pixels, such as 0.5,0.5,0.5.")] = None,
    outputs: Annotated[
        Literal["auto", "logits", "probabilities"], typer.Option("--outputs", help="What the model gives.")
    ] = "auto",
    class_names: Annotated[
        Path | None, typer.Option("--class-names", help="The model's classes, a line each, where it names none.")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option("--mapping", help="Of class folders: a CSV folder,model_class.")
    ] = None,
    target: Annotated[str | None, typer.Option("--target", help="Column of the class, of several.")] = None,
    bias_column: Annotated[str | None, typer.Option("--bias-column", help="Column of the bias, of several.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=2, help="At most so many images, at random.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of which image lends to which.")] = 0,
    least: Annotated[float, typer.Option("--least", min=0, max=1, help="Smallest effect that is named.")] = 0.02,
    fail_on: Annotated[
        str | None, typer.Option("--fail-on", help="Exit 1 where one holds: 'bg_gap>0.05,worst_group<0.7'.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="text, markdown, csv, json or html.")] = "text",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable images out and list them.")] = False,
) -> None:
    """Find where a model cheats: every shortcut with its size, and a page that shows them.

    Run again with the same --out, it goes on where it stopped. Where the images have no class folders that the model
    knows, it measures how often predictions move when a cue is changed.
    """
    from longcut.data.layouts import LayoutOptions
    from longcut.evaluation.audit.guard import check, figures_of, parse_guard
    from longcut.evaluation.class_mapping import read_mapping
    from longcut.recipes.audit.by_name import AUDIT_FIGURES, audit_named
    from longcut.recipes.audit.changes import suites_of
    from longcut.recipes.audit.preparing import AuditOptions
    from longcut.report.audit.page import write_audit_page
    from longcut.report.audit.summary import check_format, format_audit

    check_format(form)
    guard = parse_guard(fail_on) if fail_on else ()
    check(guard, dict.fromkeys(AUDIT_FIGURES, 0.0))  # a name that is none is told before the work, not after it
    options = AuditOptions(
        suites=suites_of(f"{suite},cue-conflict" if cue_conflict else suite),
        conflicts=cue_conflict,
        masks=masks,
        mapping=read_mapping(mapping) if mapping else None,
        limit=limit,
        seed=seed,
        least=least,
        skip_bad=skip_bad,
    )
    result = audit_named(
        model,
        images,
        out,
        options,
        split=split,
        layout=LayoutOptions(target=target, bias=bias_column),
        say=say,
        arch=arch,
        weights=weights,
        selection=selection,
        head=head,
        image_size=image_size,
        mean=_triple(mean, "--mean"),
        std=_triple(std, "--std"),
        outputs=outputs,
        class_names=class_names,
    )
    page = write_audit_page(out)
    print(page.read_text("utf-8") if form == "html" else format_audit(result, form))
    say(f"the page: {page}")
    stop_where(check(guard, figures_of(result, AUDIT_FIGURES)))


def _triple(text: str | None, option: str) -> tuple[float, float, float] | None:
    if text is None:
        return None
    try:
        first, second, third = (float(word) for word in text.split(","))
    except ValueError:
        raise ValueError(f"{option} {text}: three numbers are needed, with commas between them") from None
    return first, second, third
