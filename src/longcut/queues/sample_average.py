"""A running average of the embedding of each sample of the training set: the memory bank of InsDis."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional


class SampleAverage(nn.Module):
    """For each sample an exponential average of its embeddings, as a unit vector without gradient.

    It starts with random unit vectors. All state is in a persistent buffer, so a checkpoint holds it. Nothing here
    waits for the device.

    Args:
        num_samples: size of the training set (`s`).
        dim: length of an embedding (`d`).
        momentum: share of the old average in the new one.

    Raises:
        ValueError: a size is below 1, or the momentum is not in [0, 1).

    Source:
        Wu et al., "Unsupervised feature learning via non-parametric instance discrimination" (CVPR 2018), section 3.
    """

    embeddings: Float[Tensor, "s d"]

    def __init__(self, num_samples: int, dim: int, momentum: float = 0.5) -> None:
        super().__init__()
        if min(num_samples, dim) < 1:
            raise ValueError(f"a SampleAverage needs sizes of at least 1, not {num_samples} x {dim}")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1, not {momentum}")
        self.momentum = momentum
        self.register_buffer("embeddings", functional.normalize(torch.randn(num_samples, dim), dim=1))

    def read(self, indices: Int[Tensor, " b"]) -> Float[Tensor, "b d"]:
        """The average of each sample, as a copy that a later push leaves alone."""
        return self.embeddings[indices]

    @torch.no_grad()
    def push(self, embeddings: Float[Tensor, "b d"], indices: Int[Tensor, " b"]) -> None:
        """Move the average of each sample towards its embedding.

        Args:
            embeddings: of any length.
            indices: 0 to s - 1; where one occurs twice, the last embedding of the batch counts.
        """
        unit = functional.normalize(embeddings.detach().to(self.embeddings.dtype), dim=1)
        averages = torch.lerp(unit, self.embeddings[indices], self.momentum)
        order = indices.argsort(stable=True)
        last = order[torch.searchsorted(indices[order], indices, right=True) - 1]
        self.embeddings[indices] = functional.normalize(averages, dim=1)[last]

    def similarities(self, queries: Float[Tensor, "b d"], candidates: Int[Tensor, " k"]) -> Float[Tensor, "b k"]:
        """Cosine of each query to the average of each candidate, with gradient for the queries.

        In float32 whatever the autocast. The candidates are copied first: a later push leaves the gradient alone.

        Args:
            queries: embeddings, of any length.
            candidates: samples, 0 to s - 1, the same for every query.
        """
        with torch.autocast(queries.device.type, enabled=False):
            queries = functional.normalize(queries.to(self.embeddings.dtype), dim=1)
            return queries @ self.read(candidates).T
