"""Which image lends its background to which."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

Balance = Literal["images", "classes"]


def draw_backgrounds(
    targets: Int[Tensor, " b"],
    pool_targets: Int[Tensor, " s"],
    *,
    balance: Balance = "images",
    generator: torch.Generator | None = None,
) -> Int[Tensor, " b"]:
    """For each target, draw an image of another class from a pool.

    Args:
        targets: classes of the foregrounds.
        pool_targets: class of each image that can lend its background.
        balance: draw uniformly over the pool's images, or over its classes and then over their images.
        generator: source of the draws, on any device; torch's default where None.

    Returns:
        Positions in the pool.

    Raises:
        ValueError: some target has no image of another class in the pool.

    Source:
        Wang et al., "CLAD" (BMVC 2022), section 3.2. Their code draws within the batch and walks on from images of
        the same class, which is uniform over neither.
    """
    device = None if generator is None else generator.device
    uniforms = torch.rand(len(targets), 2, generator=generator, device=device, dtype=torch.float64).cpu().numpy()
    pool = BackgroundPool(pool_targets.cpu().numpy(), balance)
    return torch.from_numpy(pool.draw(targets.cpu().numpy(), uniforms)).to(targets.device)


class BackgroundPool:
    """Images that lend their backgrounds, ordered by class so that a draw is arithmetic.

    Args:
        targets: `[s]` class of each image.
        balance: as in `draw_backgrounds`.
    """

    def __init__(self, targets: NDArray[np.int64], balance: Balance = "images") -> None:
        if balance not in ("images", "classes"):
            raise ValueError(f"balance is 'images' or 'classes', not {balance!r}")
        self._balance = balance
        self._order = np.argsort(targets, kind="stable")
        self._classes, self._counts = np.unique(targets, return_counts=True)
        self._starts = np.cumsum(self._counts) - self._counts

    def check(self, targets: NDArray[np.int64]) -> None:
        """Check that there is a background of another class for each of `targets [b]`.

        Raises:
            ValueError: there is none for some; says why.
        """
        if len(self._classes) > 1 or not len(targets):
            return
        need = "backgrounds of another class need images of at least two classes"
        if not len(self._classes):
            raise ValueError(f"{need}: there is none that could lend one")
        if (targets == self._classes[0]).any():
            raise ValueError(f"{need}: all that could lend one are of class {self._classes[0]}")

    def draw(self, targets: NDArray[np.int64], uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """Position in the pool for each of `targets [b]`, from `uniforms [b, 2]` in [0, 1).

        Raises:
            ValueError: as `check`.
        """
        self.check(targets)
        place = np.searchsorted(self._classes, targets).clip(max=len(self._classes) - 1)
        known = self._classes[place] == targets
        if self._balance == "classes":
            return self._draw_over_classes(place, known, uniforms)
        excluded = np.where(known, self._counts[place], 0)
        drawn = (uniforms[:, 0] * (len(self._order) - excluded)).astype(np.int64)
        return self._order[drawn + np.where(known & (drawn >= self._starts[place]), excluded, 0)]

    def _draw_over_classes(
        self, place: NDArray[np.int64], known: NDArray[np.bool_], uniforms: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        drawn = (uniforms[:, 0] * (len(self._classes) - known)).astype(np.int64)
        drawn += known & (drawn >= place)
        within = (uniforms[:, 1] * self._counts[drawn]).astype(np.int64)
        return self._order[self._starts[drawn] + within]
