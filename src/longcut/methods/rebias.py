"""ReBias: be independent of a network that can only see the bias.

Hyojin Bahng, Sanghyuk Chun, Sangdoo Yun, Jaegul Choo, Seong Joon Oh. "Learning de-biased representations with biased
representations", ICML 2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from longcut.core import Batch, Method
from longcut.core.distributed import gather
from longcut.core.features import feature_dim
from longcut.losses.hsic import hsic, median_distance
from longcut.methods.gathered import gather_with_gradient

MIN_SAMPLES = 4
"""How many images HSIC compares at least."""


class ReBias(Method):
    """A minimax game of two networks: the biased one follows the other's features, the other one flees.

    The biased network is of a kind that can express the bias and little else, as one with a small receptive field,
    which sees textures and no shapes. No bias labels are needed. Each batch gives two steps, first of the biased
    network, then of the other one against what the first has become; each takes the other's features without gradient.

    Args:
        backbone: images to pooled features.
        biased_backbone: the same, of a kind that sees the bias.
        num_classes: size of both linear heads.
        batch_size: images of a step, over all processes, which the dependence needs four of; 0 where it is not known.
        weight: lambda of the dependence that the debiased network minimises.
        biased_weight: lambda of the dependence that the biased network maximises.
        sigma: width of both kernels, or "median": each network's median distance between the features of the batch.
    """

    def __init__(
        self,
        backbone: nn.Module,
        biased_backbone: nn.Module,
        *,
        num_classes: int,
        batch_size: int = 0,
        weight: float = 1.0,
        biased_weight: float = 1.0,
        sigma: float | Literal["median"] = 1.0,
    ) -> None:
        super().__init__()
        if 0 < batch_size < MIN_SAMPLES:
            raise ValueError(f"hsic compares at least {MIN_SAMPLES} images, not {batch_size}: take a larger batch_size")
        if sigma != "median" and not (isinstance(sigma, float | int) and sigma > 0):
            raise ValueError(f"sigma must be positive or 'median', not {sigma!r}")
        self.backbone = backbone
        self.head = nn.Linear(feature_dim(backbone), num_classes)
        self.biased_backbone = biased_backbone
        self.biased_head = nn.Linear(feature_dim(biased_backbone), num_classes)
        self.weight, self.biased_weight, self.sigma = weight, biased_weight, sigma

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """Terms: `biased_cross_entropy` and `biased_dependence`, then `cross_entropy` and `dependence` (weighted)."""
        # The first step leaves this network as it is: its pass serves both.
        features = self.encode(batch.images)
        biased = self.biased_backbone(batch.images)
        yield {
            "biased_cross_entropy": functional.cross_entropy(self.biased_head(biased), batch.targets),
            "biased_dependence": -self.biased_weight * self._dependence(biased, gather(features)),
        }
        with torch.no_grad():
            biased = self.biased_backbone(batch.images)
        yield {
            "cross_entropy": functional.cross_entropy(self.classify(features), batch.targets),
            "dependence": self.weight * self._dependence(features, gather(biased)),
        }

    def encode(self, images: Tensor) -> Tensor:
        """Pooled features of the debiased backbone."""
        features: Tensor = self.backbone(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Logits of the debiased network's head."""
        logits: Tensor = self.head(features)
        return logits

    def remarks(self) -> tuple[str, ...]:
        """That both networks are alike: then the biased one can express whatever the other one can."""
        if _architecture(self.backbone) != _architecture(self.biased_backbone):
            return ()
        return (
            "both networks are of one architecture, so the biased one can learn all that the other one can: name one "
            "with a small receptive field as backbone.biased, such as bagnet18 or convnet4_k1",
        )

    def _dependence(self, own: Tensor, others: Tensor) -> Tensor:
        """HSIC over the global batch, of which each process computes the whole."""
        own = gather_with_gradient(own)
        return hsic(own, others, self._width(own), self._width(others))

    def _width(self, features: Tensor) -> float | Tensor:
        return median_distance(features) if isinstance(self.sigma, str) else self.sigma


def _architecture(network: nn.Module) -> tuple[type[nn.Module], list[tuple[int, ...]]]:
    """Its class, and the shapes of its parameters, which tell networks of one class apart."""
    return type(network), [tuple(parameter.shape) for parameter in network.parameters()]
