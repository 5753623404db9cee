"""Wrong commands, full disks, interrupts and sets that are none: one line that says what to do, nothing half done."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import SMALL, Longcut, Refused
from made_biased import write_biased
from made_images import write_images
from torch.utils.data import Dataset

from longcut.backbones import SmallConvNet
from longcut.data.check_text import problems_of
from longcut.data.checking import check_set
from longcut.data.image_set import read_images
from longcut.data.layouts import LayoutOptions
from longcut.data.loader import BatchLoader, Normalisation
from longcut.data.tables import LabelError
from longcut.engine.checkpoint import save_checkpoint
from longcut.methods import ERM

pytestmark = pytest.mark.usefixtures("one_process")

# Wrong words.


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "erm", "--seed", "abc"], "--seed abc: "),
        (["train", "erm", "--seed=abc"], "--seed=abc: "),
        (["train", "erm", "--data", "d"], "missing option '--out'; see 'longcut train -h'"),
        (["train", "erm", "--sede", "1"], "no such option: --sede"),
        (["trian"], "no such command 'trian'"),
        (["--xyz"], "no such option: --xyz; see 'longcut -h'"),
        (["compare"], "missing argument 'RUN...'; see 'longcut compare -h'"),
        (["dfr", "run", "--repeats", "0"], "--repeats 0: "),
        (["data", "biased", "cmnist", "--ratio", "x"], "--ratio x: "),
        (["data", "biased", "cmnist", "--construction", "x"], "--construction x: 'x' is not one of"),
        (["data", "biased", "severity", "d", "--seed", "-1"], "--seed -1: "),
        (["data", "biased", "corrupted", "d", "--workers", "0"], "--workers 0: "),
        (["data", "check", "d", "--workers", "0"], "see 'longcut data check -h'"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_a_wrong_command_is_told_in_one_line(words: list[str], expected: str, refused: Refused) -> None:
    line = refused(*words)
    assert expected in line
    assert line.endswith(" -h'")


@pytest.mark.parametrize("limit", [0, -1])
@pytest.mark.parametrize("words", [["segment"], ["backgrounds", "--masks", "m"]], ids=lambda words: words[0])
def test_a_limit_of_no_image_is_refused(words: list[str], limit: int, refused: Refused) -> None:
    line = refused("data", *words, "d", "--out", "o", "--limit-per-class", limit)
    assert line == f"longcut: limit per class is {limit}: at least 1 image is needed"


def test_help_is_still_help(longcut: Longcut) -> None:
    assert "Build sets with a known shortcut." in longcut("data", "biased").out
    told = longcut("train", "-h")
    assert (told.code, told.err) == (0, "")
    assert longcut("--version").code == 0


# Disks.


def test_a_folder_that_the_system_refuses(tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_biased(tmp_path / "set")
    words = ["data", "biased", "severity", data, "--conflict-ratio", "0.1", "--out", tmp_path / "out"]
    for file in (tmp_path / "out", tmp_path / "out" / ".1-2.part"):
        refuse = OSError(errno.EROFS, "Read-only file system", str(file))
        monkeypatch.setattr("longcut.data.builders.severity.start_build", raising(refuse))
        line = refused(*words)
        assert line == (
            f"longcut: cannot open {tmp_path / 'out'}: Read-only file system; choose a folder that you may write to"
        )
    monkeypatch.setattr("longcut.data.builders.severity.start_build", raising(OSError("lost")))
    assert refused(*words) == "longcut: lost"


def raising(error: BaseException) -> object:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    return fail


def test_a_full_disk_ends_a_build_and_not_the_process(
    tmp_path: Path, longcut: Longcut, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written into a map of a file that has no room on the disk kills the process: the room comes first."""
    draw = np.random.default_rng(0)
    arrays = {f"{split}_images": draw.integers(0, 256, (60, 8, 8), np.uint8) for split in ("train", "test")}
    labels = {f"{split}_labels": np.arange(60, dtype=np.uint8) % 10 for split in ("train", "test")}
    np.savez(tmp_path / "digits.npz", **arrays, **labels)
    words = ["data", "biased", "cmnist", "--mnist", tmp_path / "digits.npz", "--ratio", "0.2", "--valid", "0"]
    words += ["--out", tmp_path / "out"]
    asked: list[int] = []

    def full(descriptor: int, offset: int, size: int) -> None:
        asked.append(size)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as short:
        short.setattr("os.posix_fallocate", full)
        assert refused(*words).startswith("longcut: the disk is full")
    assert asked[0] >= 60 * 8 * 8 * 3
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["build.json"]
    assert longcut(*words).code == 0


def test_a_checkpoint_that_could_not_be_written_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch tells of a file that is too short, and what the system said stands behind it."""

    def short(*arguments: object, **options: object) -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise RuntimeError("unexpected pos 704 vs 598")  # noqa: B904 - as torch does

    monkeypatch.setattr(torch, "save", short)
    with pytest.raises(OSError, match=r"No space left on device\); none was there before; run the same"):
        save_checkpoint(tmp_path / "checkpoint.pt", ERM(SmallConvNet(), num_classes=3), step=1, about={})


# Readers that leave.


def test_work_goes_on_when_nobody_reads_what_is_told(tmp_path: Path, data: Path) -> None:
    """As in `longcut train ... 2>&1 | head -1`."""
    words = ["train", "base_small", *SMALL, "--data", data, "--out", tmp_path / "run"]
    code = "from longcut.cli import main; main()"
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([sys.executable, "-c", code, *map(str, words)], stdout=writer, stderr=writer)
    os.close(writer)
    assert ended.returncode == 0
    assert (tmp_path / "run" / "checkpoint.pt").is_file()


# Memory.


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 30.2 GiB for an array"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("Caught _ArrayMemoryError in DataLoader worker process 0."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_lack_of_memory_is_told_with_a_way_out(
    error: Exception, tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longcut.recipes.training.train_run", raising(error))
    words = ["train", "erm", "steps=1", "--data", tmp_path / "data", "--out", tmp_path / "run"]
    assert refused(*words).startswith("longcut: out of memory: lower batch_size or image_size, or free some memory")


def test_what_is_no_lack_of_memory_keeps_its_traceback(
    tmp_path: Path, longcut: Longcut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longcut.recipes.training.train_run", raising(RuntimeError("mat1 and mat2")))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        longcut("train", "erm", "steps=1", "--data", tmp_path / "data", "--out", tmp_path / "run")


# Interrupts: a terminal's Ctrl-C goes to the workers too.


class Handlers(Dataset[dict[str, torch.Tensor]]):
    """Says of each key whether the process that reads it ignores Ctrl-C."""

    def __getitem__(self, key: int) -> dict[str, torch.Tensor]:
        ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        images = torch.zeros(1, 2, 2, 3, dtype=torch.uint8)
        return {"images": images, "targets": torch.tensor([int(ignored)]), "indices": torch.tensor([key])}


def test_workers_leave_an_interrupt_to_their_parent() -> None:
    batches = list(BatchLoader(Handlers(), [0, 1], normalisation=Normalisation(), workers=1))
    assert [int(batch.targets) for batch in batches] == [1, 1]


def test_workers_are_deaf_from_their_first_moment() -> None:
    """While a worker imports what it needs, too."""
    code = (
        "import multiprocessing, signal\n"
        "from longcut.data.pool import start_forkserver\n"
        "if __name__ == '__main__':\n"
        "    start_forkserver()\n"
        "    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "    with multiprocessing.get_context('forkserver').Pool(1) as pool:\n"
        "        print(pool.apply(signal.getsignal, (signal.SIGINT,)) == signal.SIG_IGN)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "True\n", ended.stderr


# Sets.


def test_a_table_is_told_from_what_is_none(tmp_path: Path, data: Path, refused: Refused) -> None:
    (tmp_path / "digits.npz").write_bytes(b"PK\x03\x04\xff\xfe")
    line = refused("train", "erm", "--data", tmp_path / "digits.npz", "--out", tmp_path / "run", "steps=1")
    assert "digits.npz is no CSV in UTF-8 (" in line
    assert line.endswith("): give a folder, or a table path,target")


def test_what_a_classifier_cannot_learn_from_is_found(tmp_path: Path) -> None:
    root = write_images(tmp_path / "single", classes=["cat"], count=2)
    assert problems_of(check_set(root)) == ["cat is the only class: a classifier needs at least two"]
    root = write_images(tmp_path / "twice", count=1)
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.*"))
    rows = ["path,target", f"{names[0]},cat", f"{names[0]},dog", f"{names[1]},dog"]
    (root / "images.csv").write_text("\n".join(rows))
    assert f"1 image listed more than once: {names[0]}" in problems_of(check_set(root))


def test_a_bias_beyond_the_classes_is_listed(tmp_path: Path) -> None:
    write_images(tmp_path / "made", classes=["a"], count=1)
    image = next((tmp_path / "made").rglob("*.*")).read_bytes()
    root = tmp_path / "set"
    names = ["align/0/1_0_0.png", "align/1/2_1_1.png", "conflict/0/3_0_1.png", "align/0/4_0_9.png", "test/5_1_red.png"]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(image)
    with pytest.raises(
        LabelError, match="2 names with a bias that is none of the classes 0, 1, as others are: "
    ) as told:
        read_images(root)
    assert str(told.value).endswith("align/0/4_0_9.png, test/5_1_red.png")


def test_a_photograph_that_cannot_be_corrupted_is_named_with_a_way_out(tmp_path: Path, refused: Refused) -> None:
    for split in ("train", "test"):
        write_images(tmp_path / "images" / split, count=4, size=20)
    broken = next((tmp_path / "images" / "train").rglob("*.*"))
    broken.write_bytes(b"none")
    words = ["data", "biased", "corrupted", tmp_path / "images", "--ratio", "0.3", "--out", tmp_path / "out"]
    for more in ([], ["--size", 20]):
        line = refused(*words, *more)
        assert str(broken) in line
        assert line.endswith("; repair or remove it: 'longcut data check' names all such files")


def test_a_subset_of_one_of_several_severities(tmp_path: Path, longcut: Longcut, refused: Refused) -> None:
    write_images(tmp_path / "made", classes=["a"], count=1)
    image = next((tmp_path / "made").rglob("*.*")).read_bytes()
    for share in ("1pct", "5pct"):
        for i, (part, t, b) in enumerate(
            [("align", 0, 0), ("align", 1, 1), ("conflict", 0, 1), ("conflict", 1, 0)] * 2
        ):
            file = tmp_path / "set" / share / part / str(t) / f"{i}_{t}_{b}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(image)
    for split in ("test", "valid"):
        (tmp_path / "set" / split).mkdir()
        (tmp_path / "set" / split / "0_0_0.png").write_bytes(image)
    words = ["data", "biased", "severity", tmp_path / "set", "--conflict-ratio", "0.2", "--out", tmp_path / "out"]
    assert "holds the severities 1pct, 5pct: choose one with" in refused(*words)
    told = longcut(*words, "--severity", "5")
    assert told.code == 0, told.err
    assert [line.partition(":")[0] for line in told.out.splitlines()] == ["train", "val", "test"], "in their order"
    built = read_images(tmp_path / "out", "train", options=LayoutOptions())
    assert len(built) == 5
    assert all("5pct" in path for path in built.paths)
