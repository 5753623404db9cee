"""The option `--head`, alike in every command that has it."""

from __future__ import annotations

from typing import Annotated

import typer

from longcut.evaluation.heads import Head

HeadOption = Annotated[
    Head,
    typer.Option("--head", help="A run's own head, linear: the probe fitted on it, or dfr: its retrained last layer."),
]
