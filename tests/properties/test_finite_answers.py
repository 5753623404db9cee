"""Answers that name no class are refused, wherever a model is asked; a logit of -inf is an answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from longcut.core import Batch
from longcut.data.image_set import ImageSet
from longcut.evaluation.collect import collect
from longcut.evaluation.finite import NotFiniteError
from longcut.evaluation.predictions import Predictions
from longcut.recipes.audit.scores import Changed, Indices, Pass, Scorer

NAN, INF = float("nan"), float("inf")
PATHS = ("a.jpg", "b.jpg", "c.jpg")
MASKED = [-INF, 2.0, -INF]
wrong = pytest.mark.parametrize("row", [[0.0, NAN, 1.0], [NAN] * 3, [0.0, INF, 1.0], [-INF] * 3])


class Says(nn.Module):
    """Gives the logits that it is given for images."""

    def encode(self, images: Tensor) -> Tensor:
        return images.flatten(1)

    def classify(self, features: Tensor) -> Tensor:
        return features

    def forward(self, images: Tensor) -> Tensor:
        return images


def collected(logits: Tensor) -> Predictions:
    places = torch.arange(3)
    batches = [Batch(logits[i][:, None, None], places[i], places[i]) for i in places.split(2)]  # type: ignore[arg-type]
    return collect(Says(), batches, ImageSet(Path(), PATHS, np.arange(3), PATHS), whose="runs/erm")


def audited(logits: Tensor, parts: Path) -> Pass:
    def change(indices: Indices) -> Changed:
        return Changed({"plain_same": lambda: logits[indices]}, {})

    return Scorer(Says(), "runs/erm", PATHS, 2, parts).run("all", change, None)


@wrong
def test_collected_answers_that_name_no_class_are_refused(row: list[float]) -> None:
    logits = torch.tensor([MASKED, row, row])
    with pytest.raises(NotFiniteError) as refused:
        collected(logits)
    assert str(refused.value) == (
        "runs/erm gives answers that are not finite (NaN or infinite) for 2 of 3 images, b.jpg for one: "
        "its training has diverged, or it cannot take such images"
    )


@wrong
def test_an_audit_s_answers_that_name_no_class_are_refused(row: list[float], tmp_path: Path) -> None:
    with pytest.raises(NotFiniteError, match=r"for 1 of 1 images \(plain same\), c.jpg for one"):
        audited(torch.tensor([MASKED, MASKED, row]), tmp_path)
    assert [file.name for file in (tmp_path / "all").iterdir()] == ["000000.npz"]


def test_a_masked_class_is_never_the_answer(tmp_path: Path) -> None:
    logits = torch.tensor([MASKED, [1.0, 0.0, -INF], MASKED])
    assert collected(logits).predicted.tolist() == [1, 0, 1]
    assert audited(logits, tmp_path).scores["plain_same"].predicted.tolist() == [1, 0, 1]


def test_an_encoder_without_classes_has_no_answers() -> None:
    assert collected(torch.zeros(3, 0)).logits.shape == (3, 0)
