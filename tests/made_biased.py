"""A biased set made for tests: a bar's direction is the class, the colour of its image the bias."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

COLOURS = np.array([[220, 60, 60], [60, 200, 60], [70, 70, 230]])
NAMES = ("flat", "rising", "upright")


def made_images(targets: np.ndarray, bias: np.ndarray, *, size: int, seed: int) -> np.ndarray:
    """`[s, size, size, 3]`: a bright bar through the middle, on the bias's colour with noise."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    angles = targets * np.pi / 3
    distance = np.abs(np.cos(angles)[:, None, None] * y + np.sin(angles)[:, None, None] * x)
    noise = draw.integers(-30, 30, (len(targets), size, size, 3))
    background = np.clip(COLOURS[bias][:, None, None] * 0.6 + noise, 0, 255)
    return np.where((distance < size / 10)[..., None], 255 - background * 0.2, background).astype(np.uint8)


def write_biased(
    root: Path, *, count: int = 48, conflicting: float = 0.125, size: int = 16, labelled: bool = True, seed: int = 0
) -> Path:
    """`train`, `valid` and `test` as arrays with an `images.csv`; in the test split every group is as large."""
    root.mkdir(parents=True, exist_ok=True)
    rows = []
    for place, (split, share) in enumerate({"train": conflicting, "valid": 0.25, "test": 2 / 3}.items()):
        number = count if split == "train" else 36
        targets = np.arange(number) % 3
        order = np.arange(number) // 3
        off = order < round(number // 3 * share)
        bias = np.where(off, (targets + 1 + order % 2) % 3, targets)
        np.save(root / f"{split}.npy", made_images(targets, bias, size=size, seed=100 * seed + place))
        rows += [
            {"path": f"{split}.npy#{i}", "target": NAMES[t], "split": split, **({"bias": NAMES[b]} if labelled else {})}
            for i, (t, b) in enumerate(zip(targets, bias, strict=True))
        ]
    with (root / "images.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root
