"""What the Background Challenge measures beyond accuracy: pairs of variants, and adversarial backgrounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from longcut.data.resizing import centre_crop
from longcut.data.store import Store
from longcut.engine.launch import find_device
from longcut.evaluation.adversarial import survives_backgrounds
from longcut.evaluation.background_challenge import PAIRS, paired, variants_in
from longcut.evaluation.metrics import Measure, background_gap, decision_consistency, feature_consistency, measure
from longcut.evaluation.predictions import Predictions
from longcut.evaluation.results import Subject, row
from longcut.recipes.models import Model

ADVERSARIAL = ("original", "only_bg_t")
"""Variants that give adversarial backgrounds their foregrounds and their backgrounds."""


def pair_rows(subject: Subject, data: Path, collected: Mapping[str, tuple[Predictions, str]]) -> list[dict[str, Any]]:
    """Measures on images that share a foreground; `collected` has each variant's predictions and data hash."""
    rows = []
    for first, second in PAIRS:
        if first not in collected or second not in collected:
            continue
        (a, digest_a), (b, digest_b) = collected[first], collected[second]
        i, j = paired(a, b)
        if not len(i):
            continue
        about = {"data": str(data), "data_hash": f"{digest_a}+{digest_b}"}

        def add(metric: str, dataset: str, measured: Measure, about: dict[str, str] = about) -> None:
            rows.append(row(subject, metric, dataset, measured, **about))

        add("feature_consistency", f"{first}~{second}", feature_consistency(a.features[i], b.features[j]))
        add("decision_consistency", f"{first}~{second}", decision_consistency(a.predicted[i], b.predicted[j]))
        if (first, second) == ("mixed_same", "mixed_rand"):
            add("bg_gap", f"{first}-{second}", background_gap(a.correct[i], b.correct[j]))
    return rows


def check_adversarial(data: Path) -> None:
    """Refuse data in which no adversarial background can be found.

    Raises:
        ValueError: a variant or the masks are missing.
    """
    missing = [name for name in ADVERSARIAL if name not in variants_in(data)]
    if missing or not (data / "fg_mask").is_dir():
        raise ValueError(f"{data} lacks {', '.join(missing) or 'fg_mask'}: adversarial backgrounds need it")


def adversarial_row(model: Model, network: Any, data: Path, stores: Mapping[str, Store]) -> dict[str, Any]:
    """The share of foregrounds that no background flips; `stores` has the variants of `ADVERSARIAL`."""
    original, backgrounds = (stores[name] for name in ADVERSARIAL)
    masks = np.stack([centre_crop(_official_mask(data, path), model.image_size) for path in original.images.paths])
    device = find_device()
    survived = survives_backgrounds(
        network,
        torch.from_numpy(_pixels(original, model.image_size)).to(device),
        torch.from_numpy(masks).to(device),
        torch.from_numpy(original.images.targets).to(device),
        torch.from_numpy(_pixels(backgrounds, model.image_size)).to(device),
        normalisation=model.normalisation,
    )
    digest = f"{original.digest}+{backgrounds.digest}"
    return row(model.subject, "challenge_accuracy", "only_bg_t", measure(survived), data=str(data), data_hash=digest)


def _pixels(store: Store, size: int) -> NDArray[np.uint8]:
    return np.stack([centre_crop(store[i].image, size) for i in range(len(store))])


def _official_mask(data: Path, path: str) -> NDArray[np.uint8]:
    """The 0/1 mask of an image of the challenge, as 0 to 255."""
    file = (data / "fg_mask" / path).with_suffix(".npy")
    try:
        return (np.load(file) > 0).astype(np.uint8) * 255
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read the mask {file}: {error}") from None
