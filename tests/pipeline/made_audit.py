"""An audit's folder made for tests: names that mean mischief, pictures of noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from longcut.evaluation.audit.result import AuditResult, Effect, Flip, NotRun, Shortcut

HOSTILE = "<script>alert(1)</script>"
CLASSES = ("dog", HOSTILE, "a_class_with_quite_a_long_name_that_has_to_be_broken_on_a_telephone")
SUITES = ("background", "texture")


def made_effects() -> tuple[Effect, ...]:
    swap = Effect("bg_gap", "Background", "background", "swapped", "accuracy", 0.21, 0.17, 0.25, 90, 0.8, 0.59, True)
    return (
        swap,
        replace(swap, name="border", title="Border", suite="border", value=-0.004, low=-0.02, high=0.01),
        replace(swap, name="texture", title=f"Texture of {HOSTILE}", suite="texture", value=0.03, low=0.01, high=0.05),
        replace(swap, name="only_bg", title="Only the background", kind="alone", value=0.3, low=0.2, high=0.4),
        replace(
            swap, name="high_pass", title="High-pass", suite="frequency", kind="removed", value=0.5, low=0.4, high=0.6
        ),
        Effect("ece", "Calibration", "model", "measured", "error", 0.094, 0.08, 0.11, 90, note="Lower is better & <b>"),
    )


def made_audit(folder: Path, *, num_flips: int = 24, side: int = 80, **changes: Any) -> AuditResult:
    """Write `audit.json` and pictures of `side` pixels; `num_flips` flips, classes and suites in turn."""
    for name in ("original", "variant", "overlay"):
        path = folder / "pictures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(len(name)).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    effects = made_effects()
    result = AuditResult(
        title=f"resnet18 on {HOSTILE}",
        model={"name": "resnet18", "weights_hash": "3f1c9a0b"},
        data={"path": f"photos/{HOSTILE}", "images": 90, "labelled": True},
        masks={"source": "grabcut", "images": 88, "mean_area": 0.31},
        summary="The model takes one shortcut: the background.",
        warnings=("The weights are random.", "Two images <i>lack</i> masks."),
        shortcuts=(
            Shortcut("background", effects[0], True, None, "It rests on GrabCut masks."),
            Shortcut("texture", effects[2], False, "background", "With the background alike, nothing is left."),
            Shortcut("border", effects[1], False, None, "Its interval reaches below 0."),
        ),
        effects=effects,
        per_class=tuple(
            {"name": name, "n": 30 - i, "accuracy": (0.5, None, 0.25)[i], "bg_gap": 0.1 * i}
            for i, name in enumerate(CLASSES)
        ),
        groups=tuple(
            {"target": name, "bias": HOSTILE, "n": 10, "accuracy": 0.4 + 0.1 * i, "low": 0.3, "high": 0.9}
            for i, name in enumerate(CLASSES)
        ),
        flips=tuple(made_flip(i) for i in range(num_flips)),
        not_run=(NotRun("file", "every file is a JPEG of one quality"),),
        settings={"suites": ["core"], "seed": 0, "mask": {"iterations": 5}},
        versions={"longcut": "0.0", "python": "3.11"},
    )
    result = replace(result, **changes)
    result.save(folder)
    return result


def made_flip(i: int) -> Flip:
    suite, target = SUITES[i % 2], CLASSES[i % 3]
    pictures = ("pictures/original.png", "pictures/variant.png", None if i % 5 == 4 else "pictures/overlay.png")
    effect = {"background": "bg_gap", "texture": "texture"}[suite]
    return Flip(suite, effect, f"{target}/{i}.jpg", target, target, 0.91, "cat", 0.62, *pictures)
