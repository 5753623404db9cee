"""Which samples make which batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longcut.core.seeding import Stream, keyed_uniforms


@dataclass(frozen=True)
class Order:
    """Which samples make which step's batch: an endless shuffled pass, addressable at any step.

    The images of a step are cut into contiguous slices, first for accumulation and then for the processes; what is left
    over at the end of an epoch is dropped. A set smaller than a batch is a batch.

    Attributes:
        num_samples: size of the set.
        batch_size: images of one optimizer step, over all processes.
        seed: the run's seed.
        accumulate: slices that follow each other within a step.
        rank: this process.
        world_size: number of processes.
    """

    num_samples: int
    batch_size: int
    seed: int
    accumulate: int = 1
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if self.images_per_step % (self.accumulate * self.world_size):
            raise ValueError(
                f"a batch of {self.images_per_step} images cannot be cut into accumulate {self.accumulate} x processes "
                f"{self.world_size} equal slices: choose another batch_size"
            )

    @property
    def images_per_step(self) -> int:
        """Images of one optimizer step."""
        return min(self.batch_size, self.num_samples)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the data."""
        return max(1, self.num_samples // self.batch_size)

    def keys(self, start: int, stop: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Epoch and this process's indices for the slices of the steps `start` to `stop - 1`, counted from 0."""
        order, drawn = self._permutation(0), 0
        for step in range(start, stop):
            epoch, position = divmod(step, self.steps_per_epoch)
            if epoch != drawn:
                order, drawn = self._permutation(epoch), epoch
            batch = order[position * self.batch_size : (position + 1) * self.batch_size]
            for part in np.split(batch, self.accumulate):
                yield epoch, np.split(part, self.world_size)[self.rank]

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        draws = keyed_uniforms(self.seed, epoch, np.arange(self.num_samples), Stream.ORDER, 2)
        return np.lexsort(draws.T)


def evaluation_keys(num_samples: int, batch_size: int) -> list[NDArray[np.int64]]:
    """Every index once, in order, in batches."""
    return np.array_split(np.arange(num_samples), range(batch_size, num_samples, batch_size))
