"""Run folders made for tests: figures that can be worked out by hand, pictures of noise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

VARIANTS = ("original", "only_fg", "mixed_same", "mixed_rand", "only_bg_t")


def make_row(metric: str, dataset: str, value: float, **changes: Any) -> dict[str, Any]:
    row = {
        "metric": metric,
        "dataset": dataset,
        "class": None,
        "value": value,
        "low": value - 0.02,
        "high": value + 0.02,
        "n": 100,
        "sum": value * 100,
        "data": "challenge",
        "data_hash": f"sha256:{dataset}",
        "weights_hash": "sha256:weights",
        "run": "runs/made",
        "method": "erm",
        "preset": "erm",
        "seed": 0,
        "step": 10,
        "selection": "last",
        "starting_weights": "from scratch",
        "commit": None,
        "version": "0.1.0",
    }
    return row | changes


def make_run(folder: Path, accuracies: Sequence[float], *, classes: Sequence[str] = (), **changes: Any) -> Path:
    """A run with an accuracy for each of `VARIANTS`, their BG-Gap, and accuracies of classes on the mixed variants."""
    folder.mkdir(parents=True)
    values = dict(zip(VARIANTS, accuracies, strict=True))
    rows = [make_row("accuracy", name, value, **changes) for name, value in values.items()]
    gap = values["mixed_same"] - values["mixed_rand"]
    rows.append(make_row("bg_gap", "mixed_same-mixed_rand", gap, **changes))
    rows += [
        make_row("accuracy", name, values[name], **changes | {"class": class_name})
        for name in ("mixed_same", "mixed_rand")
        for class_name in classes
    ]
    write_rows(folder, rows)
    method, seed = rows[0]["method"], rows[0]["seed"]
    (folder / "settings.toml").write_text(
        f'[run]\nmethod = "{method}"\nseed = {seed}\n[method.{method}]\nweight = 1.0\n'
    )
    steps = [{"step": step, "loss": 2.0 / step, "lr": 0.001} for step in range(1, 11)]
    (folder / "log.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    return folder


def write_rows(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_image(path: Path, seed: int, size: int = 24) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def write_predictions(
    folder: Path,
    variant: str,
    root: Path,
    paths: Sequence[str],
    targets: Sequence[int],
    guesses: Sequence[int],
    classes: Sequence[str],
) -> None:
    """Predictions whose softmax gives the guessed class all the more the later the image comes."""
    logits = np.zeros((len(paths), len(classes)), np.float32)
    logits[np.arange(len(paths)), guesses] = 1 + np.arange(len(paths))
    (folder / "predictions").mkdir(exist_ok=True)
    np.savez(
        folder / "predictions" / f"{variant}.npz",
        logits=logits,
        features=np.zeros((len(paths), 4), np.float16),
        targets=np.array(targets),
        indices=np.arange(len(paths)),
        paths=np.array(paths),
        root=str(root),
        classes=np.array(classes),
    )


def make_challenge(root: Path, folder: Path, classes: Sequence[str], *, images: int = 4) -> None:
    """Images named as the Background Challenge names them; the run is right on all of them but those of Mixed-Rand."""
    targets = [c for c in range(len(classes)) for _ in range(images)]
    stems = [f"{c}_{i}" for c in range(len(classes)) for i in range(images)]
    wrong = [(target + 1) % len(classes) for target in targets]
    for variant, guesses in (("original", targets), ("mixed_same", targets), ("mixed_rand", wrong)):
        names = [
            f"{stem}.png" if variant == "original" else f"fg_{stem}_bg_{stems[-1 - i]}.png"
            for i, stem in enumerate(stems)
        ]
        paths = [f"{variant}/val/class_{t}/{name}" for t, name in zip(targets, names, strict=True)]
        for i, path in enumerate(paths):
            write_image(root / path, seed=i)
        write_predictions(folder, variant, root, paths, targets, guesses, classes)
