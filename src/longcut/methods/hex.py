"""HEX: project out of the logits what texture alone explains.

Haohan Wang, Zexue He, Zachary Lipton, Eric Xing. "Learning robust representations by projecting superficial statistics
out", ICLR 2019. Equations 3 and 4.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional

from longcut.core import Batch, Method
from longcut.core.features import check_feature_map, feature_dim
from longcut.losses.projection import project_out
from longcut.methods.co_occurrence import CoOccurrence
from longcut.methods.gathered import gather_with_gradient, own_rows


class HEX(Method):
    """Train on logits orthogonal to those of a descriptor of texture, predict without that descriptor.

    One matrix gives the logits F_A of the network's features and the texture's, F_P of the former alone and F_G of the
    latter alone. It has no bias, which is a part of F_G and so would be projected out. The superficial statistics are
    those of an image's texture, against which a convolutional network's features stand: others are refused.

    Args:
        backbone: images to pooled features of a spatial map.
        num_classes: how many logits there are.
        ridge: share of the mean of its diagonal that is added to F_G^T F_G before it is inverted.
        levels: grey levels of the co-occurrence matrix.
        dim: length of the descriptor of texture.
    """

    def __init__(
        self, backbone: nn.Module, *, num_classes: int, ridge: float = 1e-4, levels: int = 16, dim: int = 32
    ) -> None:
        super().__init__()
        check_feature_map(backbone, "hex")
        if ridge <= 0:
            raise ValueError(f"ridge must be positive, not {ridge}")
        self.backbone = backbone
        self.head = nn.Linear(feature_dim(backbone), num_classes, bias=False)
        self.texture = CoOccurrence(levels, dim)
        self.texture_head = nn.Linear(dim, num_classes, bias=False)
        self.ridge = ridge

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """One term: `projected_cross_entropy`, of F_L."""
        logits_bias = self.texture_head(self.texture(batch.images))  # F_G: the matrix's rows of the texture
        logits_all = self(batch.images) + logits_bias  # F_A; equation 3
        projected = project_out(gather_with_gradient(logits_all), gather_with_gradient(logits_bias), self.ridge)
        yield {"projected_cross_entropy": functional.cross_entropy(own_rows(projected), batch.targets)}

    def encode(self, images: Tensor) -> Tensor:
        """Pooled features of the backbone."""
        features: Tensor = self.backbone(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """F_P: logits of the matrix with nothing in the texture's place."""
        logits: Tensor = self.head(features)
        return logits
