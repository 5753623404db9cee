"""A network that normalises its images itself."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from longcut.data.loader import Normalisation


class Normalised(nn.Module):
    """A network behind `(x - mean) / std`, per channel, for images in 0 to 1.

    Args:
        network: of normalised images.
        normalisation: of its images.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(normalisation.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(normalisation.std).view(1, 3, 1, 1))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n"]:
        """Logits of images in 0 to 1."""
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits
