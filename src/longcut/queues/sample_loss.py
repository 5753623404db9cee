"""A running average of the loss of each sample of the training set: what LfF tells hard from easy by."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from longcut.core.distributed import gather

_BLOCK = 16  # samples, at least


class SampleLoss(nn.Module):
    """For each sample an exponential average of its losses, and for each class the largest average of its samples.

    All state is in persistent buffers, so a checkpoint holds it. What all processes push reaches the table of each of
    them. Nothing here has a gradient or waits for the device.

    Args:
        num_samples: size of the training set (`s`).
        num_classes: how many classes there are (`n`).
        momentum: share of the old average in the new one; a sample's first loss is its first average.
        shape: of the losses of one sample, `(2,)` for those of two networks. It stands before all the shapes below,
            which are those of a single loss.

    Attributes:
        losses: the average of every sample, 0 where it was never seen.

    Raises:
        ValueError: a size is below 1, or the momentum is not in [0, 1).

    Source:
        Nam et al., "Learning from failure" (NeurIPS 2020): the averages, and their maxima over the training set, are
        those of the published code.
    """

    losses: Float[Tensor, "*shape s"]
    seen: Bool[Tensor, " s"]
    targets: Int[Tensor, " s"]
    tops: Float[Tensor, "*shape n blocks"]

    def __init__(
        self, num_samples: int, num_classes: int, momentum: float = 0.7, *, shape: tuple[int, ...] = ()
    ) -> None:
        super().__init__()
        if min(num_samples, num_classes) < 1:
            raise ValueError(f"a SampleLoss needs sizes of at least 1, not {num_samples} x {num_classes}")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1, not {momentum}")
        self.num_classes = num_classes
        self.momentum = momentum
        self.register_buffer("losses", torch.zeros(*shape, num_samples))
        self.register_buffer("seen", torch.zeros(num_samples, dtype=torch.bool))
        self.register_buffer("targets", torch.full((num_samples,), -1))
        # The largest average of each class in each block of neighbouring samples: neither a push nor a maximum reads
        # the whole table. It follows from the other buffers. With many classes the blocks are larger, for the memory.
        self._block = max(_BLOCK, num_classes)
        self.register_buffer("tops", torch.zeros(*shape, num_classes, -(-num_samples // self._block)), persistent=False)
        self.register_load_state_dict_post_hook(_look_everywhere)

    @torch.no_grad()
    def push(
        self, losses: Float[Tensor, "*shape b"], indices: Int[Tensor, " b"], targets: Int[Tensor, " b"]
    ) -> Float[Tensor, "*shape b"]:
        """Move the average of each sample towards its loss.

        Args:
            losses: at least 0; as many on every process.
            indices: 0 to s - 1; where one occurs twice, the last loss of the global batch counts.
            targets: class of each sample, 0 to n - 1.

        Returns:
            The new averages of this process's samples.
        """
        own = indices
        losses = gather(losses.movedim(-1, 0)).movedim(0, -1).to(self.losses.dtype)
        indices, targets = gather(indices), gather(targets)
        last = last_of_each(indices, len(self.seen))
        losses, targets = losses.index_select(-1, last), targets.index_select(0, last)
        moved = torch.lerp(losses, self.losses.index_select(-1, indices), self.momentum)
        self.losses.index_copy_(-1, indices, torch.where(self.seen.index_select(0, indices), moved, losses))
        self.targets.index_copy_(0, indices, targets)
        self.seen.index_fill_(0, indices, True)
        self._look_at(indices // self._block)
        return self.losses.index_select(-1, own)

    @torch.no_grad()
    def class_maxima(self) -> Float[Tensor, "*shape n"]:
        """The largest average of each class now, 0 where none of it was seen.

        A maximum that only ran along would not come down as losses do.
        """
        return self.tops.amax(dim=-1)

    @torch.no_grad()
    def normalised(
        self, indices: Int[Tensor, " b"], targets: Int[Tensor, " b"], *, eps: float = 1e-8
    ) -> Float[Tensor, "*shape b"]:
        """The average of each sample as a share of the largest of its class, 0 to 1.

        Args:
            indices: 0 to s - 1.
            targets: class of each sample, 0 to n - 1.
            eps: smallest maximum to divide by; a class whose losses are all 0 has shares of 0.
        """
        maxima = self.class_maxima().clamp_(min=eps)
        return self.losses.index_select(-1, indices) / maxima.index_select(-1, targets)

    def _look_at(self, blocks: Int[Tensor, " k"]) -> None:
        """Find the largest averages of blocks anew, since they come down as losses do."""
        rows = blocks[:, None] * self._block + torch.arange(self._block, device=blocks.device)
        flat = rows.clamp_(max=len(self.seen) - 1).flatten()
        losses = self.losses.index_select(-1, flat).view(*self.losses.shape[:-1], *rows.shape)
        # What was never seen has 0, which leaves the maximum of any class as it is.
        classes = self.targets.index_select(0, flat).clamp_(min=0).view(rows.shape).expand_as(losses)
        tops = losses.new_zeros(*losses.shape[:-1], self.num_classes).scatter_reduce_(-1, classes, losses, "amax")
        self.tops.index_copy_(-1, blocks, tops.transpose(-1, -2))


@torch.no_grad()
def _look_everywhere(averages: SampleLoss, _: object) -> None:
    averages._look_at(torch.arange(averages.tops.shape[-1], device=averages.tops.device))


def last_of_each(indices: Int[Tensor, " b"], num_samples: int) -> Int[Tensor, " b"]:
    """For each entry of a batch where its sample's last entry is, found without sorting.

    Args:
        indices: 0 to s - 1.
        num_samples: size of the training set (`s`).
    """
    places = indices.new_empty(num_samples)  # those of samples that are not in the batch are never read
    positions = torch.arange(len(indices), device=indices.device)
    return places.scatter_reduce_(0, indices, positions, "amax", include_self=False).index_select(0, indices)
