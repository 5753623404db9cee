"""Whose folder a run may take: a new one, its own, and one that a run left before its first checkpoint."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from longcut.engine.folder_lock import release
from longcut.engine.run_folder import CHECKPOINTS, check_run_folder, open_run_folder, read_settings


def settings(lr: float = 0.1, data: str = "photos") -> dict[str, Any]:
    return {"method": {"erm": {}}, "run": {"seed": 0}, "optimizer": {"lr": lr}, "paths": {"data": data}}


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """What a run leaves that diverged before its first checkpoint."""
    folder = tmp_path / "run"
    open_run_folder(folder, settings(), resume=False)
    for name in ("tensorboard/events.out", "pictures/batch.jpg", "ensemble/0123/model-0.npz", "log.jsonl", ".1-2.part"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("former")
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """As another process holds the folder of its run."""
    lock = os.open(folder, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield
    finally:
        os.close(lock)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("changes", [{"lr": 0.01}, {"data": "elsewhere"}], ids=str)
def test_what_left_no_checkpoint_is_taken_again(left: Path, changes: dict[str, Any], resume: bool) -> None:
    before = files_in(left)
    check_run_folder(left, settings(**changes), resume=resume)
    assert files_in(left) == before, "checking changes nothing"
    open_run_folder(left, settings(**changes), resume=resume)
    after = files_in(left)
    assert after.pop("settings.toml") != before.pop("settings.toml")
    assert set(after) == {"ensemble/0123/model-0.npz", ".1-2.part"}, "biased models are kept under what they depend on"
    check_run_folder(left, settings(**changes), resume=True)


def test_the_same_run_begins_anew_or_goes_on(left: Path) -> None:
    before = files_in(left)
    open_run_folder(left, settings(), resume=True)
    assert files_in(left) == before, "other processes of the same run find it as the first one has opened it"
    open_run_folder(left, settings(), resume=False)
    assert set(files_in(left)) == {"settings.toml", "ensemble/0123/model-0.npz", ".1-2.part"}


@pytest.mark.parametrize("name", [*CHECKPOINTS.values(), "results.jsonl", "sample_state/00000002.npz", "notes.txt"])
def test_what_a_person_may_miss_is_left_alone(left: Path, name: str) -> None:
    (left / name).parent.mkdir(exist_ok=True)
    (left / name).write_text("dear")
    before = files_in(left)
    with pytest.raises(ValueError, match=r"holds a run with other settings \(optimizer.lr is 0.1 there and 0.2 here\)"):
        open_run_folder(left, settings(0.2), resume=False)
    with pytest.raises(ValueError, match="already holds this run: go on with --resume, or choose another --out"):
        open_run_folder(left, settings(), resume=False)
    assert files_in(left) == before


def test_settings_of_something_else_are_no_run(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('colour = "blue"\n')
    with pytest.raises(ValueError, match="holds a run with other settings"):
        open_run_folder(tmp_path, settings(), resume=False)
    assert files_in(tmp_path) == {"settings.toml": b'colour = "blue"\n'}


def test_unknown_settings_are_told_with_their_file(left: Path) -> None:
    (left / "settings.toml").write_text("[method.erm]\n[run]\nstep = 2\n")
    with pytest.raises(ValueError, match=r"run/settings.toml: unknown setting run.step \(did you mean 'steps'\?\)"):
        read_settings(left)


def test_the_same_files_are_the_same_however_they_are_named(
    left: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (left / CHECKPOINTS["last"]).write_text("")
    monkeypatch.chdir(tmp_path)
    for data in ("./photos", str(tmp_path / "photos"), "run/../photos"):
        with pytest.raises(ValueError, match="already holds this run"):
            check_run_folder(left, settings(data=data), resume=False)


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_another_process_trains_is_left_alone(left: Path, resume: bool) -> None:
    release()  # as the process that left it is gone
    before = files_in(left)
    taken = f"another process trains in {left}: wait until it has finished, or give another --out"
    with held(left):
        with pytest.raises(ValueError, match="holds a run with other settings"):
            open_run_folder(left, settings(0.2), resume=resume)
        for refuse in (check_run_folder, open_run_folder):
            with pytest.raises(ValueError, match=re.escape(taken)):
                refuse(left, settings(), resume=resume)
        check_run_folder(left, settings(), resume=True, alone=False)
        open_run_folder(left, settings(), resume=True, alone=False)  # by another process of the same run
    assert files_in(left) == before
    open_run_folder(left, settings(), resume=resume)


def test_a_folder_that_is_taken_after_the_look_at_it_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = Path.mkdir

    def also_taken(folder: Path, **options: Any) -> None:
        mkdir(folder, **options)
        locks.enter_context(held(folder))

    with ExitStack() as locks, monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", also_taken)
        with pytest.raises(ValueError, match="another process trains in"):
            open_run_folder(tmp_path / "run", settings(), resume=True)
    assert not files_in(tmp_path)


def test_what_was_trained_after_the_look_at_the_folder_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, mkdir = tmp_path / "run", Path.mkdir

    def also_trained(path: Path, **options: Any) -> None:
        mkdir(path, **options)
        patch.undo()
        open_run_folder(path, settings(), resume=False)
        (path / CHECKPOINTS["last"]).write_text("dear")
        release()

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", also_trained)
        with pytest.raises(ValueError, match="already holds this run"):
            open_run_folder(folder, settings(), resume=False)
    assert (folder / CHECKPOINTS["last"]).read_text() == "dear"


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_holds_its_folder_while_it_lasts(left: Path, tmp_path: Path, resume: bool) -> None:
    open_run_folder(left, settings(), resume=resume)
    with pytest.raises(BlockingIOError), held(left):
        pass
    open_run_folder(tmp_path / "next", settings(), resume=False)
    with held(left):
        pass
    release()
    with held(tmp_path / "next"):
        pass


def test_without_locks_a_folder_is_free(left: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    open_run_folder(tmp_path / "other", settings(), resume=False)
    open_run_folder(left, settings(0.2), resume=False)
    assert "log.jsonl" not in files_in(left)
