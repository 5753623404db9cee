"""The commands, and how a fault is told: one line, exit code 2."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import typer

from longcut import __version__
from longcut.cli import analyse, analysis, audit, data, dfr, discover, export, results, tables, training
from longcut.cli.usage import Commands
from longcut.data.telling import GO_ON, tell

app = typer.Typer(
    name="longcut",
    cls=Commands,
    help="Find the shortcuts an image model takes, train one that does not take them, prove the difference.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(training.demo)
app.command("audit")(audit.audit)
app.command("discover")(discover.discover)
app.command("train")(training.train)
app.command("evaluate")(results.evaluate)
app.command("probe")(analysis.probe)
app.command("dfr")(dfr.dfr)
app.command("similarity")(analysis.similarity)
app.command("analyse")(analyse.analyse)
app.command("sweep")(training.sweep)
app.command("table")(tables.table)
app.command("compare")(results.compare)
app.command("report")(results.report)
app.command("export")(export.export)
app.add_typer(data.app, name="data")

_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_INTERRUPTED = f"interrupted; {GO_ON}"
_NO_MEMORY = f"out of memory: lower batch_size or image_size, or free some memory and {GO_ON}"
_OF_MEMORY = ("out of memory", "can't allocate memory", "MemoryError")  # a GPU's, the machine's, a worker's


@app.callback(invoke_without_command=True)
def longcut(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    """Find the shortcuts an image model takes, train one that does not take them, prove the difference."""
    if version:
        print(f"longcut {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; `module:Class` is looked for in the current folder too, as `python -m` does."""
    sys.path.insert(0, "")
    try:
        app(prog_name="longcut")
    except ValueError as error:
        _fail(str(error), 2)
    except OSError as error:
        _fail(_told(error), 2)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in _OF_MEMORY):
            raise
        _fail(_NO_MEMORY, 2)
    except KeyboardInterrupt:
        _fail(_INTERRUPTED, 130)
    except SystemExit as ended:
        if _came_from_interrupt(ended):
            _fail(_INTERRUPTED, 130)
        raise


def _came_from_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C lies behind an exception: some versions of typer make an exit of it."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _told(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"the disk is full ({error.filename or error}); free some space and run the same command again"
    if not error.filename or not error.strerror:
        return str(error)
    path = Path(os.fsdecode(error.filename))
    path = path.parent if path.name.startswith(".") else path  # a file that is still being written
    way_out = "; choose a folder that you may write to" if error.errno in _FORBIDDEN else ""
    return f"cannot open {path}: {error.strerror}{way_out}"


def _fail(message: str, code: int) -> None:
    tell(f"longcut: {message}")
    sys.exit(code)
