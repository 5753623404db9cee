"""HEX's projection: what the logits of the whole have besides those of the superficial part."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from longcut.losses.mass import at_least_float32


def project_out(
    logits_all: Float[Tensor, "b n"], logits_bias: Float[Tensor, "b n"], ridge: float = 1e-4
) -> Float[Tensor, "b n"]:
    r"""The part of some logits that is orthogonal, over the batch, to others.

    .. math:: F_L = F_A - F_G (F_G^T F_G + r I)^{-1} F_G^T F_A

    A column is one class over the batch. The logits to be projected out span at most as many directions as there are
    classes and superficial features, and each takes one sample's worth of the batch: let the batch be much larger.
    Computed in float32 at least, whatever the autocast, and without waiting for the device.

    Args:
        logits_all: F_A, of all features.
        logits_bias: F_G, of the superficial ones.
        ridge: r as a share of the mean of the diagonal of F_G^T F_G, so that the result does not depend on the scale
            of F_G, as a projection does not. Where columns are dependent the matrix has no inverse without it.

    Returns:
        F_L.

    Raises:
        ValueError: the ridge is not positive.

    Source:
        Wang et al., "Learning robust representations by projecting superficial statistics out" (ICLR 2019), equation 4,
        without a ridge.
    """
    if ridge <= 0:
        raise ValueError(f"ridge must be positive, not {ridge}")
    with torch.autocast(logits_all.device.type, enabled=False):
        every, bias = at_least_float32(logits_all), at_least_float32(logits_bias)
        gram = bias.T @ bias
        strength = ridge * gram.detach().diagonal().mean().clamp(min=1e-12)
        regular = gram + strength * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        coefficients, _ = torch.linalg.solve_ex(regular, bias.T @ every)
        return every - bias @ coefficients
