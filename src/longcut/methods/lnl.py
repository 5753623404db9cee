"""LNL: unlearn the colours that can be read from the features.

Byungju Kim, Hyunwoo Kim, Kyungsu Kim, Sungjin Kim, Junmo Kim. "Learning not to learn: Training deep neural networks
with biased data", CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from longcut.core import Batch, Method
from longcut.core.distributed import gather, world_size
from longcut.core.features import check_feature_map, feature_dim, feature_map, pool
from longcut.losses.mass import at_least_float32
from longcut.methods.checks import check_counts

CHANNELS = 3


class LNL(Method):
    """Cross-entropy, and an adversary that reads each place's colour in the map of features.

    The colours are read off the images themselves, so it needs no bias labels: the bias must be colour. For each
    channel the adversary tells in which of some bins the place's value lies, between the lowest and the highest of the
    batch. A value at the lowest itself is black, as the ground on which coloured digits lie, and is left out.

    The adversary's gradient reaches the features reversed, and further the features raise the entropy of what it says.

    Args:
        backbone: images to pooled features of a spatial map.
        num_classes: size of the linear head.
        bins: how many a channel's values are sorted into.
        weight: of the reversed gradient.
        entropy_weight: lambda, of the entropy.
        two_steps: as the authors' code, the adversary and its reversed gradient get a step of their own, after the
            other terms' and with a pass of its own; else all are of one step.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        num_classes: int,
        bins: int = 8,
        weight: float = 0.1,
        entropy_weight: float = 0.01,
        two_steps: bool = False,
    ) -> None:
        super().__init__()
        check_feature_map(backbone, "lnl")
        check_counts(bins=bins)
        dim = feature_dim(backbone)
        self.backbone = backbone
        self.head = nn.Linear(dim, num_classes)
        self.bias_head = nn.Conv2d(dim, CHANNELS * bins, 1)
        self.bins, self.weight, self.entropy_weight, self.two_steps = bins, weight, entropy_weight, two_steps

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """Terms: `cross_entropy`, `negative_entropy` (weighted) and `bias_cross_entropy` of the adversary."""
        features = feature_map(self.backbone, batch.images)
        logits = self.classify(pool(self.backbone, features))
        terms = {
            "cross_entropy": functional.cross_entropy(logits, batch.targets),
            "negative_entropy": self.entropy_weight * self._negative_entropy(features),
        }
        if self.two_steps:
            yield terms
            features, terms = feature_map(self.backbone, batch.images), {}
        colours = sort_colours(batch.images, features.shape[2], features.shape[3], self.bins)
        terms["bias_cross_entropy"] = self._bias_loss(_Reversed.apply(features, self.weight), colours)
        yield terms

    def encode(self, images: Tensor) -> Tensor:
        """Pooled features of the backbone."""
        features: Tensor = self.backbone(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Logits of the linear head."""
        logits: Tensor = self.head(features)
        return logits

    def _negative_entropy(self, features: Float[Tensor, "b d y x"]) -> Tensor:
        """Mean over places and channels, with gradient for the features and not for the adversary."""
        weight, bias = self.bias_head.weight.detach(), self.bias_head.bias
        logits = functional.conv2d(features, weight, None if bias is None else bias.detach())
        # Near its maximum the entropy's gradient is a difference of nearly equal numbers: not in half precision.
        logs = functional.log_softmax(at_least_float32(self._by_channel(logits)), dim=-1)
        return (logs.exp() * logs).sum(dim=-1).mean()

    def _bias_loss(self, features: Float[Tensor, "b d y x"], colours: Int[Tensor, "b 3 y x"]) -> Tensor:
        """Of each channel the mean over the places of the global batch that count, and their sum."""
        logits = self._by_channel(self.bias_head(features)).flatten(end_dim=-2)
        losses = functional.cross_entropy(logits, colours.flatten(), ignore_index=-1, reduction="none")
        counts = gather((colours != -1).sum(dim=(0, 2, 3))[None]).sum(dim=0)
        sums = losses.view(colours.shape).sum(dim=(0, 2, 3))
        return (sums * world_size() / counts.clamp(min=1)).sum()

    def _by_channel(self, logits: Float[Tensor, "b channels_bins y x"]) -> Float[Tensor, "b 3 y x bins"]:
        return logits.unflatten(1, (CHANNELS, self.bins)).movedim(2, -1)


@torch.no_grad()
def sort_colours(images: Float[Tensor, "b 3 h w"], height: int, width: int, bins: int) -> Int[Tensor, "b 3 y x"]:
    """The bin of each channel at each place of a smaller map.

    Args:
        images: normalised or not.
        height: of the map.
        width: of the map.
        bins: equal parts between the channel's lowest and highest value of the global batch.

    Returns:
        0 to `bins - 1`; -1 where the value is the lowest: black.
    """
    lowest = gather(images.amin(dim=(0, 2, 3))[None]).amin(dim=0)[:, None, None]
    highest = gather(images.amax(dim=(0, 2, 3))[None]).amax(dim=0)[:, None, None]
    # The pixel in the middle of each place, as Pillow's nearest; torch's plain "nearest" is the one in its corner.
    values = functional.interpolate(images, size=(height, width), mode="nearest-exact")
    shares = (values - lowest) / (highest - lowest).clamp(min=1e-6)
    sorted_values = (shares * bins).long().clamp(max=bins - 1)
    return torch.where(values <= lowest, -1, sorted_values)


class _Reversed(torch.autograd.Function):
    """The tensor as it is; its gradient negative and weighted (Ganin and Lempitsky, ICML 2015)."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * -ctx.weight, None
