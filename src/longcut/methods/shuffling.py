"""Keys whose BatchNorm statistics tell nothing of their queries."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from longcut.core.distributed import gather, world_size
from longcut.methods.checks import check_counts
from longcut.methods.gathered import own_rows


class SplitBatchNorm(nn.BatchNorm2d):
    """BatchNorm whose statistics, in training, are those of each of several equal parts of the batch.

    One process behaves as several would, each with its part. The running statistics move by the mean over the parts.

    Source:
        He et al., "Momentum contrast" (CVPR 2020), section 3.3; parts of one batch as in the authors' small-image
        recipe.
    """

    def __init__(self, norm: nn.BatchNorm2d, splits: int) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine)
        self.to(norm.get_buffer("running_mean"))
        self.load_state_dict(norm.state_dict())
        self.splits = splits

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Normalise each part of the batch by itself.

        Raises:
            ValueError: the batch has no equal parts.
        """
        if not self.training:
            return super().forward(input)
        if len(input) % self.splits:
            raise ValueError(f"batch_norm_splits={self.splits} does not divide a batch of {len(input)} images")
        mean, variance = self.get_buffer("running_mean"), self.get_buffer("running_var")
        means, variances = mean.repeat(self.splits, 1), variance.repeat(self.splits, 1)
        momentum = self.momentum or 0.0
        parts = [
            functional.batch_norm(part, m, v, self.weight, self.bias, True, momentum, self.eps)
            for part, m, v in zip(input.chunk(self.splits), means, variances, strict=True)
        ]
        mean.copy_(means.mean(0))
        variance.copy_(variances.mean(0))
        self.get_buffer("num_batches_tracked").add_(1)
        return torch.cat(parts)


def split_batch_norm(network: nn.Module, splits: int) -> None:
    """Have every BatchNorm2d of a network take its statistics from parts of the batch; its state is named as before.

    Raises:
        ValueError: fewer than one part, or a network without a BatchNorm2d that keeps a moving average.
    """
    check_counts(batch_norm_splits=splits)
    if splits == 1:
        return
    norms = [
        (name, module)
        for name, module in network.named_modules()
        if type(module) is nn.BatchNorm2d and module.track_running_stats and module.momentum is not None
    ]
    if not norms:
        raise ValueError(f"batch_norm_splits={splits} needs BatchNorm2d, and {type(network).__name__} has none")
    for name, norm in norms:
        network.set_submodule(name, SplitBatchNorm(norm, splits))


def global_permutation(count: int, device: torch.device) -> Tensor:
    """A permutation of `count` samples, the same on every process."""
    order = torch.randperm(count, device=device)
    if world_size() > 1:
        dist.broadcast(order, 0)
    return order


def encode_shuffled(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Pass the global batch through a network in an order that is drawn anew, and put the result back in order.

    Each process gets images of all the others, so the statistics of its BatchNorm are not those of its queries.

    Args:
        network: images to embeddings; its gradients do not pass.
        images: `[b, c, h, w]`, this process's.

    Returns:
        `[world * b, d]`, those of all processes in the order of their ranks.
    """
    everyones = gather(images)
    order = global_permutation(len(everyones), images.device)
    embeddings = gather(network(everyones[own_rows(order)]))
    return embeddings[order.argsort()]
