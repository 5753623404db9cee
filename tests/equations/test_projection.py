"""HEX's projection against elimination written with loops in float64, and what a projection is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from longcut.losses.projection import project_out


def logits(b: int = 9, n: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    one = torch.randn(b, n, generator=generator, dtype=torch.float64)
    two = torch.randn(b, n, generator=generator, dtype=torch.float64)
    return one, two


def by_loops(every: Tensor, bias: Tensor, ridge: float) -> Tensor:
    """F_A - F_G (F_G^T F_G + r I)^-1 F_G^T F_A by Gauss and Jordan, on a list of rows."""
    b, n = every.shape
    gram = [[sum(bias[s, i] * bias[s, j] for s in range(b)) for j in range(n)] for i in range(n)]
    strength = ridge * sum(float(gram[i][i].detach()) for i in range(n)) / n
    right = [[sum(bias[s, i] * every[s, j] for s in range(b)) for j in range(n)] for i in range(n)]
    rows = [[gram[i][j] + (strength if i == j else 0) for j in range(n)] + right[i] for i in range(n)]
    for i in range(n):
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for other in range(n):
            if other != i:
                rows[other] = [x - rows[other][i] * y for x, y in zip(rows[other], rows[i], strict=True)]
    found = [[every[s, j] - sum(bias[s, i] * rows[i][n + j] for i in range(n)) for j in range(n)] for s in range(b)]
    return torch.stack([torch.stack(row) for row in found])


@pytest.mark.parametrize("ridge", [1e-4, 0.5])
def test_projection_is_its_formula_with_gradients(ridge: float) -> None:
    every, bias = (tensor.requires_grad_() for tensor in logits())
    found, expected = project_out(every, bias, ridge), by_loops(every, bias, ridge)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    slope = torch.randn(found.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    one, other = (torch.autograd.grad((value * slope).sum(), (every, bias)) for value in (found, expected))
    for a, e in zip(one, other, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-7, atol=1e-10)


def test_what_is_left_is_orthogonal_over_the_batch() -> None:
    every, bias = logits(30)
    left = project_out(every, bias, 1e-9)
    assert float((bias.T @ left).abs().max()) < 1e-6
    torch.testing.assert_close(project_out(left, bias, 1e-9), left, rtol=1e-6, atol=1e-6)
    mixed = bias @ torch.randn(4, 4, dtype=torch.float64)
    assert float(project_out(mixed, bias, 1e-9).abs().max()) < 1e-6
    torch.testing.assert_close(project_out(every + mixed, bias, 1e-9), left, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_scale_of_what_is_projected_out_does_not_count(scale: float) -> None:
    every, bias = logits()
    torch.testing.assert_close(project_out(every, scale * bias), project_out(every, bias), rtol=1e-9, atol=1e-9)


def test_dependent_columns_have_a_projection_and_a_gradient() -> None:
    """More classes than samples or superficial features: the matrix has no inverse."""
    generator = torch.Generator().manual_seed(0)
    every = torch.randn(20, 50, generator=generator)
    narrow, wide = torch.randn(20, 5, generator=generator), torch.randn(5, 50, generator=generator)
    bias = (narrow @ wide).requires_grad_()
    left = project_out(every, bias)
    left.square().sum().backward()
    assert bias.grad is not None
    assert bias.grad.isfinite().all()
    exact = every.double() - narrow.double() @ torch.linalg.lstsq(narrow.double(), every.double()).solution
    torch.testing.assert_close(left.detach().double(), exact, rtol=0.05, atol=0.02)


def test_nothing_to_project_out_changes_nothing() -> None:
    every, bias = logits()
    bias = (0 * bias).requires_grad_()
    left = project_out(every, bias)
    left.sum().backward()
    assert torch.equal(left, every)
    assert bias.grad is not None
    assert bias.grad.isfinite().all()


def test_autocast_changes_nothing() -> None:
    every, bias = (tensor.float() for tensor in logits())
    with torch.autocast("cpu", torch.bfloat16):
        found = project_out(every, bias)
    assert torch.equal(found, project_out(every, bias))
    assert project_out(every.bfloat16(), bias.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("ridge", [0.0, -1.0])
def test_a_ridge_is_positive(ridge: float) -> None:
    with pytest.raises(ValueError, match="ridge must be positive, not"):
        project_out(*logits(), ridge)
