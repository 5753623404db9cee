"""HSIC: how much two sets of features of the same images depend on each other."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from longcut.losses.mass import at_least_float32


def hsic(
    one: Float[Tensor, "b d"],
    two: Float[Tensor, "b e"],
    sigma_one: float | Tensor = 1.0,
    sigma_two: float | Tensor = 1.0,
) -> Tensor:
    r"""Hilbert-Schmidt independence criterion, the estimator without bias.

    With Gaussian kernels :math:`e^{-\|x - y\|^2 / 2 \sigma^2}` whose diagonals are zero,

    .. math:: \frac{1}{m(m-3)} \left[ \mathrm{tr}(KL) + \frac{1^T K 1\, 1^T L 1}{(m-1)(m-2)} - \frac{2}{m-2} 1^T KL 1
        \right]

    Its mean over independent features is 0, so a batch's value can be negative. Computed in float32 at least, whatever
    the autocast.

    Args:
        one: features of each image.
        two: other features of the same images, of any length.
        sigma_one: width of the kernel on the first.
        sigma_two: width of the kernel on the second.

    Returns:
        A scalar.

    Raises:
        ValueError: there are fewer than four images.

    Source:
        Song et al., "Feature selection via dependence maximization" (JMLR 2012), the unbiased estimator.
    """
    m = len(one)
    if m < 4:
        raise ValueError(f"hsic compares at least 4 samples, not {m}: take a larger batch_size")
    with torch.autocast(one.device.type, enabled=False):
        kernels = _centred(_kernel(one, sigma_one)), _centred(_kernel(two, sigma_two))
        return (kernels[0] * kernels[1]).sum() / (m * (m - 3))


@torch.no_grad()
def median_distance(features: Float[Tensor, "b d"]) -> Tensor:
    """Median of the distances between all pairs: the usual width of a Gaussian kernel.

    Args:
        features: at least two.

    Returns:
        A scalar above 0, without gradient.
    """
    with torch.autocast(features.device.type, enabled=False):
        return torch.pdist(at_least_float32(features)).median().clamp(min=1e-6)


def _kernel(features: Tensor, sigma: float | Tensor) -> Tensor:
    features = at_least_float32(features)
    features = features - features.detach().mean(dim=0)  # what all have in common costs digits below
    squares = features.square().sum(dim=1)
    distances = (squares[:, None] + squares - 2 * features @ features.T).clamp(min=0)
    return torch.exp(-distances / (2 * sigma**2)) * _off_diagonal(distances)


def _centred(kernel: Tensor) -> Tensor:
    """U-centred (Székely and Rizzo, "Partial distance correlation", 2014).

    The sum of the products of two such matrices is the bracket of Song's formula, without differences of large sums.
    """
    m = len(kernel)
    rows = kernel.sum(dim=1) / (m - 2)
    centred = kernel - rows[:, None] - rows + rows.sum() / (m - 1)
    return centred * _off_diagonal(kernel)


def _off_diagonal(like: Tensor) -> Tensor:
    return 1 - torch.eye(len(like), dtype=like.dtype, device=like.device)
