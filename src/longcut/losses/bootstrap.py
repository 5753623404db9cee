"""BYOL's loss: the distance of what one network predicts to what another one sees."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from longcut.losses.contrast import cosine


def bootstrap(online: Float[Tensor, "b d"], target: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
    r"""Squared distance of two embeddings as unit vectors.

    .. math:: \left\| \frac{p}{\|p\|} - \frac{z}{\|z\|} \right\|^2 = 2 - 2 \cos(p, z)

    Computed in float32 at least, whatever the autocast. Both get a gradient: detach the target where it is a
    momentum network's.

    Args:
        online: predictions of the online network, of any length.
        target: projections of the target network, of any length.

    Returns:
        One value per sample, 0 to 4.

    Source:
        Grill et al., "Bootstrap your own latent" (NeurIPS 2020), equation 2.
    """
    return 2 - 2 * cosine(online, target)
