"""LNL: where colours are read, and its entropy beside its maximum, in a precision of eight bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from longcut.core import Batch
from longcut.methods.lnl import LNL, sort_colours

BINS = 8


class Given(nn.Module):
    """A backbone whose map of features is what it is given, so that its gradient can be read."""

    num_features = 4
    has_feature_map = True

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = nn.Parameter(features)

    def forward_features(self, images: Tensor) -> Tensor:
        return self.features


def negative_entropy(logits: Tensor) -> Tensor:
    """The mean over places and channels of sum_k p_k log p_k, from `[b, 3 * bins, y, x]`."""
    shares = logits.double().unflatten(1, (3, BINS)).movedim(2, -1)
    shares = shares.exp() / shares.exp().sum(dim=-1, keepdim=True)
    return (shares * shares.log()).sum(dim=-1).mean()


def test_a_nearly_uniform_adversary_gives_features_their_gradient_in_bf16() -> None:
    """The gradient is a difference of nearly equal numbers there: eight bits lose it."""
    torch.manual_seed(0)
    method = LNL(Given(0.3 * torch.randn(8, 4, 5, 5)), num_classes=2, bins=BINS, entropy_weight=1.0)
    with torch.no_grad():
        method.bias_head.weight *= 0.1
        method.bias_head.bias *= 0.1  # type: ignore[operator]
    batch = Batch(torch.randn(8, 3, 10, 10), torch.arange(8) % 2, torch.arange(8))
    with torch.autocast("cpu", torch.bfloat16):
        (terms,) = method.training_step(batch)
    assert terms["negative_entropy"].dtype == torch.float32
    features = method.backbone.features
    (found,) = torch.autograd.grad(terms["negative_entropy"], features)

    weight, bias = (p.detach().bfloat16() for p in (method.bias_head.weight, method.bias_head.bias))  # type: ignore[union-attr]
    rounded = features.detach().bfloat16().requires_grad_()
    expected = negative_entropy(functional.conv2d(rounded, weight, bias))
    torch.testing.assert_close(terms["negative_entropy"].double(), expected, rtol=1e-5, atol=0)
    (gradient,) = torch.autograd.grad(expected, rounded)
    error = float((found.double() - gradient.double()).norm() / gradient.double().norm())
    assert error < 0.02, f"relative error {error:.3f}"


@pytest.mark.parametrize(("size", "side"), [(28, 14), (28, 7), (28, 4), (30, 7)])
def test_colours_are_those_of_pillow_s_nearest_pixels(size: int, side: int) -> None:
    """As the authors shrink images: the pixel in the middle of a place, not the one in its corner."""
    pixels = torch.arange(1.0, size * size + 1).reshape(size, size)
    shrunk = Image.fromarray(pixels.numpy()).resize((side, side), Image.Resampling.NEAREST)
    small = torch.from_numpy(np.array(shrunk))
    expected = ((small - 1) / (size * size - 1) * 50).long().clamp(max=49)
    found = sort_colours(pixels.expand(1, 3, size, size), side, side, 50)
    assert torch.equal(found, expected.expand(1, 3, side, side))
