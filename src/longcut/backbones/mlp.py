"""Multi-layer perceptrons for small images: over all pixels, and over the mean colour alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

DEFAULT_SIZE = 28


def _layers(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers, each with ReLU; their weights are torch's defaults, as the papers' are."""
    return nn.Sequential(*(layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU(inplace=True))))


class Mlp(nn.Module):
    """Fully connected layers over all pixels, for colored MNIST (`mlp`, `mlp16`).

    Nam et al., "Learning from failure: training debiased classifier from biased classifier" (NeurIPS 2020): three
    hidden layers of 100. Lee et al., "Learning debiased representation via disentangled feature augmentation" (NeurIPS
    2021) have 16 features, of which two networks' are put together. Both papers' code divides pixels by 255 once more
    than it says; here that is `data.mean = [0, 0, 0]` with `data.std = [255, 255, 255]`.

    It has no map of features.

    Args:
        image_size: side of the images in pixels; it takes no others.
        widths: of each layer; the last is the number of features.
    """

    has_feature_map = False

    def __init__(self, image_size: int = DEFAULT_SIZE, widths: Sequence[int] = (100, 100, 100)) -> None:
        super().__init__()
        self.image_size = image_size
        self.num_features = widths[-1]
        self.layers = _layers((3 * image_size**2, *widths))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Features.

        Raises:
            ValueError: the images have another size than the network.
        """
        if images.shape[1:] != (3, self.image_size, self.image_size):
            raise ValueError(
                f"this network takes images of {self.image_size} px, not {[*images.shape[1:]]}: set image_size"
            )
        # Pixel by pixel, as batches lie in memory: nothing is copied, and the memory's format changes no result.
        return self.layers(images.permute(0, 2, 3, 1).flatten(1))


class MeanColourMlp(nn.Module):
    """Fully connected layers over an image's mean colour (`mlp_colour`): biased by design, for it sees no shape.

    After the idea of Bahng et al. (ICML 2020) that a network's architecture bounds what it can be biased by. It takes
    images of any size and has no map of features.

    Args:
        widths: of each layer; the last is the number of features.
    """

    has_feature_map = False

    def __init__(self, widths: Sequence[int] = (100, 100)) -> None:
        super().__init__()
        self.num_features = widths[-1]
        self.layers = _layers((3, *widths))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Features."""
        return self.layers(images.mean(dim=(2, 3)))
