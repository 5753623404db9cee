"""The main job on embedded data: find the background shortcut, train without it, show the difference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from longcut.data.builders.challenge_builder import build_backgrounds
from longcut.data.builders.digits import build_digits
from longcut.data.image_set import read_images
from longcut.recipes.inputs import Inputs
from longcut.recipes.measures import Sources
from longcut.recipes.sweep import Grid, sweep

PRESETS = ("erm_demo", "clad_demo", "clad_plus_demo")


def run_demo(out: Path, *, seed: int = 0, say: Callable[[str], None] = print) -> list[Path] | None:
    """Build digits on photographs and their Background Challenge; train ERM, CLAD and CLAD+; measure them.

    Args:
        out: folder to write; run again, it goes on where it stopped.
        seed: of the data and of the runs.
        say: is told what is going on.

    Returns:
        The runs' folders; None where it was asked to stop.
    """
    images, masks, challenge = out / "images", out / "masks", out / "challenge"
    if not (out / "challenge" / "manifest.csv").exists():
        say(f"pasting handwritten digits on photographs into {images}")
        build_digits(out, seed=seed)
        build_backgrounds(read_images(images, "test", masks=masks), challenge, seed=seed)
    grid = Grid(presets=PRESETS, seeds=(seed,))
    inputs = Inputs(images, masks, cache=out / "cache")
    return sweep(grid, inputs, out / "runs", sources=Sources(images, challenge), say=say)
