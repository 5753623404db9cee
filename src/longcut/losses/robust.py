"""The generalized cross-entropy, which holds to what a network already believes."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from longcut.losses.mass import at_least_float32


def generalized_cross_entropy(
    logits: Float[Tensor, "b n"], targets: Int[Tensor, " b"], q: float = 0.7, *, authors_gce: bool = False
) -> Float[Tensor, " b"]:
    r"""Between the cross-entropy (q to 0) and the mean absolute error (q = 1).

    .. math:: L_q = \frac{1 - p_y^q}{q}, \qquad \nabla L_q = p_y^q \, \nabla L_{CE}

    A sample to whose label the network gives little probability has little gradient: noisy labels for Zhang and
    Sabuncu, bias-conflicting samples for LfF. Computed in float32 at least, whatever the autocast, and finite with its
    gradient where the probability underflows.

    Args:
        logits: of all classes.
        targets: labels, 0 to n - 1.
        q: above 0, at most 1.
        authors_gce: as LfF's published code, the cross-entropy times q p^q without the gradient of that factor: the
            gradient is q times that of the formula.

    Returns:
        One value per sample; of the formula 0 to 1 / q.

    Raises:
        ValueError: q is outside (0, 1].

    Source:
        Zhang and Sabuncu, "Generalized cross entropy loss for training deep neural networks with noisy labels"
        (NeurIPS 2018), section 3.2; Nam et al., "Learning from failure" (NeurIPS 2020), section 3.
    """
    check_exponent(q)
    losses = functional.cross_entropy(at_least_float32(logits), targets, reduction="none")
    if authors_gce:
        return q * torch.exp(-q * losses.detach()) * losses
    # p^q = e^(-q CE), and expm1 keeps the digits that 1 - p^q loses where it is near 0: with a small q, always.
    return -torch.expm1(-q * losses) / q


def check_exponent(q: float) -> None:
    """Refuse an exponent that the generalized cross-entropy has no use for.

    Raises:
        ValueError: it is not above 0 and at most 1.
    """
    if not 0 < q <= 1:
        raise ValueError(f"q must be above 0 and at most 1, not {q}; towards 0 it becomes the cross-entropy (erm)")
