"""A run that was cut off and resumed equals the unbroken run: its log byte for byte, its state bit for bit."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from folders import full_disk
from made_images import write_images, write_masks

from longcut.backbones import SmallConvNet
from longcut.core import Batch, Method
from longcut.engine.checkpoint import load_checkpoint, restore_training, save_checkpoint
from longcut.engine.logs import RunLog
from longcut.engine.settings import Settings, resolve
from longcut.engine.train import train
from longcut.methods import ERM
from longcut.recipes import training
from longcut.recipes.inputs import Inputs
from longcut.recipes.preparing import PreparedRun
from longcut.recipes.training import train_run

pytestmark = pytest.mark.usefixtures("one_process")

CHANGES: dict[str, Any] = {
    "backbone.name": "convnet5",
    "lr": 1e-3,
    "batch_size": 6,
    "image_size": 32,
    "precision": "fp32",
    "cache": "memory",
    "log_every": 1,
    "checkpoint_every": 7,
}
"""An epoch is 4 steps, so that step 7 is in the middle of the second."""


def settings(preset: str = "clad_plus_small", **changes: Any) -> Settings:
    return resolve(preset, {**CHANGES, **changes})


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Training images with masks, and a validation split."""
    folder = tmp_path_factory.mktemp("images")
    write_images(folder / "data" / "train", count=8)
    write_images(folder / "data" / "val", count=2, seed=1)
    write_masks(folder / "masks" / "train", count=8)
    return Inputs(folder / "data", folder / "masks")


def assert_same_run(one: Path, two: Path) -> None:
    assert (one / "log.jsonl").read_bytes() == (two / "log.jsonl").read_bytes()
    for name in ("checkpoint.pt", "best_val.pt"):
        assert_same(load_checkpoint(one / name), load_checkpoint(two / name), name)


def assert_same(one: Any, two: Any, where: str) -> None:
    """Equal in every tensor, number and text."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), where
    elif isinstance(one, dict):
        assert one.keys() == two.keys(), where
        for key in one:
            assert_same(one[key], two[key], f"{where} {key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(two), where
        for place, (a, b) in enumerate(zip(one, two, strict=True)):
            assert_same(a, b, f"{where} {place}")
    else:
        assert one == two, where


def signalled(at: int) -> Callable[..., Iterator[dict[str, torch.Tensor]]]:
    """`train` in a process that gets a SIGTERM during a step."""

    def wrapped(*arguments: Any, **options: Any) -> Iterator[dict[str, torch.Tensor]]:
        for step, logs in enumerate(train(*arguments, **options), 1):
            if step == at:
                os.kill(os.getpid(), signal.SIGTERM)
            yield logs

    return wrapped


@pytest.mark.parametrize("preset", ["base_small", "clad_plus_small", "base_mr_small"])
def test_a_run_stopped_by_sigterm_goes_on_as_if_it_had_not_been(
    preset: str, inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped twice, each time in the middle of an epoch and beside `checkpoint_every`; with BatchNorm."""
    chosen = settings(preset, steps=14)
    assert train_run(chosen, inputs, tmp_path / "unbroken")
    said: list[str] = []
    for at in (5, 4):
        monkeypatch.setattr(training, "train", signalled(at))
        assert not train_run(chosen, inputs, tmp_path / "broken", resume=at != 5, say=said.append)
    monkeypatch.setattr(training, "train", train)
    assert said[-1] == "stopped after step 9 of 14; run the same command again (train: with --resume) to go on"
    assert load_checkpoint(tmp_path / "broken" / "checkpoint.pt")["step"] == 9
    torch.rand(3)
    assert train_run(chosen, inputs, tmp_path / "broken", resume=True, say=said.append)
    assert_same_run(tmp_path / "unbroken", tmp_path / "broken")


def test_accumulation_and_fp16_resume_too(inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"accumulate": 2, "precision": "fp16", "optimizer.name": "sgd", "lr": 0.01}
    chosen = settings("base_small", steps=6, **changes)
    assert train_run(chosen, inputs, tmp_path / "unbroken")
    monkeypatch.setattr(training, "train", signalled(3))
    assert not train_run(chosen, inputs, tmp_path / "broken")
    monkeypatch.setattr(training, "train", train)
    assert train_run(chosen, inputs, tmp_path / "broken", resume=True)
    assert_same_run(tmp_path / "unbroken", tmp_path / "broken")


class Jittered(ERM):
    """As strangers' code may: it draws from every global generator, and has its parent's constructor."""

    def training_step(self, batch: Batch) -> Iterator[dict[str, torch.Tensor]]:
        scale = 1 + 0.1 * (random.gauss(0, 1) + np.random.randn() + float(torch.randn(())))  # noqa: NPY002
        for terms in super().training_step(batch):
            yield {name: term * scale for name, term in terms.items()}


def jittered(inputs: Inputs, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a run that is finished in `folder/unbroken` and was stopped after three steps in `folder/broken`."""
    chosen = settings(f"{__name__}:Jittered", steps=6, **{"backbone.norm": "group"})
    assert train_run(chosen, inputs, folder / "unbroken")
    monkeypatch.setattr(training, "train", signalled(3))
    assert not train_run(chosen, inputs, folder / "broken")
    monkeypatch.setattr(training, "train", train)
    return chosen


def test_what_draws_from_any_generator_resumes_too(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = jittered(inputs, tmp_path, monkeypatch)
    assert train_run(chosen, inputs, tmp_path / "broken", resume=True)
    assert_same_run(tmp_path / "unbroken", tmp_path / "broken")


def test_a_checkpoint_with_torch_s_generators_alone_goes_on(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they were written at first."""
    chosen = jittered(inputs, tmp_path, monkeypatch)
    file = tmp_path / "broken" / "checkpoint.pt"
    state = load_checkpoint(file)
    for name in ("numpy", "python"):
        del state["ranks"][0]["generators"][name]
    torch.save(state, file)
    assert train_run(chosen, inputs, tmp_path / "broken", resume=True)
    assert load_checkpoint(file)["step"] == 6


def told_where_auto_is(
    here: str, chosen: Settings, inputs: Inputs, run: Path, monkeypatch: pytest.MonkeyPatch, *, resume: bool
) -> list[str]:
    """What is said of three more steps where `precision=auto` is one of two."""
    told: list[str] = []
    monkeypatch.setattr("longcut.recipes.preparing.find_precision", lambda wish, device: here)
    if not resume:
        monkeypatch.setattr(training, "train", signalled(3))
    assert train_run(chosen, inputs, run, resume=resume, say=told.append) == resume
    monkeypatch.setattr(training, "train", train)
    return told


@pytest.mark.parametrize(("began", "here"), [("fp32", "fp16"), ("fp16", "bf16"), ("bf16", "fp32")])
def test_a_run_goes_on_in_the_precision_in_which_it_began(
    began: str, here: str, inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings("base_small", steps=6, precision="auto")
    monkeypatch.setattr("longcut.recipes.preparing.find_precision", lambda wish, device: began)
    assert train_run(chosen, inputs, tmp_path / "unbroken")
    told_where_auto_is(began, chosen, inputs, tmp_path / "broken", monkeypatch, resume=False)
    told = told_where_auto_is(here, chosen, inputs, tmp_path / "broken", monkeypatch, resume=True)
    assert told[0] == f"precision=auto is {here} here; the run goes on in {began}, in which it began"
    assert f"on cpu, {began}; going on from step 3" in told[-1]
    assert_same_run(tmp_path / "unbroken", tmp_path / "broken")


@pytest.mark.parametrize(("here", "taken"), [("fp16", "bf16"), ("fp32", "fp32")])
def test_a_checkpoint_that_does_not_say_its_precision_goes_on(
    here: str, taken: str, inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they were written at first, when auto was bf16 where it is fp16 now."""
    chosen = settings("base_small", steps=6, precision="auto")
    told_where_auto_is("bf16", chosen, inputs, tmp_path, monkeypatch, resume=False)
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    del state["about"]["precision"]
    torch.save(state, tmp_path / "checkpoint.pt")
    told = told_where_auto_is(here, chosen, inputs, tmp_path, monkeypatch, resume=True)
    assert f"on cpu, {taken}; going on from step 3" in told[-1]


def test_fp16_needs_the_scaler_of_a_checkpoint(tmp_path: Path) -> None:
    resumed = method()
    optimizer = torch.optim.SGD(resumed.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    save_checkpoint(tmp_path / "c.pt", resumed, step=1, about={}, optimizer=optimizer, scheduler=scheduler)
    state, scaler = load_checkpoint(tmp_path / "c.pt"), torch.amp.GradScaler("cpu")
    with pytest.raises(ValueError, match=r"was not written in fp16 and cannot be continued in it: .* precision="):
        restore_training(resumed, state, optimizer, scheduler, scaler)


def test_the_rate_of_each_step_is_logged(inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings("base_small", steps=4, schedule="step", milestones=[0.5], warmup=0.5, validate_epochs=False)
    monkeypatch.setattr(training, "train", signalled(2))
    assert not train_run(chosen, inputs, tmp_path / "run")
    monkeypatch.setattr(training, "train", train)
    assert train_run(chosen, inputs, tmp_path / "run", resume=True)
    logged = [json.loads(line)["lr"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert logged == pytest.approx([5e-4, 1e-3, 1e-4, 1e-4])


def test_workers_change_nothing(inputs: Inputs, tmp_path: Path) -> None:
    logs = []
    for workers in (0, 2):
        train_run(settings(steps=5, workers=workers), inputs, tmp_path / str(workers))
        logs.append((tmp_path / str(workers) / "log.jsonl").read_bytes())
    assert logs[0] == logs[1]


def test_a_finished_run_is_left_as_it_is(inputs: Inputs, tmp_path: Path) -> None:
    chosen, said = settings("base_small", steps=2), []
    train_run(chosen, inputs, tmp_path / "run")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "run").rglob("*")}
    assert train_run(chosen, inputs, tmp_path / "run", resume=True, say=said.append)
    assert said == [f"{tmp_path / 'run'} is finished: 2 steps are done"]
    assert before == {file: file.stat().st_mtime_ns for file in (tmp_path / "run").rglob("*")}


@pytest.mark.parametrize("when", ["before", "while it reads its images"])
def test_a_run_that_another_process_trains_is_not_trained_twice(
    when: str, inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, run = settings("base_small", steps=6), tmp_path / "run"
    monkeypatch.setattr(training, "train", signalled(3))
    assert not train_run(chosen, inputs, run)
    monkeypatch.setattr(training, "train", train)
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    with ExitStack() as others:

        def prepare(*arguments: Any, **options: Any) -> PreparedRun:
            others.enter_context(held(run))
            return sound(*arguments, **options)

        sound = training.prepare
        if when == "before":
            others.enter_context(held(run))
        else:
            monkeypatch.setattr(training, "prepare", prepare)
        with pytest.raises(ValueError, match=f"another process trains in {run}: wait until it has finished"):
            train_run(chosen, inputs, run, resume=True)
    assert before == {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    monkeypatch.setattr(training, "prepare", sound)
    assert train_run(chosen, inputs, run, resume=True)
    with held(run):
        pass  # a run that has ended holds its folder no more


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """As another process holds the folder of its run."""
    lock = os.open(folder, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield
    finally:
        os.close(lock)


def command(inputs: Inputs, out: Path, *words: str) -> list[str]:
    changes = [f"{key}={value}" for key, value in CHANGES.items()]
    given = ["--data", str(inputs.data), "--masks", str(inputs.masks), "--out", str(out)]
    return [str(Path(sys.executable).parent / "longcut"), "train", "clad_plus_small", *given, *changes, *words]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}


def kill_when(process: subprocess.Popen[bytes], log: Path, lines: int) -> None:
    """SIGKILL the process and all that it started, once the log has so many lines."""
    patience = time.monotonic() + 100
    while not (log.exists() and log.read_bytes().count(b"\n") >= lines):
        assert process.poll() is None, "the run ended before it was killed"
        assert time.monotonic() < patience, "the run did not come so far"
        time.sleep(0.002)
    handles = [os.pidfd_open(number) for number in all_of(process.pid)]
    for handle in handles:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    for handle in handles:
        assert select.select([handle], [], [], 30)[0], "a killed process lives on"
        os.close(handle)


def all_of(process: int) -> list[int]:
    """A process and those that it started, and so on: torchrun gives each of its own a session."""
    children = [int(n) for file in Path(f"/proc/{process}/task").glob("*/children") for n in file.read_text().split()]
    return [process, *(number for child in children for number in all_of(child))]


def test_a_killed_run_goes_on_as_if_it_had_not_been(inputs: Inputs, tmp_path: Path) -> None:
    """SIGKILL at a random moment; the run's log and checkpoints then equal the unbroken run's."""
    steps = 60
    killed = command(inputs, tmp_path / "broken", f"steps={steps}")
    with subprocess.Popen(killed, env=environment(), start_new_session=True, stderr=subprocess.DEVNULL) as process:
        kill_when(process, tmp_path / "broken" / "log.jsonl", random.randint(2, 50))
    written = (tmp_path / "broken" / "log.jsonl").read_bytes()
    chosen = settings(steps=steps)
    assert train_run(chosen, inputs, tmp_path / "broken", resume=True)
    assert train_run(chosen, inputs, tmp_path / "unbroken")
    assert_same_run(tmp_path / "unbroken", tmp_path / "broken")
    whole = written[: written.rindex(b"\n")]
    assert (tmp_path / "unbroken" / "log.jsonl").read_bytes().startswith(whole), "other numbers before it was killed"


@pytest.mark.slow
def test_a_killed_run_of_two_processes_goes_on_as_if_it_had_not_been(inputs: Inputs, tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--no-python"]
    words = ["steps=40", "norm=group"]
    unbroken = [*torchrun, *command(inputs, tmp_path / "unbroken", *words)]
    broken = [*torchrun, *command(inputs, tmp_path / "broken", *words)]
    subprocess.run(unbroken, env=environment(), check=True, capture_output=True)
    first, second = (own["generators"] for own in load_checkpoint(tmp_path / "unbroken" / "checkpoint.pt")["ranks"])
    assert not torch.equal(first["cpu"], second["cpu"])
    assert not torch.equal(first["numpy"][0], second["numpy"][0])
    assert first["python"] != second["python"]
    with subprocess.Popen(broken, env=environment(), start_new_session=True, stderr=subprocess.DEVNULL) as process:
        kill_when(process, tmp_path / "broken" / "log.jsonl", random.randint(8, 35))
    with pytest.raises(ValueError, match="was written by 2 processes and cannot be continued by 1"):
        train_run(settings(steps=40, norm="group"), inputs, tmp_path / "broken", resume=True)
    subprocess.run([*broken, "--resume"], env=environment(), check=True, capture_output=True)
    assert_same_run(tmp_path / "unbroken", tmp_path / "broken")


# What is there is whole, whatever happens while it is written.


def method() -> Method:
    torch.manual_seed(0)
    return ERM(SmallConvNet(), num_classes=3)


@pytest.mark.parametrize("target", ["torch.save", "os.fsync"])
def test_a_full_disk_leaves_the_former_checkpoint_whole(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, method(), step=1, about={})
    former = path.read_bytes()

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(target, full)
    with pytest.raises(OSError, match=r"cannot write .*checkpoint\.pt \(.*No space left.*\); the .* before is whole"):
        save_checkpoint(path, method(), step=2, about={})
    assert path.read_bytes() == former
    assert load_checkpoint(path)["step"] == 1
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["checkpoint.pt"]


def test_a_file_that_cannot_grow_leaves_the_former_checkpoint_whole(tmp_path: Path) -> None:
    """The system itself refuses to write on, in the middle of the file."""
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, method(), step=1, about={})
    former = path.read_bytes()
    with full_disk(len(former) // 2), pytest.raises(OSError, match="the checkpoint that was there before is whole"):
        save_checkpoint(path, method(), step=2, about={})
    assert path.read_bytes() == former
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["checkpoint.pt"]


def test_a_run_goes_on_after_its_disk_was_full(inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings("base_small", steps=16, validate_epochs=False)
    assert train_run(chosen, inputs, tmp_path / "unbroken")
    save, saved = torch.save, []

    def second_fails(state: Any, file: Any) -> None:
        saved.append(state)
        if len(saved) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(state, file)

    monkeypatch.setattr("torch.save", second_fails)
    with pytest.raises(OSError, match="No space left"):
        train_run(chosen, inputs, tmp_path / "broken")
    assert load_checkpoint(tmp_path / "broken" / "checkpoint.pt")["step"] == 7
    assert train_run(chosen, inputs, tmp_path / "broken", resume=True)
    assert (tmp_path / "unbroken" / "log.jsonl").read_bytes() == (tmp_path / "broken" / "log.jsonl").read_bytes()


def test_what_a_killed_run_logged_after_its_checkpoint_is_dropped(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    lines = [json.dumps({"step": step, "loss": 1.0}) + "\n" for step in range(1, 5)]
    log.write_text("".join(lines) + '{"step": 5, "lo')
    with RunLog(tmp_path, 3) as resumed:
        resumed.write(4, {"loss": 0.5})
    assert log.read_text() == "".join(lines[:3]) + '{"step": 4, "loss": 0.5}\n'


def test_a_log_is_not_lost_where_it_cannot_be_shortened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 1, "loss": 1.0}\n{"step": 2, "loss": 1.0}\n')
    former = log.read_bytes()
    with full_disk(10), pytest.raises(OSError, match="too large"):
        RunLog(tmp_path, 1)
    assert log.read_bytes() == former


def test_a_killed_start_can_be_resumed(inputs: Inputs, tmp_path: Path) -> None:
    """Killed while the settings were written, and before the first checkpoint."""
    chosen = settings("base_small", steps=2)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "settings.part").write_text("preset = ")
    assert train_run(chosen, inputs, tmp_path / "run", resume=True)
    (tmp_path / "run" / "checkpoint.pt").unlink()
    first = (tmp_path / "run" / "log.jsonl").read_bytes()
    assert train_run(chosen, inputs, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "log.jsonl").read_bytes() == first
