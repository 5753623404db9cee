"""What an image must look like before a model sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longcut.data.loader import Normalisation
from longcut.data.resizing import centre_crop


@dataclass(frozen=True)
class Preprocessing:
    """Size, crop and normalisation.

    Attributes:
        image_size: side of the square that the model sees, pixels.
        normalisation: of its values.
        crop: share of the shorter side that the square shows; timm's `crop_pct`, and of torchvision's transforms the
            crop's size by the size that is cropped.

    Raises:
        ValueError: a size below 1, a share outside 0 to 1, or a deviation that is not positive.
    """

    image_size: int
    normalisation: Normalisation
    crop: float = 1.0

    def __post_init__(self) -> None:
        if self.image_size < 1:
            raise ValueError(f"an image size is a number of pixels, not {self.image_size}")
        if not 0 < self.crop <= 1:
            raise ValueError(f"a crop is a share of the image's side, above 0 and at most 1, not {self.crop}")
        if min(self.normalisation.std) <= 0:
            raise ValueError(f"standard deviations are positive, not {self.normalisation.std}")

    def square(self, array: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The part of an image, or of its mask, that the model sees: `[h, w]` or `[h, w, 3]` to a square of its size.

        It is cut out first and resized once; resized first and cut then, as timm and torchvision do it, the same part
        is left.
        """
        height, width = array.shape[:2]
        side = max(1, round(self.crop * min(height, width)))
        top, left = (height - side) // 2, (width - side) // 2
        return centre_crop(array[top : top + side, left : left + side], self.image_size)
