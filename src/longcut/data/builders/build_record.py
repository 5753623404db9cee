"""What a folder was built with, written beside what was built: a build goes on with the same settings or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from longcut.data.decoding import write_whole
from longcut.data.exclusive import exclusive

RECORD = "build.json"


@contextmanager
def building(destination: Path, settings: Mapping[str, str | int | None], *, what: str) -> Iterator[bool]:
    """Build in a folder that no other process builds in meanwhile.

    Args:
        destination: the folder, which is made.
        settings: everything that what is built depends on.
        what: what is built, for the messages.

    Yields:
        Whether the build goes on from an earlier one.

    Raises:
        ValueError: another process builds there, or the folder holds something else, or was built with other settings;
            names the first that differs.
        OSError: the folder cannot be made or written.
    """
    with suppress(FileExistsError):  # a file, which `_open` refuses
        destination.mkdir(parents=True, exist_ok=True)
    busy = f"another process builds {what} in {destination}: wait until it has finished, or give another folder"
    with exclusive(destination, refusal=busy):
        yield _open(destination, settings, what)


def _open(destination: Path, settings: Mapping[str, str | int | None], what: str) -> bool:
    """Write the folder's record, or find it: whether the build goes on."""
    record = destination / RECORD
    if record.is_file():
        try:
            before = json.loads(record.read_text(encoding="utf-8"))
        except ValueError:
            before = None
        if not isinstance(before, dict):
            raise ValueError(f"{record} is no record of a build: give another folder for the {what}")
        for key, value in settings.items():
            if before.get(key) != value:
                raise ValueError(
                    f"{destination} holds {what} made with {key} = {before.get(key)!r}, not {value!r}: "
                    "give another folder, or remove this one"
                )
        for part in destination.rglob(".*.part"):
            part.unlink(missing_ok=True)  # what a kill left half written
        return True
    if destination.is_dir() and any(destination.iterdir()):
        raise ValueError(f"{destination} is not empty and holds no {what} of longcut: give another folder")
    if destination.exists() and not destination.is_dir():
        raise ValueError(f"{destination} is a file: give a folder for the {what}")
    write_whole(record, (json.dumps(dict(settings), indent=2, ensure_ascii=False) + "\n").encode())
    return False


def read_rows(table: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The whole rows of a table that may have been cut short while it was written; none where it does not exist."""
    if not table.is_file():
        return []
    text = table.read_bytes().decode("utf-8", errors="replace")
    rows = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
    return [row for row in rows if all(row.get(name) is not None for name in columns)]


@contextmanager
def rows_added(table: Path) -> Iterator[Callable[[Sequence[object]], None]]:
    """Add rows to a table one by one, each in the file as soon as it is given: a build that is cut off keeps them.

    Args:
        table: as `write_rows` wrote it.

    Yields:
        What adds a row.
    """
    with table.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")

        def add(row: Sequence[object]) -> None:
            writer.writerow(row)
            file.flush()

        yield add


def write_rows(table: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table whole or not at all."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_whole(table, text.getvalue().encode("utf-8"))
