"""The generalized cross-entropy against its formula, in its limits, and beside what LfF's code makes of it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from longcut.losses.robust import generalized_cross_entropy


def scored(b: int = 6, n: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(b, n, generator=generator, dtype=torch.float64) * 3
    return logits, torch.randint(n, (b,), generator=generator)


def probabilities(logits: Tensor, targets: Tensor) -> list[float]:
    rows = zip(logits.tolist(), targets.tolist(), strict=True)
    return [math.exp(row[target]) / sum(math.exp(x) for x in row) for row, target in rows]


def gradient(logits: Tensor, targets: Tensor, q: float, *, authors_gce: bool = False) -> Tensor:
    logits = logits.clone().requires_grad_()
    losses = generalized_cross_entropy(logits, targets, q, authors_gce=authors_gce)
    (found,) = torch.autograd.grad(losses.sum(), logits)
    return found


@pytest.mark.parametrize("q", [0.1, 0.5, 0.7, 1.0])
def test_it_is_its_formula(q: float) -> None:
    expected = [(1 - p**q) / q for p in probabilities(*scored())]
    assert generalized_cross_entropy(*scored(), q).tolist() == pytest.approx(expected, rel=1e-12)


def test_q_is_that_of_the_papers() -> None:
    assert torch.equal(generalized_cross_entropy(*scored()), generalized_cross_entropy(*scored(), 0.7))


def test_its_limits_are_the_absolute_error_and_the_cross_entropy() -> None:
    logits, targets = scored()
    expected = [1 - p for p in probabilities(logits, targets)]
    assert generalized_cross_entropy(logits, targets, 1.0).tolist() == pytest.approx(expected, rel=1e-12)
    losses = functional.cross_entropy(logits, targets, reduction="none")
    torch.testing.assert_close(generalized_cross_entropy(logits, targets, 1e-12), losses, rtol=1e-10, atol=0)


@pytest.mark.parametrize("q", [0.3, 0.7, 1.0])
def test_gradients(q: float) -> None:
    logits, targets = scored()
    assert torch.autograd.gradcheck(lambda x: generalized_cross_entropy(x, targets, q), logits.requires_grad_())


@pytest.mark.parametrize("q", [0.2, 0.7])
def test_the_authors_value_is_weighted_and_their_gradient_q_times_as_large(q: float) -> None:
    logits, targets = scored()
    found = generalized_cross_entropy(logits, targets, q, authors_gce=True)
    assert found.tolist() == pytest.approx([-q * p**q * math.log(p) for p in probabilities(logits, targets)], rel=1e-12)
    ratio = gradient(logits, targets, q, authors_gce=True) / gradient(logits, targets, q)
    torch.testing.assert_close(ratio, torch.full_like(ratio, q), rtol=1e-9, atol=0)


@pytest.mark.parametrize("authors_gce", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_finite_where_the_probability_underflows(dtype: torch.dtype, authors_gce: bool) -> None:
    logits = torch.tensor([[0.0, 3e4, -3e4], [200.0, 0.0, 0.0], [-3e4, 3e4, 0.0]], dtype=dtype)
    targets = torch.tensor([0, 1, 1])
    found = generalized_cross_entropy(logits, targets, authors_gce=authors_gce)
    far = 0.0 if authors_gce else 1 / 0.7
    assert found.tolist() == pytest.approx([far, far, 0.0], abs=1e-6)
    assert gradient(logits, targets, 0.7, authors_gce=authors_gce).isfinite().all()


def test_half_precision_is_computed_in_float32() -> None:
    logits, targets = scored()
    with torch.autocast("cpu", torch.bfloat16):
        found = generalized_cross_entropy(logits.bfloat16(), targets)
    assert found.dtype == torch.float32
    expected = generalized_cross_entropy(logits.bfloat16().double(), targets)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("q", [0.0, -0.1, 1.1, math.nan])
def test_an_exponent_that_makes_no_sense_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match=f"q must be above 0 and at most 1, not {q}"):
        generalized_cross_entropy(*scored(), q)
