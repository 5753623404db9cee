"""Class activation maps: Grad-CAM's closed form, where a linear head reads the mean over the map."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from longcut.core.features import pool


def class_activation(
    features: Float[Tensor, "b d y x"], weight: Float[Tensor, "n d"], targets: Int[Tensor, " b"]
) -> Float[Tensor, "b y x"]:
    """How much each place of a map speaks for a class, where the logits are linear in the mean over the map.

    There Grad-CAM's weight of a channel is the head's own, divided by the number of places: after division by the
    maximum the two are the same map, and this one needs no backward pass.

    Args:
        features: maps before pooling.
        weight: of the linear head; its bias says nothing of places.
        targets: the class that each map is read for, 0 to n - 1.

    Returns:
        From 0 to 1, the maximum of each map being 1; a map without evidence for its class stays zero. In float32 at
        least, without gradient.

    Source:
        Zhou et al., "Learning deep features for discriminative localization" (CVPR 2016), equation 2, with Grad-CAM's
        ReLU (Selvaraju et al., ICCV 2017, equation 2).
    """
    return evidence(features, weight.detach()[targets])


@torch.no_grad()
def evidence(features: Float[Tensor, "b d y x"], weights: Float[Tensor, "b d"]) -> Float[Tensor, "b y x"]:
    """The positive part of the weighted sum over channels, divided by each map's maximum.

    Args:
        features: maps before pooling.
        weights: one for each channel of each map.
    """
    with torch.autocast(features.device.type, enabled=False):
        dtype = torch.promote_types(features.dtype, torch.float32)
        sums = torch.bmm(weights.to(dtype)[:, None], features.flatten(2).to(dtype))
    maps = functional.relu(sums).reshape(len(features), *features.shape[2:])
    # Where a map is all zero, zero divided by the smallest number stays zero.
    return maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(dtype).tiny)


@torch.no_grad()
def pools_by_mean(backbone: nn.Module) -> bool:
    """Whether a backbone's pooled features are the mean over its map, so that the closed form applies.

    It is tried out on made maps: small networks and timm's ResNets pool by the mean, others have a normalisation or
    further layers behind it, which may change nothing only as long as they are new. Nothing of the backbone changes
    and nothing is drawn from torch's generators.
    """
    first = next(backbone.parameters(), torch.empty(0))
    generator = torch.Generator().manual_seed(0)
    # Of both signs and with a mean away from zero: what clips, squashes or normalises does not pass for a mean.
    maps = torch.randn(2, int(backbone.num_features), 2, 3, generator=generator).to(first) + 0.5  # type: ignore[arg-type]
    try:
        with evaluation_mode(backbone), _layers_called(backbone) as called:
            pooled = pool(backbone, maps)
    except RuntimeError:  # a head that is built for one size of map
        return False
    means = maps.mean(dim=(2, 3))
    return not called and pooled.shape == means.shape and torch.allclose(pooled, means, rtol=1e-3, atol=1e-3)


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """A network in evaluation mode: nothing is drawn and no statistics move. Then each part is in its mode again."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def _layers_called(network: nn.Module) -> Iterator[list[nn.Module]]:
    """The modules with parameters or statistics of their own that run meanwhile."""
    called: list[nn.Module] = []
    hooks = [
        module.register_forward_hook(lambda module, *_: called.append(module))
        for module in network.modules()
        if any(True for _ in chain(module.parameters(recurse=False), module.buffers(recurse=False)))
    ]
    try:
        yield called
    finally:
        for hook in hooks:
            hook.remove()
