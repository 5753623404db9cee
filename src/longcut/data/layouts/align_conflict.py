"""Folders `align` and `conflict` with names `<id>_<target>_<bias>`: Colored MNIST, CIFAR-10-C, BFFHQ, Dogs & Cats.

The layout is that of Lee et al., "Learning Debiased Representation via Disentangled Feature Augmentation" (NeurIPS
2021) and Lee et al., "Revisiting the Importance of Amplifying Bias for Debiasing" (AAAI 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longcut.data.layouts.files import KINDS, class_folders, folders_in, images_below, stem_of
from longcut.data.layouts.samples import (
    LayoutOptions,
    Samples,
    counted,
    in_order,
    match_bias,
    places,
    some,
    sorted_names,
)
from longcut.data.layouts.severity import choose_severity, is_severity
from longcut.data.tables import LabelError

PARTS = ("align", "conflict")
OTHER_SPLITS = {"valid": "val", "val": "val", "test": "test"}

_Labels = tuple[NDArray[np.int64], NDArray[np.int64], tuple[str, ...], tuple[str, ...]]


def matches(root: Path) -> bool:
    """Whether a folder holds both parts, or folders of severities that do."""
    return root.is_dir() and (_has_parts(root) or bool(_severities(root)))


def read(root: Path, options: LayoutOptions) -> Samples:
    """Read `<severity>/{align,conflict}/<class>/*` with `valid` and `test` in the severity's folder or beside it.

    Labels are those of the files' names: aligned is what has target and bias equal. All images of a split are read,
    those of a test set that its authors restrict to the conflicting ones as well.

    Raises:
        ValueError: there are no images, or several severities and none is chosen.
        LabelError: names do not tell target and bias, or tell one beyond the classes; biases may be called otherwise,
            but then all of them.
    """
    family, severity = _find(root, options.severity)
    chosen = family / severity
    parts = {chosen / part: "train" for part in PARTS}
    for name, split in OTHER_SPLITS.items():
        folder = chosen / name if (chosen / name).is_dir() else family / name
        if folder.is_dir():
            parts[folder] = split
    found = [(path, split) for folder, split in parts.items() for path in images_below(folder, family)]
    if not found:
        raise ValueError(f"{chosen} holds no images ({KINDS}) in {' and '.join(PARTS)}")
    found = [found[i] for i in in_order([path for path, _ in found])]
    paths = tuple(path for path, _ in found)
    classes = class_folders(*(chosen / part for part in PARTS))
    targets, bias, classes, bias_names = _labels(family, paths, classes)
    return Samples(family, paths, targets, classes, np.array([split for _, split in found], np.str_), bias, bias_names)


def _find(root: Path, severity: str | None) -> tuple[Path, str]:
    """The folder that all paths are relative to, and the severity's in it; empty where there is none."""
    root = root if root.name else root.absolute()
    if not _has_parts(root):
        return root, choose_severity(root, _severities(root), severity)
    if is_severity(root.name):
        return root.parent, choose_severity(root.parent, [root.name], severity)
    if severity is not None:
        raise ValueError(f"{root} holds no folders of severities such as 1pct: leave severity={severity} out")
    return root, ""


def _has_parts(folder: Path) -> bool:
    return all((folder / part).is_dir() for part in PARTS)


def _severities(folder: Path) -> list[str]:
    return [name for name in folders_in(folder) if is_severity(name) and _has_parts(folder / name)]


def _labels(root: Path, paths: Sequence[str], classes: tuple[str, ...]) -> _Labels:
    """Targets and biases by the files' names, whose last two fields say them."""
    fields = [stem_of(path).rsplit("_", 2)[1:] for path in paths]
    wrong = [path for path, found in zip(paths, fields, strict=True) if len(found) < 2 or not all(found)]
    if wrong:
        raise LabelError(f"{root}: {counted(len(wrong), 'name')} not of the form <id>_<target>_<bias>: {some(wrong)}")
    classes = classes or sorted_names({target for target, _ in fields})
    numbers = {} if all(name.isdecimal() for name in classes) else {str(i): i for i in range(len(classes))}
    known = {**numbers, **places(classes)}
    wrong = [path for path, (target, _) in zip(paths, fields, strict=True) if target not in known]
    if wrong:
        raise LabelError(
            f"{root}: {counted(len(wrong), 'name')} with a target that is none of the classes {', '.join(classes)}: "
            f"{some(wrong)}"
        )
    biases = {bias for _, bias in fields}
    wrong = [path for path, (_, bias) in zip(paths, fields, strict=True) if bias not in known]
    if wrong and not biases.isdisjoint(known):
        raise LabelError(
            f"{root}: {counted(len(wrong), 'name')} with a bias that is none of the classes {', '.join(classes)}, as "
            f"others are: {some(wrong)}"
        )
    bias_names = tuple(numbers) if biases <= set(numbers) else match_bias(biases, classes)
    bias_known = places(bias_names)
    targets = np.array([known[target] for target, _ in fields], np.int64)
    return targets, np.array([bias_known[bias] for _, bias in fields], np.int64), classes, bias_names
