"""EnD: entangle a class across biases, disentangle a bias.

Enzo Tartaglione, Carlo Alberto Barbano, Marco Grangetto. "EnD: Entangling and disentangling deep representations for
bias correction", CVPR 2021.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from longcut.core import Batch, Method
from longcut.core.distributed import gather
from longcut.core.features import feature_dim
from longcut.losses.entanglement import disentangling, entangling
from longcut.losses.mass import at_least_float32
from longcut.methods.bias_labels import check_bias_labels
from longcut.methods.gathered import gather_with_gradient


class EnD(Method):
    """Cross-entropy, and two regularisers on the cosines between the features of the global batch.

    A sample whose bias is not known, -1, is classified and is in no pair.

    Args:
        backbone: images to pooled features, on which the regularisers are.
        num_classes: size of the linear head.
        num_bias: how many values the bias has.
        alpha: of the term that makes features of one bias orthogonal.
        beta: of the term that makes features of one class and different biases parallel.
        authors_pairs: leave out the pairs that the authors' code does, about half of the parallel term's.
        authors_bottleneck: as the authors' code, the backbone's last ReLU becomes a hyperbolic tangent, and the head
            reads the features divided by their length.

    Raises:
        ValueError: the bias is not labelled, or the backbone has no ReLU that could be replaced.
    """

    needs = frozenset({"bias"})

    def __init__(
        self,
        backbone: nn.Module,
        *,
        num_classes: int,
        num_bias: int,
        alpha: float = 0.1,
        beta: float = 0.1,
        authors_pairs: bool = False,
        authors_bottleneck: bool = False,
    ) -> None:
        super().__init__()
        check_bias_labels(num_bias, "EnD")
        if authors_bottleneck:
            _put_tanh_last(backbone)
        self.backbone = backbone
        self.head = nn.Linear(feature_dim(backbone), num_classes)
        self.alpha, self.beta = alpha, beta
        self.authors_pairs, self.authors_bottleneck = authors_pairs, authors_bottleneck

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """Terms: `cross_entropy`, `disentangling` and `entangling` (weighted)."""
        batch.require(self.needs, "EnD")
        assert batch.bias is not None
        features = self.encode(batch.images)
        similarities, targets, bias = _cosines(features), gather(batch.targets), gather(batch.bias)
        entangled = entangling(similarities, targets, bias, authors_pairs=self.authors_pairs)
        yield {
            "cross_entropy": functional.cross_entropy(self.classify(features), batch.targets),
            "disentangling": self.alpha * disentangling(similarities, bias),
            "entangling": self.beta * entangled,
        }

    def encode(self, images: Tensor) -> Tensor:
        """Pooled features of the backbone."""
        features: Tensor = self.backbone(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Logits of the linear head, of the features as they are or, as the authors' code, of their directions."""
        if self.authors_bottleneck:
            features = functional.normalize(at_least_float32(features), dim=1)
        logits: Tensor = self.head(features)
        return logits


def _cosines(features: Float[Tensor, "b d"]) -> Float[Tensor, "k k"]:
    """Of all pairs of the global batch, with gradient for both of a pair: each process computes the whole."""
    with torch.autocast(features.device.type, enabled=False):
        units = gather_with_gradient(functional.normalize(at_least_float32(features), dim=1))
        return units @ units.T


def _put_tanh_last(backbone: nn.Module) -> None:
    """Replace the ReLU that comes last, so that cosines of the features can be negative."""
    names = [name for name, module in backbone.named_modules() if isinstance(module, nn.ReLU)]
    if not names:
        raise ValueError(
            f"authors_bottleneck replaces the last nn.ReLU of a network, and {type(backbone).__name__} has none: take "
            "convnet4 or resnet18"
        )
    backbone.set_submodule(names[-1], nn.Tanh())
