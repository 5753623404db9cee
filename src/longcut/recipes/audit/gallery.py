"""Pictures of an audit: images whose prediction a change turned, beside what turned it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longcut.data.decoding import write_image
from longcut.evaluation.audit.effects import Scores
from longcut.evaluation.audit.result import Effect, Flip
from longcut.recipes.audit.folder import PICTURES
from longcut.recipes.audit.scores import Indices

_QUALITY, _HEAT = 85, 0.5


@dataclass(frozen=True)
class Unchanged:
    """Picture files of an unchanged image: as it is, and under its Grad-CAM, where there is one."""

    plain: str
    overlay: str | None


@dataclass(frozen=True)
class Gallery:
    """Draws flips into an audit's folder.

    Attributes:
        folder: of the audit.
        classes: names of the model's columns.
        paths: `[s]` of the images.
        targets: `[s]` classes; None without labels.
        original: scores of the unchanged images.
        per_effect: how many of an effect are drawn at most.
    """

    folder: Path
    classes: Sequence[str]
    paths: Sequence[str]
    targets: NDArray[np.int64] | None
    original: Scores
    per_effect: int

    def chosen(self, changed: Scores, usable: NDArray[np.bool_]) -> Indices:
        """The images that a change turned away from what was right, or was said; the surest turns first."""
        right = self.original.predicted == (self.original.predicted if self.targets is None else self.targets)
        turned = np.flatnonzero(right & (changed.predicted != self.original.predicted) & usable)
        order = np.argsort(-changed.confidence[turned], kind="stable")
        return turned[order[: self.per_effect]]

    def draw(
        self,
        effect: Effect,
        variant: str,
        changed: Scores,
        indices: Indices,
        pictures: Tensor,
        originals: Mapping[int, Unchanged],
    ) -> list[Flip]:
        """Write the variant of each image, and say what it did.

        Args:
            effect: that it belongs to.
            variant: its name.
            changed: its scores, of all images.
            indices: `[b]` positions of the images.
            pictures: `[b, 3, h, w]` of the variant, 0 to 1.
            originals: of each of them, as `draw_originals` wrote it.
        """
        flips = []
        for index, picture in zip(indices.tolist(), pictures, strict=True):
            file = f"{PICTURES}/{index:06d}_{variant}.jpg"
            _write(self.folder / file, picture)
            before, after = self.original, changed
            flips.append(
                Flip(
                    suite=effect.suite,
                    effect=effect.name,
                    path=self.paths[index],
                    target=None if self.targets is None else self.classes[self.targets[index]],
                    prediction=self.classes[before.predicted[index]],
                    confidence=float(before.confidence[index]),
                    changed_prediction=self.classes[after.predicted[index]],
                    changed_confidence=float(after.confidence[index]),
                    original=originals[index].plain,
                    variant=file,
                    overlay=originals[index].overlay,
                )
            )
        return flips

    def draw_originals(self, indices: Indices, pictures: Tensor, maps: Tensor | None) -> dict[int, Unchanged]:
        """Write the unchanged images, and each under its Grad-CAM `maps [b, y, x]`; their files by position."""
        files = {}
        for place, (index, picture) in enumerate(zip(indices.tolist(), pictures, strict=True)):
            plain, overlay = f"{PICTURES}/{index:06d}.jpg", None
            _write(self.folder / plain, picture)
            if maps is not None:
                overlay = f"{PICTURES}/{index:06d}_attention.jpg"
                _write_overlay(self.folder / overlay, picture, maps[place])
            files[index] = Unchanged(plain, overlay)
        return files


def _write(path: Path, picture: Tensor) -> None:
    write_image(path, _pixels(picture), quality=_QUALITY)


def _write_overlay(path: Path, picture: Tensor, heat: Tensor) -> None:
    pixels = _pixels(picture)
    height, width = pixels.shape[:2]
    scaled = cv2.resize(heat.float().cpu().numpy(), (width, height), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((255 * scaled).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    blended = (1 - _HEAT) * cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) + _HEAT * colours
    write_image(path, blended.astype(np.uint8), quality=_QUALITY)


def _pixels(picture: Tensor) -> NDArray[np.uint8]:
    scaled = (picture * 255).round().to(torch.uint8).permute(1, 2, 0)
    return np.ascontiguousarray(scaled.cpu().numpy())
