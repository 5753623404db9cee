"""What a last layer is retrained on, what its penalty is chosen by and what it is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from longcut.data.image_set import ImageSet, read_images, splits_of
from longcut.data.layouts import LayoutOptions
from longcut.recipes.models import Model
from longcut.recipes.reading import Say, options_for

VALIDATION = ("val", "valid")
"""What a validation split is called."""
_SHOWN = 3


@dataclass(frozen=True)
class RetrainingSets:
    """Images of three splits, with the same classes."""

    split: str
    """That is retrained on."""
    images: ImageSet
    """Of it, those whose bias is known."""
    test: str
    """That is measured."""
    measured: ImageSet
    judges: tuple[str, ImageSet] | None
    """To choose the penalty by: the validation split, where it is neither and has bias labels."""


def read_sets(
    model: Model, data: Path, split: str | None, test: str | None, *, say: Say = lambda line: None
) -> RetrainingSets:
    """Read them.

    Args:
        model: whose choice of classes and of the layout's options is kept.
        data: images with classes, splits and bias labels.
        split: to retrain on; the validation split where None.
        test: to measure; `test`, else a validation split where None.
        say: is told how many images have no bias label.

    Raises:
        ValueError: there are no such splits, no two classes or no bias labels.
    """
    options = options_for(model, data)
    known = splits_of(data, options=options)
    split, test = _choose_splits(data, known, split, test)
    images = _read(model, data, split, options)
    if len(images.classes) < 2:
        raise ValueError(f"{data} holds {len(images.classes)} classes: retraining a last layer needs two at least")
    measured = _read(model, data, test, options, images.classes)
    judges = None
    validation = next((name for name in VALIDATION if name in known), None)
    if validation is not None and not any(_same(validation, taken) for taken in (split, test)):
        others = _read(model, data, validation, options, images.classes)
        judges = None if others.bias is None else (validation, others.select(others.bias >= 0))
    return RetrainingSets(split, _labelled(images, f"the split {split!r} of {data}", say), test, measured, judges)


def check_groups(images: ImageSet, where: str, *, skip_empty: bool = False) -> None:
    """Refuse groups of class and bias without an image, unless they are to be left out, and classes without one.

    Args:
        images: with their bias, which is known.
        where: what they are called.
        skip_empty: let groups be empty.

    Raises:
        ValueError: names what has no image.
    """
    counts = np.array(images.group_counts())
    lacking = [name for name, count in zip(images.classes, counts.sum(1), strict=True) if not count]
    if lacking:
        raise ValueError(f"{where} has no image of the class {lacking[0]!r} with a bias label: DFR needs one at least")
    empty = [f"{images.classes[y]}/{images.bias_names[b]}" for y, b in np.argwhere(counts == 0)]
    if empty and not skip_empty:
        more = f" and {len(empty) - _SHOWN} more" if len(empty) > _SHOWN else ""
        raise ValueError(
            f"{where} has no image of {len(empty)} of {counts.size} groups, {', '.join(empty[:_SHOWN])}{more}: DFR "
            "balances all of them; name another split with --split, or leave these out with --skip-empty"
        )


def _choose_splits(data: Path, known: Sequence[str], split: str | None, test: str | None) -> tuple[str, str]:
    has = f"{data} has {'the splits ' + ', '.join(known) if known else 'no splits'}"
    split = split or next((name for name in VALIDATION if name in known), None)
    if split is None or not known:
        raise ValueError(f"{has}: a last layer is retrained on the validation split, or on the one that --split names")
    test = test or next((name for name in ("test", *VALIDATION) if name in known and not _same(name, split)), None)
    if test is None:
        raise ValueError(f"{has}: name with --test what is measured, other images than those of {split!r}")
    if _same(split, test):
        raise ValueError(f"--split and --test are both {split!r}: what is retrained is measured on other images")
    return split, test


def _same(one: str, other: str) -> bool:
    return one == other or {one, other} == set(VALIDATION)


def _read(
    model: Model, data: Path, split: str, options: LayoutOptions, classes: Sequence[str] | None = None
) -> ImageSet:
    """The images of a split; of those classes alone that a run was told to choose, where they are there."""
    images = read_images(data, split, options=options)
    only = model.classes if model.chosen and set(model.classes) <= set(images.classes) else None
    return read_images(data, split, only=only, classes=classes, options=options)


def _labelled(images: ImageSet, where: str, say: Say) -> ImageSet:
    """The images whose group is known."""
    if images.bias is None:
        raise ValueError(
            f"{where} has no bias labels, and DFR balances groups of class and bias: give them in the column 'bias' of "
            "a CSV path,target,split,bias, or train a method that needs none, such as lff"
        )
    known = images.bias >= 0
    if not known.all():
        say(f"{(~known).sum()} of {len(images)} images of {where} have no bias label and are not fitted on")
    return images.select(known)
