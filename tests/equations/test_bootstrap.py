"""BYOL's loss against its formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from longcut.losses import bootstrap


def embeddings() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 6, 5, generator=generator, dtype=torch.float64) * 3
    return first, second


def test_it_is_the_squared_distance_of_unit_vectors() -> None:
    expected = []
    for online, target in zip(*(t.tolist() for t in embeddings()), strict=True):
        lengths = [math.sqrt(sum(x * x for x in v)) for v in (online, target)]
        expected.append(sum((p / lengths[0] - z / lengths[1]) ** 2 for p, z in zip(online, target, strict=True)))
    assert bootstrap(*embeddings()).tolist() == pytest.approx(expected, rel=1e-12)


def test_it_reaches_from_zero_to_four() -> None:
    online, _ = embeddings()
    torch.testing.assert_close(bootstrap(online, 7 * online), torch.zeros(6, dtype=torch.float64))
    torch.testing.assert_close(bootstrap(online, -online), torch.full((6,), 4.0, dtype=torch.float64))


def test_gradients() -> None:
    assert torch.autograd.gradcheck(bootstrap, [t.requires_grad_() for t in embeddings()])


def test_half_precision_is_computed_in_float32() -> None:
    online, target = (t.bfloat16() for t in embeddings())
    with torch.autocast("cpu", torch.bfloat16):
        found = bootstrap(online, target)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), bootstrap(online.double(), target.double()), rtol=1e-5, atol=1e-5)
