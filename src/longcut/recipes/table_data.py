"""The training sets of a table's columns, each built of the table's source when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from longcut.data.builders.biased_mnist import build_biased_mnist
from longcut.data.builders.colored_digits import build_colored_mnist
from longcut.data.builders.severity import build_severity
from longcut.engine.settings import check_arguments

BUILDERS: dict[str, Callable[..., Any]] = {
    "colored_mnist": build_colored_mnist,
    "biased_mnist": build_biased_mnist,
    "severity": build_severity,
}
"""What a table's `builder` names: takes a source and a destination, and the rest by name."""


def check_build(builder: str | None, build: Mapping[str, Any]) -> None:
    """Refuse what a builder cannot be told.

    Args:
        builder: name in `BUILDERS`; None where nothing is built.
        build: all that it is told beside source and destination.

    Raises:
        ValueError: names the options that it does not have and the values that cannot be, or says that nothing is
            built.
    """
    if builder is not None:
        check_arguments(BUILDERS[builder], build, "build")
    elif build:
        raise ValueError(f"this table's source is read as it is: leave build.{next(iter(build))} out")


def build_column(builder: str, source: Path, destination: Path, build: Mapping[str, Any]) -> None:
    """Build a column's set, or find it built.

    Args:
        builder: name in `BUILDERS`.
        source: what the set is built of.
        destination: folder of the set.
        build: what the builder is told beside the two.

    Raises:
        ValueError: the builder refuses the source, a value, or a folder that was built with others.
    """
    BUILDERS[builder](source, destination, **build)
