"""HSIC against Song's formula and its definition as a mean over quadruples, with plain loops in float64."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from longcut.losses.hsic import hsic, median_distance


def features(b: int = 7, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two sets that depend on each other, of different lengths and away from the origin."""
    generator = torch.Generator().manual_seed(seed)
    one = torch.randn(b, 3, generator=generator, dtype=torch.float64) + 2
    two = torch.randn(b, 5, generator=generator, dtype=torch.float64) - 1
    two[:, 0] += one[:, 0]
    return one, two


def kernel(rows: Tensor, sigma: float) -> list[list[Tensor]]:
    zero = torch.zeros((), dtype=torch.float64)
    return [
        [zero if i == j else torch.exp(-sum((x - y) ** 2) / (2 * sigma**2)) for j, y in enumerate(rows)]
        for i, x in enumerate(rows)
    ]


def song(one: Tensor, two: Tensor, sigma_one: float, sigma_two: float) -> Tensor:
    """The formula, each trace and sum by loops."""
    k, other, m = kernel(one, sigma_one), kernel(two, sigma_two), len(one)
    places = range(m)
    trace = sum(k[i][j] * other[j][i] for i in places for j in places)
    sums = sum(k[i][j] for i in places for j in places) * sum(other[i][j] for i in places for j in places)
    chain = sum(k[i][j] * other[j][q] for i in places for j in places for q in places)
    return (trace + sums / ((m - 1) * (m - 2)) - 2 * chain / (m - 2)) / (m * (m - 3))


def quadruples(one: Tensor, two: Tensor, sigma_one: float, sigma_two: float) -> float:
    """The U-statistic: what it is the mean of, over all quadruples of different samples."""
    k = [[float(value) for value in row] for row in kernel(one, sigma_one)]
    other = [[float(value) for value in row] for row in kernel(two, sigma_two)]
    found = [
        k[i][j] * other[i][j] + k[i][j] * other[q][r] - 2 * k[i][j] * other[i][q]
        for i, j, q, r in itertools.permutations(range(len(one)), 4)
    ]
    return sum(found) / len(found)


@pytest.mark.parametrize(("sigma_one", "sigma_two"), [(1.0, 1.0), (0.5, 3.0)])
@pytest.mark.parametrize("b", [4, 7])
def test_hsic_is_songs_formula_with_its_gradients(b: int, sigma_one: float, sigma_two: float) -> None:
    one, two = (tensor.requires_grad_() for tensor in features(b))
    found, expected = hsic(one, two, sigma_one, sigma_two), song(one, two, sigma_one, sigma_two)
    assert found.item() == pytest.approx(expected.item(), rel=1e-10)
    for a, e in zip(torch.autograd.grad(found, (one, two)), torch.autograd.grad(expected, (one, two)), strict=True):
        torch.testing.assert_close(a, e, rtol=1e-8, atol=1e-13)


def test_hsic_is_the_mean_over_quadruples() -> None:
    one, two = features(6)
    assert float(hsic(one, two, 1.0, 2.0)) == pytest.approx(quadruples(one, two, 1.0, 2.0), rel=1e-10)


def test_independent_features_have_none_in_the_mean() -> None:
    """The estimator is without bias: its mean over small batches is 0, where that of the biased one is not."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(800, 2, 8, 3, generator=generator, dtype=torch.float64)
    values = torch.stack([hsic(one, two, 2.0, 2.0) for one, two in draws])
    error = float(values.std()) / math.sqrt(len(values))
    assert abs(float(values.mean())) < 4 * error
    dependent = torch.stack([hsic(one, one + 0.3 * two, 2.0, 2.0) for one, two in draws])
    assert float(dependent.mean()) > 20 * error


@pytest.mark.parametrize("scale", [1e-2, 1.0, 3.0], ids=["all_near", "usual", "all_far"])
def test_float32_keeps_digits_where_kernels_hardly_differ(scale: float) -> None:
    """Features of a fresh network are close together and far from the origin: a kernel is 1 less very little."""
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(64, 16, generator=generator, dtype=torch.float64) * scale + 30
    two = one[:, :8] + torch.randn(64, 8, generator=generator, dtype=torch.float64) * scale
    assert float(hsic(one.float(), two.float())) == pytest.approx(float(hsic(one, two)), rel=2e-2)


def test_autocast_changes_nothing() -> None:
    one, two = (tensor.float() for tensor in features())
    with torch.autocast("cpu", torch.bfloat16):
        found = hsic(one, two)
        halves = hsic(one.bfloat16(), two.bfloat16())
    assert torch.equal(found, hsic(one, two))
    assert found.dtype == halves.dtype == torch.float32


def test_what_all_samples_share_does_not_count() -> None:
    one, two = features()
    torch.testing.assert_close(hsic(one + 100, two), hsic(one, two), rtol=1e-9, atol=1e-15)


def test_equal_features_have_a_gradient() -> None:
    one = torch.ones(5, 3, requires_grad=True)
    found = hsic(one, torch.randn(5, 2))
    found.backward()
    assert found == 0
    assert one.grad is not None
    assert one.grad.isfinite().all()


def test_three_samples_are_too_few() -> None:
    one, two = features(3)
    with pytest.raises(ValueError, match="at least 4 samples, not 3: take a larger batch_size"):
        hsic(one, two)


def test_median_distance_is_that_of_all_pairs() -> None:
    rows = features(6)[0].requires_grad_()
    pairs = sorted(float((x - y).square().sum().sqrt()) for x, y in itertools.combinations(rows.detach(), 2))
    assert float(median_distance(rows)) == pytest.approx(pairs[7], rel=1e-12)
    assert not median_distance(rows).requires_grad
    assert median_distance(torch.ones(4, 2)) > 0
