"""Grad-CAM: for heads that are more than a linear layer on the mean over the map."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from longcut.attribution.class_activation import evidence


def grad_cam(
    features: Float[Tensor, "b d y x"],
    logits_of: Callable[[Float[Tensor, "b d y x"]], Float[Tensor, "b n"]],
    targets: Int[Tensor, " b"],
) -> Float[Tensor, "b y x"]:
    """How much each place of a map speaks for a class, by the gradient of its logit.

    Args:
        features: maps before pooling.
        logits_of: what the classifier makes of maps; each image's logits must depend on its own map alone.
        targets: the class that each map is read for.

    Returns:
        From 0 to 1, the maximum of each map being 1; a map without evidence for its class stays zero. In float32 at
        least, without gradient; no graph is kept and no parameter gets a gradient.

    Source:
        Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via gradient-based localization" (ICCV
        2017), equations 1 and 2.
    """
    with torch.enable_grad():
        maps = features.detach().requires_grad_()
        logits = logits_of(maps).gather(1, targets[:, None])
        (gradient,) = torch.autograd.grad(logits.sum(), maps)
    return evidence(features, gradient.mean(dim=(2, 3)))
