"""The first twenty losses of a method of each kind at a fixed seed, as they were when they were stored.

What these guard is that nobody changes the numbers of a run without meaning to: the order of images, the augmentation,
the starting weights, the losses. Where a change means to, renew the values:

    python tests/golden/test_losses.py

writes `losses.json` beside this file; say in the commit why they changed. The tolerance allows for other versions of
torch and other processors: in float32, without BatchNorm, and with SGD, as Adam makes much of the smallest gradients
(with it, the last bits of the first loss were a thousandth of the twentieth).
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from made_biased import write_biased
from made_images import write_images, write_masks

from longcut.engine.settings import resolve
from longcut.recipes.inputs import Inputs
from longcut.recipes.training import train_run

STORED = Path(__file__).with_name("losses.json")
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "erm": ("erm", {}),
    "erm_on_mixed_rand": ("erm", {"images": "mixed_rand"}),
    "clad": ("clad", {}),
    "clad_plus": ("clad", {"supervise_positives": True}),
    "moco": ("moco", {"non_semantic": "patch", "capacity": 12}),
    "lff": ("lff", {"lr": 0.05}),
    "intrinsic": (
        "intrinsic",
        {
            "batch_size": 12,
            "image_size": 16,
            "lr": 0.03,
            "reference_step": 5,
            "guidance_step": 10,
            "validate_epochs": False,
            "ensemble.models": 3,
            "ensemble.agreement": 2,
            "ensemble.model_steps": 30,
            "ensemble.confidence": 0.4,
        },
    ),
}
"""Method and settings: of no preset, so that a preset can be tuned. Of the methods, one of each kind: with composites,
with views and a queue, with a state of each sample, with biased models that tell sets apart."""


def losses(name: str, folder: Path) -> list[float]:
    """`loss` of 20 steps on made images."""
    if not (folder / "data").exists():
        write_images(folder / "data")
        write_masks(folder / "masks")
        write_biased(folder / "biased")
    changes = {
        "steps": 20,
        "batch_size": 6,
        "image_size": 32,
        "precision": "fp32",
        "optimizer.name": "sgd",
        "lr": 0.01,
        "backbone.name": "convnet5",
        "norm": "none",
        "cache": "memory",
        "log_every": 1,
    }
    method, own = RUNS[name]
    inputs = Inputs(folder / "biased") if method == "intrinsic" else Inputs(folder / "data", folder / "masks")
    train_run(resolve(method, changes | own), inputs, folder / name)
    lines = (folder / name / "log.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("name", RUNS)
def test_losses_are_those_that_were_stored(name: str, tmp_path: Path) -> None:
    stored = json.loads(STORED.read_text())[name]
    assert len(stored) == 20
    assert losses(name, tmp_path) == pytest.approx(stored, rel=1e-3)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        found = {name: [round(loss, 6) for loss in losses(name, Path(made))] for name in RUNS}
    STORED.write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in found.items()) + "\n}\n")
