"""The command line as a function, and a finished run."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import SMALL, Longcut, Refused, Told
from made_images import write_images

from longcut.cli import main
from longcut.engine.settings import parse_value, resolve
from longcut.recipes.inputs import Inputs
from longcut.recipes.training import train_run


@pytest.fixture
def longcut(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Longcut:
    def run(*words: object) -> Told:
        monkeypatch.setattr(sys, "argv", ["longcut", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Told(int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def refused(longcut: Longcut) -> Refused:
    """The one line that a wrong command is answered with, at exit code 2."""

    def run(*words: object) -> str:
        told = longcut(*words)
        assert told.code == 2, told
        lines = [line for line in told.err.splitlines() if line.startswith("longcut: ")]
        assert len(lines) == 1, told.err
        assert told.err.endswith(lines[0] + "\n"), told.err
        assert "Traceback" not in told.err
        return lines[0]

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_images(tmp_path / "data", count=4)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of ERM; tests change copies of it."""
    folder = tmp_path_factory.mktemp("finished")
    write_images(folder / "data", count=4)
    changes = {key: parse_value(value) for key, _, value in (word.partition("=") for word in SMALL)}
    train_run(resolve("base_small", changes), Inputs(folder / "data"), folder / "run")
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished / "run", tmp_path / "run"))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DevTools address of a browser, for tests that have seen that there is one."""
    from browser import started

    with started(tmp_path_factory.mktemp("profile")) as address:
        yield address
