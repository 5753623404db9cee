"""A running average of the loss of each sample of the training set: what LfF tells hard from easy by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from longcut.core.distributed import gather


class SampleLoss(nn.Module):
    """For each sample an exponential average of its losses, and for each class the largest average of its samples.

    All state is in persistent buffers, so a checkpoint holds it. What all processes push reaches the table of each of
    them. Nothing here has a gradient or waits for the device.

    Args:
        num_samples: size of the training set (`s`).
        num_classes: how many classes there are (`n`).
        momentum: share of the old average in the new one; a sample's first loss is its first average.

    Raises:
        ValueError: a size is below 1, or the momentum is not in [0, 1).

    Source:
        Nam et al., "Learning from failure" (NeurIPS 2020): the averages, and their maxima over the training set, are
        those of the published code.
    """

    losses: Float[Tensor, " s"]
    seen: Bool[Tensor, " s"]
    targets: Int[Tensor, " s"]

    def __init__(self, num_samples: int, num_classes: int, momentum: float = 0.7) -> None:
        super().__init__()
        if min(num_samples, num_classes) < 1:
            raise ValueError(f"a SampleLoss needs sizes of at least 1, not {num_samples} x {num_classes}")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1, not {momentum}")
        self.num_classes = num_classes
        self.momentum = momentum
        self.register_buffer("losses", torch.zeros(num_samples))
        self.register_buffer("seen", torch.zeros(num_samples, dtype=torch.bool))
        self.register_buffer("targets", torch.full((num_samples,), -1))

    @property
    def table(self) -> Float[Tensor, " s"]:
        """The average of every sample, 0 where it was never seen; later pushes change it."""
        return self.losses

    @torch.no_grad()
    def push(
        self, losses: Float[Tensor, " b"], indices: Int[Tensor, " b"], targets: Int[Tensor, " b"]
    ) -> Float[Tensor, " b"]:
        """Move the average of each sample towards its loss.

        Args:
            losses: at least 0; as many on every process.
            indices: 0 to s - 1; where one occurs twice, the last loss of the global batch counts.
            targets: class of each sample, 0 to n - 1.

        Returns:
            The new averages of this process's samples.
        """
        return push_together([self], [losses], indices, targets)[0]

    @torch.no_grad()
    def class_maxima(self) -> Float[Tensor, " n"]:
        """The largest average of each class now, 0 where none of it was seen.

        It reads the whole table: a maximum that only ran along would not come down as losses do.
        """
        return self._maxima(self._classes())

    @torch.no_grad()
    def normalised(
        self, indices: Int[Tensor, " b"], targets: Int[Tensor, " b"], *, eps: float = 1e-8
    ) -> Float[Tensor, " b"]:
        """The average of each sample as a share of the largest of its class, 0 to 1.

        Args:
            indices: 0 to s - 1.
            targets: class of each sample, 0 to n - 1.
            eps: smallest maximum to divide by; a class whose losses are all 0 has shares of 0.
        """
        return normalise_together([self], indices, targets, eps=eps)[0]

    def _classes(self) -> Int[Tensor, " s"]:
        """The class of every sample; of what was never seen the first, whose maximum its 0 leaves as it is."""
        return self.targets.clamp(min=0)

    def _maxima(self, classes: Int[Tensor, " s"]) -> Float[Tensor, " n"]:
        return self.losses.new_zeros(self.num_classes).scatter_reduce_(0, classes, self.losses, reduce="amax")

    def _move(self, losses: Float[Tensor, " b"], indices: Int[Tensor, " b"], targets: Int[Tensor, " b"]) -> None:
        """Take in a batch; where a sample occurs twice, so does what is said of it."""
        losses = losses.to(self.losses.dtype)
        moved = torch.lerp(losses, self.losses.index_select(0, indices), self.momentum)
        self.losses.index_copy_(0, indices, torch.where(self.seen.index_select(0, indices), moved, losses))
        self.targets.index_copy_(0, indices, targets)
        self.seen.index_fill_(0, indices, True)


@torch.no_grad()
def push_together(
    tables: Sequence[SampleLoss],
    losses: Sequence[Float[Tensor, " b"]],
    indices: Int[Tensor, " b"],
    targets: Int[Tensor, " b"],
) -> list[Float[Tensor, " b"]]:
    """`SampleLoss.push` of several losses of the same samples: what they have in common is done once.

    Args:
        tables: where the losses go.
        losses: for each table.
        indices: as for `push`.
        targets: as for `push`.

    Returns:
        For each table the new averages of this process's samples.
    """
    everyone, targets = gather(indices), gather(targets)
    last = last_of_each(everyone, len(tables[0].losses))
    targets = targets.index_select(0, last)
    for table, each in zip(tables, losses, strict=True):
        table._move(gather(each).index_select(0, last), everyone, targets)
    return [table.losses.index_select(0, indices) for table in tables]


@torch.no_grad()
def normalise_together(
    tables: Sequence[SampleLoss], indices: Int[Tensor, " b"], targets: Int[Tensor, " b"], *, eps: float = 1e-8
) -> list[Float[Tensor, " b"]]:
    """`SampleLoss.normalised` of several tables that saw the same samples.

    Args:
        tables: of averages.
        indices: as for `normalised`.
        targets: as for `normalised`.
        eps: as for `normalised`.
    """
    classes = tables[0]._classes()
    maxima = [table._maxima(classes).clamp_(min=eps) for table in tables]
    return [
        table.losses.index_select(0, indices) / largest.index_select(0, targets)
        for table, largest in zip(tables, maxima, strict=True)
    ]


def last_of_each(indices: Int[Tensor, " b"], num_samples: int) -> Int[Tensor, " b"]:
    """For each entry of a batch where the same sample's last entry is, without sorting.

    Args:
        indices: 0 to s - 1.
        num_samples: size of the training set (`s`).
    """
    places = indices.new_empty(num_samples)  # all but the batch's own stay whatever they are
    positions = torch.arange(len(indices), device=indices.device)
    return places.scatter_reduce_(0, indices, positions, reduce="amax", include_self=False).index_select(0, indices)
