"""An audit's images stream: what is held at a time does not grow with their number."""

from __future__ import annotations

import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
from planted import planted_set
from planted_audits import SmallNet
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from longcut.data.image_set import read_images
from longcut.data.loader import Normalisation
from longcut.evaluation.results import Subject
from longcut.recipes.audit.run import AuditOptions, run_audit
from longcut.recipes.models import Model

BATCH, SIDE = 8, 32
IMAGE = 3 * SIDE * SIDE * 4  # bytes
PAGES = 2**12
TWICE = f"""
import resource

import torch
from longcut.recipes.models import open_model

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros({PAGES}, 4096, dtype=torch.uint8).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

open_model("timm:resnet18", weights="none")
faults()
print(faults())
"""


class Live(TorchDispatchMode):
    """Counts the bytes of the tensors that are there at a time, each result of an operation as one."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.peak = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = function(*args, **(kwargs or {}))
        for result in tree_leaves(results):
            if isinstance(result, Tensor):
                self.bytes += result.nbytes
                weakref.finalize(result, self._drop, result.nbytes)
        self.peak = max(self.peak, self.bytes)
        return results

    def _drop(self, size: int) -> None:
        self.bytes -= size


def peak(folder: Path, num_images: int) -> int:
    """Of all that an audit of so many images computes."""
    made = planted_set(folder / f"set_{num_images}", "file", seed=0, num_images=num_images)
    about: dict[str, Any] = {"run": "r", "method": "m", "preset": "p", "seed": 0, "step": None, "selection": "last"}
    subject = Subject(**about, starting_weights="", weights_hash="")
    plain = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    model = Model(SmallNet().eval(), ("first", "second"), SIDE, plain, subject, num_classes=2)
    options = AuditOptions(masks=made / "masks", cache=folder / "cache", batch=BATCH, gallery=0)
    with Live() as live:
        result = run_audit(model, read_images(made / "images"), folder / f"audit_{num_images}", options)
    assert {"bg_gap", "file_gap", "attention_excess"} <= {effect.name for effect in result.effects}
    return live.peak


@pytest.mark.usefixtures("one_process")
def test_what_is_held_does_not_grow_with_the_images(tmp_path: Path) -> None:
    few, many = (peak(tmp_path, batches * BATCH) for batches in (2, 8))
    assert few > 3 * BATCH * IMAGE, "a batch and its donors' were not seen"
    assert many < few + BATCH * IMAGE, "of each further batch not one variant may be kept"


@pytest.mark.skipif(sys.platform != "linux", reason="pages are given back and taken again by glibc")
def test_memory_that_is_freed_is_kept_for_the_next_batch() -> None:
    """Else the pages of every batch are faulted in anew, which costs a fifth of an audit's time."""
    found = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, check=True)
    assert int(found.stdout) < PAGES / 10
