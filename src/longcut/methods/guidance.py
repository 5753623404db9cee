"""Which places of a feature map are intrinsic, and not yet exploited: the guidance of Park et al.

Jeonghoon Park, Chaeyeon Chung, Jaegul Choo. "Enhancing intrinsic features for debiasing via investigating
class-discerning common attributes in bias-contrastive pair", CVPR 2024. Equations 4 to 6.
All of it is a constant of the step: nothing here has a gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Guidance(NamedTuple):
    """What a pair of images says of the places of the first one's map, and each step on the way there."""

    exploitation: Float[Tensor, "b y x"]
    """E(z): how much each place speaks for the class already."""
    partner_exploitation: Float[Tensor, "b y x"]
    """E of the partner, at the partner's own places."""
    common: Float[Tensor, "b y x"]
    """c(z): how much each place has in common with a place of the partner; at most 1."""
    relative: Float[Tensor, "b y x"]
    """r(z): above 1 where the partner exploits its place more."""
    weight: Float[Tensor, "b y x"]
    """IE(z): at least 1."""


@torch.no_grad()
def common_feature_score(
    features: Float[Tensor, "b d y x"], partner: Float[Tensor, "b d y x"]
) -> tuple[Float[Tensor, "b y x"], Int[Tensor, "b n"]]:
    """How similar each place is to the most similar place of the partner, by the dot product (equation 4).

    Args:
        features: z, maps of the images.
        partner: maps of their partners.

    Returns:
        c, at most 1, and 0 throughout where no two places have a positive product; and for each of the `n = y x` places
        the partner's most similar one, i*. In float32 at least.
    """
    with torch.autocast(features.device.type, enabled=False):
        dtype = torch.promote_types(features.dtype, torch.float32)
        products = torch.bmm(partner.flatten(2).to(dtype).transpose(1, 2), features.flatten(2).to(dtype))
    best, matches = products.max(dim=1)
    top = best.amax(dim=1, keepdim=True)
    common = torch.where(top > 0, best / top.where(top > 0, 1), 0)
    return common.reshape(len(features), *features.shape[2:]), matches


@torch.no_grad()
def relative_exploitation(
    exploitation: Float[Tensor, "b n"], partner_at_match: Float[Tensor, "b n"], tau: float = 1.0
) -> Float[Tensor, "b n"]:
    """How much more the partner exploits the matching place (equation 5): from 0 to 2 to the power of tau.

    Args:
        exploitation: E(z), of each place.
        partner_at_match: E of the partner, at the place that is most similar to it.
        tau: amplification factor.

    Returns:
        r; 1 where neither exploits its place, which the paper leaves undefined.
    """
    total = partner_at_match + exploitation
    ratio = 2 * partner_at_match / total.where(total > 0, 1)
    return torch.where(total > 0, ratio**tau, 1)


def intrinsic_weight(common: Float[Tensor, "b y x"], relative: Float[Tensor, "b y x"]) -> Float[Tensor, "b y x"]:
    """IE (equation 6): their product, and no less than 1."""
    return (common * relative).clamp(min=1)


def compare(
    features: Float[Tensor, "b d y x"],
    partner: Float[Tensor, "b d y x"],
    exploitation: Float[Tensor, "b y x"],
    partner_exploitation: Float[Tensor, "b y x"],
    tau: float = 1.0,
) -> Guidance:
    """Equations 4 to 6, from explanation maps that are already there.

    Args:
        features: z, maps of the images.
        partner: maps of their partners, of the same class.
        exploitation: E(z), with a maximum of 1.
        partner_exploitation: E of the partner.
        tau: amplification factor.
    """
    common, matches = common_feature_score(features, partner)
    at_match = partner_exploitation.flatten(1).gather(1, matches)
    relative = relative_exploitation(exploitation.flatten(1), at_match, tau).reshape_as(common)
    return Guidance(exploitation, partner_exploitation, common, relative, intrinsic_weight(common, relative))
