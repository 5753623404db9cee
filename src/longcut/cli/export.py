"""`longcut export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from longcut.cli.heads import HeadOption
from longcut.cli.output import say


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run (DIR or run:DIR).")],
    to: Annotated[
        Literal["torchvision", "timm", "safetensors", "onnx"], typer.Option("--to", help="Library that it is for.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", help="A folder, or a file .safetensors or .onnx that gets the weights alone."),
    ],
    selection: Annotated[
        str, typer.Option("--selection", help="Which checkpoint: last, best_val, best_val_group or best_test.")
    ] = "last",
    head: HeadOption = "own",
    audit: Annotated[
        Path | None, typer.Option("--audit", help="Folder of an audit of these weights, for the model card.")
    ] = None,
    with_preprocessing: Annotated[
        bool, typer.Option("--with-preprocessing", help="onnx: take images in 0 to 1 and normalise them in the graph.")
    ] = False,
) -> None:
    """Hand a run's classifier over to another library, checked there, with a model card."""
    from longcut.evaluation.audit.result import AuditResult
    from longcut.recipes.exporting.about import About, names_file
    from longcut.recipes.exporting.export import export_run
    from longcut.report.model_card import model_card, rows_of

    if audit is not None and names_file(out):
        raise ValueError(f"--audit goes into the model card, which a folder gets: {out} is a file")
    audited = None if audit is None else AuditResult.load(audit)
    rows = rows_of(Path(run.removeprefix("run:")))

    def card(about: About) -> str:
        return model_card(about, rows, audited)

    export_run(run, to, out, selection=selection, head=head, with_preprocessing=with_preprocessing, card=card, say=say)
    print(out)
