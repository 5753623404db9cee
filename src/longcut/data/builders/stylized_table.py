"""The table of a set of stylized images: which image gave each its shape, and which class its texture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longcut.data.builders.build_record import read_rows
from longcut.data.image_set import ImageSet
from longcut.data.layouts.samples import places

TABLE = "stylized.csv"
COLUMNS = "file", "image", "shape_class", "texture", "texture_class", "verdict"
_NAMED = 5


@dataclass(frozen=True)
class StylizedTable:
    """Stylized images, `t` of them, in the order of the images whose shape they have."""

    root: Path
    files: tuple[str, ...]
    """`[t]` paths of the stylized images, relative to the root."""
    images: tuple[str, ...]
    """`[t]` path of the image that each has its shape of, relative to the root of those."""
    texture_classes: tuple[str, ...]
    """`[t]` name of the class that each has its texture of."""

    def shown_by(self, images: ImageSet) -> tuple[ImageSet, NDArray[np.int64]]:
        """The stylized images that have their shapes of a set's images.

        Args:
            images: the set, with the paths that the stylized images were made from.

        Returns:
            The stylized images, `t'` of them, whose targets are their textures' classes among the set's; and for each
            `[t']` the place of its shape's image in the set.

        Raises:
            ValueError: none of the set's images gave a shape, or a texture is of a class that the set does not have.
        """
        place = {path: i for i, path in enumerate(images.paths)}
        kept = [t for t, path in enumerate(self.images) if path in place]
        if not kept:
            raise ValueError(
                f"{self.root} has the shape of none of the images in {images.root}: it was made of {self.images[0]}, "
                f"for one, while these are {images.paths[0]} and others; make it of these with 'longcut data stylize'"
            )
        names = [self.texture_classes[t] for t in kept]
        target = places(images.classes)
        unknown = sorted(set(names) - set(target))
        if unknown:
            known, strange = (", ".join(c[:_NAMED]) + ", ..." * (len(c) > _NAMED) for c in (images.classes, unknown))
            raise ValueError(
                f"{self.root} has textures of {strange}, which are no classes of the images in {images.root}: make it "
                f"again with 'longcut data stylize' from textures of {known}"
            )
        targets = np.array([target[name] for name in names], np.int64)
        files = tuple(self.files[t] for t in kept)
        return ImageSet(self.root, files, targets, images.classes), np.array([place[self.images[t]] for t in kept])


def read_stylized(folder: Path) -> StylizedTable:
    """Read what `build_stylized` made.

    Raises:
        ValueError: the folder holds no finished set of stylized images, or an empty one.
    """
    folder = Path(folder)
    table = folder / TABLE
    rows = [row for row in read_rows(table, COLUMNS) if row["verdict"] == "ok"]
    if not rows:
        found = f"{table} lists none" if table.is_file() else f"it has no {TABLE}"
        raise ValueError(f"{folder} holds no finished set of stylized images: {found}; run 'longcut data stylize'")
    return StylizedTable(
        folder,
        tuple(row["file"] for row in rows),
        tuple(row["image"] for row in rows),
        tuple(row["texture_class"] for row in rows),
    )
