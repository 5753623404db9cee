"""One first-in first-out queue of embeddings that a whole batch shares: MoCo's dictionary of negatives."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional


class FeatureQueue(nn.Module):
    """The newest `capacity` embeddings, as unit vectors without gradient.

    It starts full, with random unit vectors, as MoCo's. All state is in persistent buffers, so a checkpoint holds it.
    Nothing here waits for the device.

    Args:
        capacity: how many embeddings are kept (`k`); any number, a batch need not divide it.
        dim: length of an embedding (`d`).

    Raises:
        ValueError: a size is below 1.

    Source:
        He et al., "Momentum contrast for unsupervised visual representation learning" (CVPR 2020), section 3.2.
    """

    embeddings: Float[Tensor, "k d"]
    pointer: Int[Tensor, ""]

    def __init__(self, capacity: int, dim: int) -> None:
        super().__init__()
        if min(capacity, dim) < 1:
            raise ValueError(f"a FeatureQueue needs sizes of at least 1, not {capacity} x {dim}")
        self.register_buffer("embeddings", functional.normalize(torch.randn(capacity, dim), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def push(self, embeddings: Float[Tensor, "b d"]) -> None:
        """Write over the oldest embeddings, in the order of the batch; of a batch of more than k stay the last k.

        A loss may still be waiting for its backward: neither what `similarities` gave nor `bank_mass` of
        `longcut.losses` reads this queue again.

        Args:
            embeddings: of any length; stored as unit vectors.
        """
        capacity, b = len(self.embeddings), len(embeddings)
        newest = embeddings.detach()[-capacity:].to(self.embeddings.dtype)
        order = torch.arange(b - len(newest), b, device=self.pointer.device)
        self.embeddings.index_copy_(0, (self.pointer + order) % capacity, functional.normalize(newest, dim=1))
        self.pointer.copy_((self.pointer + b) % capacity)

    def similarities(self, queries: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Cosine of each query to every embedding, with gradient for the queries, in float32 whatever the autocast.

        Where a gradient is needed it is that of a copy of the queue, which a later push leaves alone. For the plain
        loss, `bank_mass(queries, queue.embeddings, ...)` of `longcut.losses` is faster and makes no copy.

        Args:
            queries: embeddings, of any length.
        """
        with torch.autocast(queries.device.type, enabled=False):
            queries = functional.normalize(queries.to(self.embeddings.dtype), dim=1)
            kept = queries.requires_grad and torch.is_grad_enabled()
            return queries @ (self.embeddings.clone() if kept else self.embeddings).T
