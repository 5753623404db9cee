"""BAR, six actions in places that go with them: as published, and with shares of bias-conflicting images.

Nam et al., "Learning from Failure" (NeurIPS 2020), and Lee et al., "Revisiting the Importance of Amplifying Bias for
Debiasing" (AAAI 2023).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from longcut.data.layouts.files import KINDS, class_folders, folder_of, folders_in, images_below, is_image, stem_of
from longcut.data.layouts.samples import LayoutOptions, Samples, counted, in_order, places, some, sorted_names
from longcut.data.layouts.severity import choose_severity, is_severity
from longcut.data.tables import LabelError

SPLITS = {"train": "train", "valid": "val", "val": "val", "test": "test"}
_ACTION = re.compile(r"(climbing|diving|fishing|(pole[ _])?vaulting|racing|throwing)_\d+")
_NAME = re.compile(r"(.+)_\d+")


def matches_flat(root: Path) -> bool:
    """Whether `train` holds no folders but files called after BAR's actions."""
    folder = root / "train"
    if not folder.is_dir() or folders_in(folder):
        return False
    with os.scandir(folder) as entries:
        return any(_ACTION.fullmatch(stem_of(entry.name)) for entry in entries if is_image(entry.name))


def read_flat(root: Path, options: LayoutOptions) -> Samples:
    """Read `train/<action>_<n>.jpg` and `test/<action>_<n>.jpg`; the bias is not labelled.

    Raises:
        LabelError: names do not tell an action.
    """
    found = [(path, split) for name, split in SPLITS.items() for path in images_below(root / name, root)]
    found = [found[i] for i in in_order([path for path, _ in found])]
    told = [_NAME.fullmatch(stem_of(path)) for path, _ in found]
    wrong = [path for (path, _), name in zip(found, told, strict=True) if name is None]
    if wrong:
        raise LabelError(f"{root}: {counted(len(wrong), 'name')} not of the form <action>_<number>: {some(wrong)}")
    actions = [name[1] for name in told if name is not None]
    classes = sorted_names(set(actions))
    place = places(classes)
    return Samples(
        root,
        tuple(path for path, _ in found),
        np.array([place[action] for action in actions], np.int64),
        classes,
        np.array([split for _, split in found], np.str_),
    )


def matches(root: Path) -> bool:
    """Whether `train` holds aligned and conflicting images apart."""
    return {"align", "conflict"} <= set(folders_in(root / "train"))


def read(root: Path, options: LayoutOptions) -> Samples:
    """Read `train/align/<class>/*`, `train/conflict/<severity>/<class>/*`, `valid/<class>/*` and `test/<class>/*`.

    The bias is made up, as its authors do: an aligned image has its class's, a conflicting one the next class's. Of
    validation and test images it is not known.

    Raises:
        ValueError: there are no images, or several severities and none is chosen.
        LabelError: images lie in folders that are no classes of the training images.
    """
    align, conflict = root / "train" / "align", root / "train" / "conflict"
    severities = [name for name in folders_in(conflict) if is_severity(name)]
    if severities:
        conflict /= choose_severity(conflict, severities, options.severity)
    elif options.severity is not None:
        raise ValueError(f"{conflict} holds no folders of severities: leave severity={options.severity} out")
    folders = {align: ("train", 0), conflict: ("train", 1)}
    folders |= {root / name: (split, -1) for name, split in SPLITS.items() if name != "train"}
    found = [(path, *told) for folder, told in folders.items() for path in images_below(folder, root)]
    if not found:
        raise ValueError(f"{root} holds no images ({KINDS})")
    found = [found[i] for i in in_order([path for path, _, _ in found])]
    classes = class_folders(align, conflict)
    place = places(classes)
    outside = [path for path, _, _ in found if folder_of(path) not in place]
    if outside:
        raise LabelError(
            f"{root}: {counted(len(outside), 'image')} in no folder of the classes {', '.join(classes)}: "
            f"{some(outside)}"
        )
    targets = np.array([place[folder_of(path)] for path, _, _ in found], np.int64)
    shift = np.array([shift for _, _, shift in found], np.int64)
    bias = np.where(shift < 0, -1, (targets + shift) % len(classes))
    splits = np.array([split for _, split, _ in found], np.str_)
    return Samples(root, tuple(path for path, _, _ in found), targets, classes, splits, bias, classes)
