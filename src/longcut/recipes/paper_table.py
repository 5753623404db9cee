"""Tables of papers as data: rows, columns, what was published, and where the runs of each cell lie."""

from __future__ import annotations

import difflib
import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Published:
    """A value that a paper gives, in percent."""

    mean: float
    std: float | None = None


@dataclass(frozen=True)
class Row:
    """A method.

    Attributes:
        key: how the command line names it.
        title: as people read it.
        preset: that trains it.
        source: where the published values come from; empty where there are none.
        published: by the key of a column.
    """

    key: str
    title: str
    preset: str
    source: str
    published: Mapping[str, Published]


@dataclass(frozen=True)
class Column:
    """A training set.

    Attributes:
        key: how the command line names it.
        title: as people read it.
        build: what the table's builder is told, beside the source.
        settings: that choose it in the source itself, by key.
    """

    key: str
    title: str
    build: Mapping[str, Any]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class PaperTable:
    """A table.

    Attributes:
        name: how the command line calls it.
        title: heading.
        metric: what its cells are, as `results.jsonl` calls it.
        seeds: of each cell.
        builder: makes a column's data of the source; None where the source is trained on as it is.
        source: what `--source` must be, in words.
        notes: printed beneath.
        columns: in their order.
        rows: in their order.
    """

    name: str
    title: str
    metric: str
    seeds: tuple[int, ...]
    builder: str | None
    source: str
    notes: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def choose(self, rows: Sequence[str] = (), columns: Sequence[str] = ()) -> PaperTable:
        """The table with some of its rows and columns, in its own order; with all where none are named.

        Raises:
            ValueError: it has no such row or column.
        """
        return replace(
            self,
            rows=_chosen(self.rows, rows, f"the table {self.name} has no row"),
            columns=_chosen(self.columns, columns, f"the table {self.name} has no column"),
        )


@dataclass(frozen=True)
class TableRun:
    """One run of a cell."""

    row: Row
    column: Column
    seed: int

    def folder(self, out: Path) -> Path:
        """Where it lies in the table's folder."""
        return out / "runs" / f"{self.row.preset}_{self.column.key}_{self.seed}"

    @property
    def title(self) -> str:
        """As people read it."""
        return f"{self.row.preset}, {self.column.title}, seed {self.seed}"


def table_names() -> list[str]:
    """Names of the tables that the package ships."""
    return sorted(file.name.removesuffix(".toml") for file in _folder().iterdir() if file.name.endswith(".toml"))


def read_table(name: str) -> PaperTable:
    """A table that the package ships.

    Raises:
        ValueError: there is none of that name; names the nearest.
    """
    if name not in table_names():
        raise ValueError(f"no table is called {name!r}{nearest(name, table_names())}")
    return parse_table(name, (_folder() / f"{name}.toml").read_text("utf-8"))


def parse_table(name: str, text: str) -> PaperTable:
    """A table from its TOML.

    Raises:
        ValueError: a row has a published value of no column, or one without a source.
    """
    table = tomllib.loads(text)
    columns = tuple(
        Column(key, entry["title"], entry.get("build", {}), entry.get("settings", {}))
        for key, entry in table["columns"].items()
    )
    rows = tuple(_row(key, entry, [column.key for column in columns]) for key, entry in table["rows"].items())
    return PaperTable(
        name=name,
        title=table["title"],
        metric=table["metric"],
        seeds=tuple(table["seeds"]),
        builder=table.get("builder"),
        source=table["source"],
        notes=tuple(table.get("notes", ())),
        columns=columns,
        rows=rows,
    )


def runs_of(table: PaperTable, seeds: Sequence[int] = ()) -> Iterator[TableRun]:
    """The runs of a table: each seed's whole table before the next seed's, so that it fills evenly."""
    for seed, column, row in itertools.product(seeds or table.seeds, table.columns, table.rows):
        yield TableRun(row, column, seed)


def nearest(word: str, known: Sequence[str]) -> str:
    """The end of a message about an unknown name."""
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean {found[0]!r}?)" if found else f"; there are {', '.join(known)}"


def _row(key: str, entry: Mapping[str, Any], columns: Sequence[str]) -> Row:
    published = {
        column: Published(*value) if isinstance(value, list) else Published(value)
        for column, value in entry.get("published", {}).items()
    }
    strangers = [column for column in published if column not in columns]
    if strangers:
        raise ValueError(f"the row {key} has a published value of {strangers[0]!r}, which is no column")
    if published and not entry.get("source"):
        raise ValueError(f"the row {key} has published values without a source")
    return Row(key, entry["title"], entry["preset"], entry.get("source", ""), published)


def _chosen(entries: Sequence[Any], keys: Sequence[str], fault: str) -> tuple[Any, ...]:
    known = [entry.key for entry in entries]
    for key in keys:
        if key not in known:
            raise ValueError(f"{fault} {key!r}{nearest(key, known)}")
    return tuple(entry for entry in entries if not keys or entry.key in keys)


def _folder() -> Any:
    return resources.files("longcut") / "presets" / "tables"
