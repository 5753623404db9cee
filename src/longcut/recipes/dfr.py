"""Last-layer retraining (DFR) of a model, and what its groups become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from longcut.evaluation.collect import predictions_of
from longcut.evaluation.last_layer import INVERSE_STRENGTHS, Grouped, Retrained, retrain_last_layer
from longcut.evaluation.linear_head import LinearHead, ProbedEncoder
from longcut.evaluation.predictions import Predictions
from longcut.evaluation.results import Subject, append_rows
from longcut.recipes.frozen import Frozen, frozen_features
from longcut.recipes.group_rows import group_lines, group_rows
from longcut.recipes.models import Model
from longcut.recipes.reading import Say, accuracy_rows
from longcut.recipes.retraining_sets import check_groups, read_sets


def dfr(
    model: Model,
    data: Path,
    out: Path,
    *,
    split: str | None = None,
    test: str | None = None,
    inverse_strengths: Sequence[float] = INVERSE_STRENGTHS,
    repeats: int = 10,
    seed: int = 0,
    skip_empty: bool = False,
    skip_bad: bool = False,
    say: Say = lambda line: None,
) -> list[dict[str, Any]]:
    """Retrain a model's last layer where the groups of class and bias are balanced, measure it, and keep the rows.

    Rows go to `out/results.jsonl`: `dfr_accuracy` and the measures by groups, `dfr_worst_group` among them. Features go
    to `out/features`, the classifier to `out/dfr_head.npz`. Images whose bias is not known are not fitted on.

    Args:
        model: whose `encode` gives the features; the classes are the data's own.
        data: images with classes, splits and bias labels.
        out: folder of the results.
        split: that the last layer is retrained on; the validation split where None. Retrained on another one, its
            penalty is chosen by the validation split, where that has bias labels and is not what is measured.
        test: split that is measured; `test`, else a validation split where None.
        inverse_strengths: C of the penalty to choose from.
        repeats: how many balanced subsets are fitted.
        seed: of all that is drawn.
        skip_empty: balance those groups that have an image, where others have none.
        skip_bad: leave unreadable images out and say which.
        say: is told what is going on.

    Raises:
        ValueError: there are no such splits, no bias labels, or a group has no image.

    Source:
        Kirichenko, Izmailov and Wilson, "Last layer re-training is sufficient for robustness to spurious correlations"
        (ICLR 2023).
    """
    sets = read_sets(model, data, split, test, say=say)
    where = f"the split {sets.split!r} of {data}"
    check_groups(sets.images, where, skip_empty=skip_empty)
    kept: dict[str, Any] = {"folder": out / "features", "skip_bad": skip_bad, "say": say}
    fitted = frozen_features(model, sets.images, sets.split, **kept)
    check_groups(fitted.images, where, skip_empty=skip_empty)  # again, as an unreadable image may have been the last
    judging = None
    if sets.judges is not None:
        validation, judges = sets.judges
        judging = frozen_features(model, judges, validation, **kept)
    found = retrain_last_layer(
        _grouped(fitted),
        num_classes=len(sets.images.classes),
        inverse_strengths=inverse_strengths,
        repeats=repeats,
        seed=seed,
        choose_on=None if judging is None else _grouped(judging),
    )
    say(f"{sets.split}: {_told(found, fitted, judging)}")
    subject = _keep(model, found, sets.images.classes, out)
    measured = frozen_features(model, sets.measured, sets.test, **kept)
    digests = [fitted.digest, *([] if judging is None else [judging.digest]), measured.digest]
    about = {"data": str(data), "data_hash": "+".join(digests)}
    how = {"split": sets.split, "inverse_strength": found.inverse_strength, "repeats": repeats, "seed": seed}
    rows = [entry | {"dfr": how} for entry in _rows(subject, sets.test, _predictions(found, measured), about, say)]
    append_rows(out / "results.jsonl", rows)
    return rows


def _grouped(frozen: Frozen) -> Grouped:
    images = frozen.images
    assert images.bias is not None  # read_sets() has seen to it
    return Grouped(frozen.features, images.targets, images.targets * len(images.bias_names) + images.bias)


def _told(found: Retrained, fitted: Frozen, judging: Frozen | None) -> str:
    groups = sum(count > 0 for row in fitted.images.group_counts() for count in row)
    size = f"{found.group_size} image{'s' * (found.group_size > 1)}"
    text = f"balanced subsets have {size} of each of {groups} groups; C = {found.inverse_strength:g}"
    if found.worst_group is None:
        return f"{text} is the first: no group has a second image to choose by"
    whose = "the held-out half" if judging is None else "the validation split"
    return f"{text}, with which the worst group of {whose} reaches {found.worst_group:.1%}"


def _keep(model: Model, found: Retrained, classes: tuple[str, ...], out: Path) -> Subject:
    """Write the classifier into `out`; what is measured with it."""
    head = LinearHead(found.linear, classes, model.subject.weights_hash)
    head.save(out, "dfr")
    return replace(model.subject, head=ProbedEncoder(model.network, head).name("dfr"))


def _predictions(found: Retrained, measured: Frozen) -> Predictions:
    """What the retrained layer says; without the features, which are kept already."""
    return predictions_of(measured.images, found.linear(torch.from_numpy(measured.features)).numpy())


def _rows(
    subject: Subject, test: str, predictions: Predictions, about: Mapping[str, str], say: Say
) -> list[dict[str, Any]]:
    """Accuracy, and the measures by groups where the bias is labelled."""
    if predictions.bias is None:
        say(f"{test}: no image has a bias label, so accuracy alone is measured")
    for line in group_lines(predictions):
        say(f"{test}: {line}")
    return accuracy_rows(subject, test, predictions, about) + group_rows(subject, test, predictions, about)
