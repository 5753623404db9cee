"""NGLCM: a grey-level co-occurrence matrix that can be learnt, a descriptor of texture."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from longcut.methods.checks import check_counts


class CoOccurrence(nn.Module):
    r"""Which grey levels are beside which, and a layer on that.

    A grey level is passed softly, by a ramp that begins at a threshold which is learnt: with the pixels
    :math:`x \in [0, \text{levels}]` and their neighbours' :math:`y`,

    .. math:: M_{kl} = \frac{1}{|x|} \sum_i \min(\max(x_i - \theta_k, 0), 1) \min(\max(y_i - \lambda_l, 0), 1)

    So :math:`M` is the joint distribution of neighbours, summed up from above. Grey is the mean of the channels, and
    each image's lies between its own darkest and its own brightest: an image's descriptor does not depend on others.

    Args:
        levels: how many thresholds there are, for pixels and for neighbours.
        dim: length of the descriptor.

    Source:
        Wang et al., "Learning robust representations by projecting superficial statistics out" (ICLR 2019); in its code
        y is the neighbour's difference to the pixel, and the sum is not divided.
    """

    def __init__(self, levels: int, dim: int) -> None:
        super().__init__()
        check_counts(levels=levels, dim=dim)
        self.levels = levels
        self.thresholds = nn.Parameter(torch.arange(levels, dtype=torch.float32))
        self.neighbour_thresholds = nn.Parameter(torch.arange(levels, dtype=torch.float32))
        self.layer = nn.Linear(levels**2, dim)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Descriptor of each image, from pixels and their neighbours to the right."""
        grey = images.mean(dim=1)
        darkest, brightest = grey.amin(dim=(1, 2), keepdim=True), grey.amax(dim=(1, 2), keepdim=True)
        grey = (grey - darkest) / (brightest - darkest).clamp(min=1e-6) * self.levels
        pixels, neighbours = grey[:, :, :-1].flatten(1), grey[:, :, 1:].flatten(1)
        with torch.autocast(images.device.type, enabled=False):  # a sum over all pixels is beyond half precision
            passed = _ramps(pixels, self.thresholds) @ _ramps(neighbours, self.neighbour_thresholds).mT
        descriptor: Tensor = self.layer(passed.flatten(1) / pixels.shape[1])
        return functional.relu(descriptor)


def _ramps(values: Float[Tensor, "b p"], thresholds: Float[Tensor, " k"]) -> Float[Tensor, "b k p"]:
    return (values[:, None] - thresholds[:, None]).clamp(0, 1)
