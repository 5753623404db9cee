"""The tutorials do what they say: their commands and their code run in order, in one folder, on small made images.

Of a page's blocks `bash` holds commands and `python` code; both are run. A first line `# name.py` means that the code
is kept in that file too. A block `sh` asks for what is not at hand here (published weights, a second data set, an
hour): `test_docs.py` reads it and does not run it. To be quick, a command gets the words in `SHORTER` at its end.
"""

from __future__ import annotations

import itertools
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import SMALL, Longcut
from made_images import write_images, write_masks

ROOT = Path(__file__).parents[2]
GUIDE = "docs/guide"
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHORTER = {
    "audit timm": "--image-size 32",
    "train": " ".join(SMALL),
    "train lff": "validate_every=2",
    "train moco": "hidden=16 dim=8 capacity=10",
    "sweep": f"{' '.join(SMALL)} --limit-per-class 3",
    "evaluate runs/patch": "--severities 1,5 --only fog",
    "data biased": "--valid 100",
    "data textures": "--mode quilting",
}


def train_and_validate(folder: Path) -> None:
    write_images(folder / "photos/train", size=64)
    write_images(folder / "photos/val", size=64, count=4, seed=1)


def photographs(folder: Path) -> None:
    write_images(folder / "photos/test", size=64, count=4)


def with_digits(folder: Path) -> None:
    train_and_validate(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (1100, 28, 28), np.uint8)
    labels = np.arange(len(pixels), dtype=np.uint8) % 10
    arrays = {"train_images": pixels, "train_labels": labels, "test_images": pixels[:50], "test_labels": labels[:50]}
    np.savez(folder / "mnist.npz", **arrays)


def with_masks(folder: Path) -> None:
    write_images(folder / "photos")
    write_masks(folder / "masks")


def nothing(folder: Path) -> None:
    pass


TUTORIALS: dict[str, Callable[[Path], None]] = {
    "README.md": train_and_validate,
    f"{GUIDE}/audit_photographs.md": photographs,
    f"{GUIDE}/background_shortcut.md": train_and_validate,
    f"{GUIDE}/pretraining.md": train_and_validate,
    f"{GUIDE}/debiasing.md": with_digits,
    f"{GUIDE}/own_loop.md": nothing,
    f"{GUIDE}/own_method.md": with_masks,
}
"""What each finds in its folder."""


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("page", TUTORIALS)
def test_tutorial(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, longcut: Longcut) -> None:
    TUTORIALS[page](tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(sys, "path", [*sys.path])
    names: dict[str, Any] = {"__name__": "page"}
    text = (ROOT / page).read_text("utf-8")
    with torch.random.fork_rng():
        for block in BLOCK.finditer(text):
            line = text[: block.start(2)].count("\n")
            if block[1] == "python":
                run_code(block[2], page, line, names)
            else:
                for command in block[2].replace("\\\n", " ").splitlines():
                    run_command(command, longcut)


def run_code(code: str, page: str, line: int, names: dict[str, Any]) -> None:
    """Run a block, its lines numbered as in the page."""
    file = re.match(r"# (\w+\.py)\n", code)
    if file:
        Path(file[1]).write_text(code, "utf-8")
    exec(compile("\n" * line + code, page, "exec", dont_inherit=True), names)


def run_command(command: str, longcut: Longcut) -> None:
    """Run a command of longcut, a little shortened; what it was to write is there."""
    program, *words = shlex.split(command)
    assert program == "longcut", f"{command}: a tutorial's commands are longcut's"
    short = [word for start, more in SHORTER.items() if " ".join(words).startswith(start) for word in more.split()]
    replaced = {"epochs", *(word.partition("=")[0] for word in short if "=" in word)}
    told = longcut(*(word for word in words if word.partition("=")[0] not in replaced), *short)
    assert told.code == 0 or (told.code == 1 and "--fail-on" in words), f"{command}\n{told.out}\n{told.err}"
    for option, value in itertools.pairwise(words):
        assert option != "--out" or Path(value).exists(), f"{command} left no {value}"
