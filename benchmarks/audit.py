"""A whole audit against as many bare forward passes as it has variants."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.photographs import photographs
from benchmarks.timing import Row, one_thread
from longcut.data.decoding import read_image, write_image
from longcut.data.image_set import ImageSet, read_images
from longcut.engine.launch import find_device
from longcut.evaluation.audit.kept_scores import KeptScores
from longcut.recipes.audit.run import AuditOptions, run_audit
from longcut.recipes.models import open_model

COUNT, BATCH, SIDE, REPEATS = 96, 32, 224, 2
_FILES, _QUALITIES = 300, (70, 90)
_WHAT = f"audit of {COUNT} images, ResNet-18, {SIDE} px, B={BATCH}, against its bare passes"


class _Beside(nn.Module):
    """A classifier that after each of its passes runs a bare one, of ready images, and says how long these took.

    The two share whatever else the machine does, batch by batch.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network, self.bare = network, copy.deepcopy(network.model)
        self.ready = torch.randn(BATCH, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
        self.seconds, self.images = 0.0, 0

    def encode(self, images: Tensor) -> Tensor:
        features: Tensor = self.network.encode(images)
        with torch.inference_mode():
            start = time.process_time()
            self.bare(self.ready[: len(images)])
            self.seconds += time.process_time() - start
        self.images += len(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        logits: Tensor = self.network.classify(features)
        return logits


def rows() -> Iterator[Row]:
    """From files with masks to `audit.json`: decoding, donors, variants, Grad-CAM and intervals count, pictures do not.

    Nothing is named with `least=1`, so that the passes are those of the variants and of the unchanged images.
    """
    if find_device().type != "cpu":
        yield Row(_WHAT, skipped="the figure is a CPU's, and there is a GPU")
        return
    with one_thread(), TemporaryDirectory() as folder:
        images = _masked(Path(folder) / "set")
        times = [_seconds(images, Path(folder) / str(repeat)) for repeat in range(REPEATS)]
    ours, other = zip(*times, strict=True)
    yield Row(_WHAT, ours, other, 1.15, "times as long")


def _seconds(images: ImageSet, out: Path) -> tuple[float, float]:
    """Of an audit, and of as many bare passes as it keeps scores."""
    model, _ = open_model("timm:resnet18", weights="none", image_size=SIDE)
    beside = _Beside(model.network)
    options = AuditOptions(masks=images.root.parent / "masks", cache=out / "cache", batch=BATCH, least=1.0, gallery=0)
    start = time.process_time()
    run_audit(replace(model, network=beside), images, out, options)
    ours = time.process_time() - start - beside.seconds
    return ours, beside.seconds / beside.images * len(KeptScores.load(out).variants) * COUNT


def _masked(folder: Path) -> ImageSet:
    """JPEG files of two qualities, in four classes, with a foreground each."""
    with photographs(COUNT, height=_FILES) as given:
        for number, path in enumerate(given.paths):
            name, image = f"{number % 4}/{number:04d}", read_image(given.root / path)
            write_image(folder / "images" / f"{name}.jpg", image, quality=_QUALITIES[number // 4 % 2])
            height, width = image.shape[:2]
            mask = cv2.ellipse(
                np.zeros((height, width), np.uint8), (width // 2, height // 2), (60, 80), 0, 0, 360, 255, -1
            )
            write_image(folder / "masks" / f"{name}.png", np.asarray(mask, np.uint8))
    return read_images(folder / "images")
