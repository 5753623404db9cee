"""Cue-conflict stimuli: the shape of one class with the texture of another, both told by the file's name.

The layout is that of Geirhos et al., "ImageNet-trained CNNs are biased towards texture" (ICLR 2019):
`<shape>/<shape><i>-<texture><j>.png`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from longcut.data.image_set import ImageSet, read_images


def read_stimuli(root: Path) -> ImageSet:
    """Stimuli below a folder: `targets` are their shapes, `bias` their textures, both places in `classes`.

    Raises:
        ValueError: there are no class folders, or a name tells no texture; names the file.
    """
    images = read_images(root)
    if not images.classes:
        raise ValueError(f"{root} holds no folder for each shape: stimuli are <shape>/<shape><i>-<texture><j>.png")
    shapes = [images.classes[target] for target in images.targets]
    textures = [texture_of(path, images.classes, root=root) for path in images.paths]
    classes = tuple(sorted({*shapes, *textures}))
    place = {name: i for i, name in enumerate(classes)}
    return replace(
        images,
        classes=classes,
        targets=np.array([place[name] for name in shapes], np.int64),
        bias=np.array([place[name] for name in textures], np.int64),
    )


def texture_of(path: str, classes: Collection[str] = (), *, root: Path | None = None) -> str:
    """The texture's class by a stimulus's name: the word after the last `-`, without the number behind it.

    Class names with a dash, or with a number at their end, are known where they are among `classes`.

    Raises:
        ValueError: the name tells none.
    """
    stem = PurePosixPath(path).stem
    word = re.sub(r"\d+$", "", stem.rpartition("-")[2]) if "-" in stem else ""
    if word in classes:
        return word
    known = [name for name in classes if re.search(rf"-{re.escape(name)}\d+$", stem)]
    if known:
        return max(known, key=len)
    if not word:
        file = path if root is None else root / path
        raise ValueError(f"{file} tells no texture: stimuli are called <shape><i>-<texture><j>.png")
    return word
