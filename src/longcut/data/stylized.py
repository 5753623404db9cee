"""Images with the shape of one image and the texture of another class, grouped by whose shape they show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longcut.data.store import Store


@dataclass(frozen=True)
class Stylized:
    """Stylized images of a training set; `s` counts its images, `t` the stylized ones."""

    store: Store
    texture_targets: NDArray[np.int64]
    """`[t]` class of each one's texture, by its place in the store."""
    rows: NDArray[np.int64]
    """`[t]` places in the store, those of one training image beside each other."""
    starts: NDArray[np.int64]
    """`[s]` where the rows of each training image begin."""
    counts: NDArray[np.int64]
    """`[s]` how many there are."""

    @classmethod
    def group(
        cls, store: Store, contents: NDArray[np.int64], texture_targets: NDArray[np.int64], images: tuple[str, ...]
    ) -> Stylized:
        """Group by training image.

        Args:
            store: the stylized images.
            contents: `[t]` place in the training set of the image whose shape each one shows.
            texture_targets: `[t]` class of each one's texture.
            images: `[s]` paths of the training set.

        Raises:
            ValueError: an image of the training set has no stylized one.
        """
        counts = np.bincount(contents, minlength=len(images))
        if not counts.all():
            first = images[int(counts.argmin())]
            raise ValueError(
                f"{int((counts == 0).sum())} of {len(images)} images have no stylized one, the first is {first}: "
                f"make them with 'longcut data stylize'"
            )
        rows = np.argsort(contents, kind="stable")
        return cls(store, texture_targets, rows, np.cumsum(counts) - counts, counts)

    def draw(self, indices: NDArray[np.int64], uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """Place in the store of a stylized image for each of `indices [b]`, from `uniforms [b]` in [0, 1)."""
        return self.rows[self.starts[indices] + (uniforms * self.counts[indices]).astype(np.int64)]
