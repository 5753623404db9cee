"""A first-in first-out queue of embeddings for each class: CLAD's dictionary of negatives."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional


class ClassQueue(nn.Module):
    """The newest `capacity` embeddings of each key, as unit vectors without gradient.

    All state is in persistent buffers, so a checkpoint holds it. Nothing here waits for the device.

    Args:
        num_classes: how many keys there are (`n`).
        capacity: how many embeddings each key keeps (`k`).
        dim: length of an embedding (`d`).

    Raises:
        ValueError: a size is below 1.

    Source:
        Wang et al., "CLAD" (BMVC 2022), section 3.2: filed by the class of the background.
    """

    embeddings: Float[Tensor, "n k d"]
    pointers: Int[Tensor, " n"]
    counts: Int[Tensor, " n"]

    def __init__(self, num_classes: int, capacity: int, dim: int) -> None:
        super().__init__()
        if min(num_classes, capacity, dim) < 1:
            raise ValueError(f"a ClassQueue needs sizes of at least 1, not {num_classes} x {capacity} x {dim}")
        self.register_buffer("embeddings", torch.zeros(num_classes, capacity, dim))
        self.register_buffer("pointers", torch.zeros(num_classes, dtype=torch.long))
        self.register_buffer("counts", torch.zeros(num_classes, dtype=torch.long))

    @torch.no_grad()
    def push(self, embeddings: Float[Tensor, "b d"], keys: Int[Tensor, " b"]) -> None:
        """Append each embedding to the queue of its key, in the order of the batch; the oldest ones fall out.

        Args:
            embeddings: of any length; stored as unit vectors.
            keys: 0 to n - 1.
        """
        capacity = self.embeddings.shape[1]
        order = keys.argsort(stable=True)
        arrivals = torch.zeros_like(self.counts).index_add_(0, keys, torch.ones_like(keys))
        starts = arrivals.cumsum(0) - arrivals
        rank = torch.empty_like(keys)
        rank[order] = torch.arange(len(keys), device=keys.device) - starts[keys[order]]

        # Where more arrive than fit, several ranks share a slot: each of them writes its last one's value.
        laps = (arrivals[keys] - 1 - rank) // capacity
        newest = order[starts[keys] + rank + laps * capacity]
        slots = (self.pointers[keys] + rank) % capacity
        unit = functional.normalize(embeddings.detach().to(self.embeddings.dtype), dim=1)
        self.embeddings[keys, slots] = unit[newest]

        self.pointers.copy_((self.pointers + arrivals) % capacity)
        self.counts.copy_((self.counts + arrivals).clamp(max=capacity))

    def read(self, keys: Int[Tensor, " b"]) -> tuple[Float[Tensor, "b k d"], Bool[Tensor, "b k"]]:
        """The queue of each key.

        Returns:
            The embeddings, in no order, and a mask that is False where a slot is not yet filled.
        """
        return self.embeddings[keys], self._filled(keys)

    def similarities(
        self, anchors: Float[Tensor, "b d"], keys: Int[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b k"], Bool[Tensor, "b k"]]:
        """Cosine of each anchor to every embedding in the queue of its key, with gradient for the anchors.

        A GPU gathers the queues, which costs no synchronisation; a CPU multiplies once for each key that occurs,
        which moves no queue at all. Both give the same numbers.

        Backward reads the queue on a CPU: push before this, or after backward, not between.

        Returns:
            The cosines, and a mask that is False where a slot is not yet filled.
        """
        with torch.autocast(anchors.device.type, enabled=False):
            anchors = functional.normalize(anchors.to(self.embeddings.dtype), dim=1)
            product = self._product_by_key if anchors.device.type == "cpu" else self._product_by_gather
            return product(anchors, keys), self._filled(keys)

    def _product_by_gather(self, anchors: Tensor, keys: Tensor) -> Tensor:
        return torch.einsum("bd,bkd->bk", anchors, self.embeddings[keys])

    def _product_by_key(self, anchors: Tensor, keys: Tensor) -> Tensor:
        if len(keys) == 0:
            return self._product_by_gather(anchors, keys)
        order = keys.argsort(stable=True)
        present, sizes = keys[order].unique_consecutive(return_counts=True)
        groups = anchors[order].split(sizes.tolist())
        products = [group @ self.embeddings[key].T for group, key in zip(groups, present.tolist(), strict=True)]
        return torch.cat(products)[order.argsort()]

    def _filled(self, keys: Tensor) -> Tensor:
        slots = torch.arange(self.embeddings.shape[1], device=keys.device)
        return slots < self.counts[keys][:, None]
