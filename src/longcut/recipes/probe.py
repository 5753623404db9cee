"""What a linear classifier and the nearest neighbours make of frozen features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longcut.data.destination import check_outside
from longcut.data.image_set import ImageSet, read_images, splits_of
from longcut.engine.launch import find_device
from longcut.evaluation.coarse import CoarseClasses, coarse_by_prefix, coarse_correct, read_coarse
from longcut.evaluation.knn import knn_votes
from longcut.evaluation.linear_head import LinearHead
from longcut.evaluation.linear_probe import Linear, choose_and_fit, fit_sgd, hold_out
from longcut.evaluation.metrics import measure
from longcut.evaluation.results import append_rows, row
from longcut.recipes.frozen import Frozen, frozen_features, read_known
from longcut.recipes.models import Model
from longcut.recipes.reading import Say, options_for

Kind = Literal["linear", "knn"]
Solver = Literal["lbfgs", "sgd"]
KINDS: tuple[Kind, ...] = get_args(Kind)
HELD_OUT = "held_out"
"""What a test set is called that was held out of the only split."""


@dataclass(frozen=True)
class Probes:
    """Which classifiers are fitted on the features, and how.

    Attributes:
        kinds: a linear classifier, nearest neighbours, or both.
        solver: of the linear one: L-BFGS with a penalty chosen within the training set, or the papers' SGD.
        views: for SGD, passes of random crops that its epochs read in turn; 0 is the central squares alone.
        lr: of SGD.
        neighbours: k of the nearest neighbours.
        temperature: of their votes.
        seed: of what is held out, of the crops and of SGD.
    """

    kinds: Sequence[Kind] = KINDS
    solver: Solver = "lbfgs"
    views: int = 0
    lr: float = 10.0
    neighbours: int = 200
    temperature: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise ValueError(f"a probe's kind is one of {', '.join(KINDS)}, not {', '.join(unknown) or 'none'}")
        if self.solver not in get_args(Solver):
            raise ValueError(f"a linear probe's solver is one of {', '.join(get_args(Solver))}, not {self.solver!r}")
        if self.views < 0 or (self.views and (self.solver != "sgd" or "linear" not in self.kinds)):
            raise ValueError(f"views = {self.views}: random crops are for the linear probe by SGD, 0 is none")
        if not self.lr > 0:
            raise ValueError(f"the lr of a linear probe must be positive, not {self.lr}")
        if self.neighbours < 1:
            raise ValueError(f"neighbours must be at least 1, not {self.neighbours}")
        if not self.temperature > 0:
            raise ValueError(f"the temperature of nearest neighbours must be positive, not {self.temperature}")


def parse_kinds(text: str) -> tuple[Kind, ...]:
    """Kinds of probes from their names, separated by commas; `Probes` says which of them there are not."""
    return tuple(cast(Kind, name.strip()) for name in dict.fromkeys(text.split(",")) if name.strip())


def probe(
    model: Model,
    data: Path,
    out: Path,
    *,
    train: str | None = None,
    test: str | None = None,
    probes: Probes = Probes(),
    coarse: Path | None = None,
    coarse_prefix: str | None = None,
    limit_per_class: int | None = None,
    skip_bad: bool = False,
    say: Say = lambda line: None,
) -> list[dict[str, Any]]:
    """Fit classifiers on a model's features of labelled images, test them, and keep the rows.

    The classes are the data's own, so a model that was trained without classes, or with others, can be probed. Features
    go to `out/features`, where the next probe finds them, rows to `out/results.jsonl`: `linear_accuracy` (with SGD
    `linear_sgd_accuracy`) and `knn_accuracy`, over all images and of each class. With coarse classes, the fine and the
    coarse accuracy of the images that have one: `linear_fine_accuracy`, `linear_coarse_accuracy` and so on, over all of
    them and of each coarse class (Ge et al., NeurIPS 2021, Figure 6d). The linear classifier stays in `out`, for
    `open_model(..., head="linear")`.

    Args:
        model: whose `encode` gives the features.
        data: images in class folders, with splits or without, or a CSV.
        out: folder of the results.
        train: split that the classifiers are fitted on; `train` where None.
        test: split that they are tested on; `test`, else `val` where None. Where the data has one split or none and
            none is named, a fifth of each class is held out.
        probes: which classifiers.
        coarse: CSV `class,coarse`.
        coarse_prefix: separator; classes whose names agree in what stands before it are of one coarse class.
        limit_per_class: at most so many training images of each class.
        skip_bad: leave unreadable images out and say which.
        say: is told what is going on.

    Raises:
        ValueError: there are no labels, no second split, an option cannot be, or `out` lies among the images.
    """
    check_outside(data, out)
    fit_images, test_images, name = labelled_splits(model, data, train, test, seed=probes.seed, say=say)
    groups = _coarse_classes(fit_images.classes, coarse, coarse_prefix, say)
    if limit_per_class:
        fit_images = fit_images.limit_per_class(limit_per_class)
    folder = out / "features"
    settings: dict[str, Any] = {"skip_bad": skip_bad, "say": say}
    fitted = frozen_features(
        model, fit_images, train or "train", folder, views=probes.views, seed=probes.seed, **settings
    )
    tested = frozen_features(model, test_images, name, folder, **settings)
    rows: list[dict[str, Any]] = []

    def keep(linear: Linear) -> None:
        LinearHead(linear, fitted.images.classes, model.subject.weights_hash).save(out)

    for label, about, predicted in _predictions(fitted, tested, probes, keep, say):
        entries = _measures(label, predicted, tested.images, groups)
        digest = f"{fitted.digest}+{tested.digest}"
        rows += [
            row(model.subject, metric, name, measure(correct), data=str(data), data_hash=digest, of_class=of_class)
            | {"probe": about}
            for metric, of_class, correct in entries
        ]
    append_rows(out / "results.jsonl", rows)
    return rows


def labelled_splits(
    model: Model, data: Path, train: str | None, test: str | None, *, seed: int, say: Say
) -> tuple[ImageSet, ImageSet, str]:
    """Training images, test images, and what the test set is called.

    Raises:
        ValueError: there are no two classes, the two splits are the same, or there is no second one and none to make.
    """
    options = options_for(model, data)
    splits = splits_of(data, options=options)
    train = train or ("train" if "train" in splits else None)
    test = test or next((name for name in ("test", "val", "valid") if name in splits and name != train), None)
    if train is not None and train == test:
        raise ValueError(
            f"--train and --test are both {train!r}: a probe is tested on other images than it is fitted on"
        )
    if test is not None and train is None:
        raise ValueError(f"{data} has no split 'train' (it has {', '.join(splits) or 'none'}): name one with --train")
    images = read_known(model, data, train)
    if len(images.classes) < 2:
        found = f"only the class {images.classes[0]!r}" if images.classes else "no class folders"
        raise ValueError(
            f"{data} holds {found}: a probe needs labels; give labelled images, other than those trained on if need be"
        )
    if test is not None:
        only = images.classes if model.chosen else None
        return images, read_images(data, test, only=only, classes=images.classes, options=options), test
    held = hold_out(images.targets, seed=seed)
    if not held.any():
        raise ValueError(
            f"{data} has one image of each class: a probe needs at least two, to hold one out for its test"
        )
    say(f"{data} has no second split: a fifth of each class is held out for the test, {held.sum()} of {len(images)}")
    return images.select(~held), images.select(held), HELD_OUT


def _coarse_classes(classes: Sequence[str], file: Path | None, prefix: str | None, say: Say) -> CoarseClasses | None:
    if file is not None and prefix is not None:
        raise ValueError("coarse classes come from a file or from a prefix of the names, not from both")
    if file is None and prefix is None:
        return None
    groups = read_coarse(file, classes) if file is not None else coarse_by_prefix(classes, prefix or "")
    without = [name for name, place in zip(classes, groups.places, strict=True) if place < 0]
    if without:
        say(f"{len(without)} of {len(classes)} classes have no coarse class and are left out: {', '.join(without)}")
    return groups


def _predictions(
    fitted: Frozen, tested: Frozen, probes: Probes, keep: Callable[[Linear], None], say: Say
) -> list[tuple[str, dict[str, Any], NDArray[np.int64]]]:
    """Name, settings and predicted classes of each probe; `keep` is given the linear classifier."""
    device, num_classes = find_device(), len(fitted.images.classes)
    features, queries = _on(device, fitted.features), _on(device, tested.features)
    targets = torch.from_numpy(fitted.images.targets).to(device)
    found: list[tuple[str, dict[str, Any], Tensor]] = []
    if "linear" in probes.kinds and probes.solver == "lbfgs":
        linear, l2 = choose_and_fit(features, targets, num_classes=num_classes, seed=probes.seed)
        say(f"linear probe: L2 penalty {l2:g}, chosen on a held-out fifth of the training images")
        keep(linear)
        found.append(("linear", {"solver": "lbfgs", "l2": l2}, linear(queries)))
    elif "linear" in probes.kinds:
        crops = _on(device, fitted.passes[1:] if probes.views else fitted.passes)
        linear = fit_sgd(crops, targets, num_classes=num_classes, lr=probes.lr, seed=probes.seed)
        keep(linear)
        found.append(("linear_sgd", {"solver": "sgd", "lr": probes.lr, "views": probes.views}, linear(queries)))
    if "knn" in probes.kinds:
        k, temperature = min(probes.neighbours, len(targets)), probes.temperature
        if k < probes.neighbours:
            say(f"nearest neighbours: all {k} training images vote, fewer than {probes.neighbours}")
        votes = knn_votes(features, targets, queries, num_classes=num_classes, neighbours=k, temperature=temperature)
        found.append(("knn", {"neighbours": k, "temperature": temperature}, votes))
    return [(name, about, scores.argmax(1).cpu().numpy()) for name, about, scores in found]


def _measures(
    label: str, predicted: NDArray[np.int64], images: ImageSet, groups: CoarseClasses | None
) -> list[tuple[str, str | None, NDArray[np.bool_]]]:
    """Metric, class, and whether each image of it is right."""
    targets = images.targets
    correct = predicted == targets
    entries = _by_class(f"{label}_accuracy", correct, targets, images.classes)
    if groups is None:
        return entries
    coarse = groups.of(targets)
    for metric, right in (("fine", correct), ("coarse", coarse_correct(predicted, targets, groups))):
        known = coarse >= 0
        entries += _by_class(f"{label}_{metric}_accuracy", right[known], coarse[known], groups.names)
    return entries


def _by_class(
    metric: str, correct: NDArray[np.bool_], labels: NDArray[np.int64], names: Sequence[str]
) -> list[tuple[str, str | None, NDArray[np.bool_]]]:
    """Over all, then of each class that has an image."""
    whole: list[tuple[str, str | None, NDArray[np.bool_]]] = [(metric, None, correct)] if len(correct) else []
    return whole + [(metric, name, correct[labels == i]) for i, name in enumerate(names) if (labels == i).any()]


def _on(device: torch.device, array: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(array).to(device)
