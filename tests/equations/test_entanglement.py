"""EnD's regularisers against their definitions, with plain loops over pairs in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from longcut.losses.entanglement import disentangling, entangling


def made(b: int = 12, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(b, 5, generator=generator, dtype=torch.float64)
    targets = torch.randint(3, (b,), generator=generator)
    return features, targets, torch.randint(3, (b,), generator=generator)


def cosines(features: Tensor) -> Tensor:
    units = functional.normalize(features, dim=1)
    return units @ units.T


def cosine(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum() / (x.square().sum().sqrt() * y.square().sum().sqrt())


def disentangling_by_loops(features: Tensor, bias: list[int]) -> Tensor:
    total, count = torch.zeros((), dtype=torch.float64), 0
    for value in sorted(set(bias)):
        pairs = [(i, j) for i in range(len(bias)) for j in range(i) if bias[i] == bias[j] == value]
        total = total + abs(sum((cosine(features[i], features[j]) for i, j in pairs), torch.zeros(())))
        count += len(pairs)
    return total / count


def entangling_by_loops(features: Tensor, targets: list[int], bias: list[int]) -> Tensor:
    found = [
        (1 + cosine(features[i], features[j])) / 2
        for i in range(len(bias))
        for j in range(i)
        if targets[i] == targets[j] and bias[i] != bias[j]
    ]
    return 1 - sum(found) / len(found)


def authors_by_loops(features: Tensor, targets: list[int], bias: list[int]) -> tuple[Tensor, int]:
    """Over classes, biases and greater biases, as the code has it; a lower triangle of each product of masks."""
    found = []
    for target in range(3):
        for low in range(3):
            for high in range(low + 1, 3):
                rows = [i for i in range(len(bias)) if targets[i] == target and bias[i] == low]
                columns = [j for j in range(len(bias)) if targets[j] == target and bias[j] == high]
                found += [(1 + cosine(features[i], features[j])) / 2 for i in rows for j in columns if j < i]
    return 1 - sum(found) / len(found), len(found)


@pytest.mark.parametrize("seed", range(3))
def test_both_terms_are_their_definitions_with_gradients(seed: int) -> None:
    features, targets, bias = made(seed=seed)
    features.requires_grad_()
    pairs = [
        (disentangling(cosines(features), bias), disentangling_by_loops(features, bias.tolist())),
        (
            entangling(cosines(features), targets, bias),
            entangling_by_loops(features, targets.tolist(), bias.tolist()),
        ),
    ]
    for found, expected in pairs:
        assert found.item() == pytest.approx(expected.item(), rel=1e-10)
        assert 0 < found.item() < 1
        one, other = torch.autograd.grad(found, features)[0], torch.autograd.grad(expected, features)[0]
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)


def test_the_authors_pairs_are_about_half() -> None:
    features, targets, bias = made(60)
    expected, count = authors_by_loops(features, targets.tolist(), bias.tolist())
    found = entangling(cosines(features), targets, bias, authors_pairs=True)
    assert found.item() == pytest.approx(expected.item(), rel=1e-10)
    admissible = int((((targets[:, None] == targets) & (bias[:, None] != bias)).sum()) // 2)
    assert 0.35 < count / admissible < 0.65
    assert found.item() != pytest.approx(float(entangling(cosines(features), targets, bias)), rel=1e-3)


def test_orthogonal_and_parallel_features_have_no_loss() -> None:
    units = torch.eye(4)
    assert float(disentangling(units, torch.zeros(4, dtype=torch.long))) == 0
    same = torch.zeros(4, dtype=torch.long)
    assert float(entangling(torch.ones(4, 4), same, torch.arange(4))) == 0
    assert float(entangling(-torch.ones(4, 4), same, torch.arange(4))) == 1


@pytest.mark.parametrize("b", [1, 3])
def test_without_pairs_the_terms_are_zero_with_a_graph(b: int) -> None:
    features = torch.randn(b, 4, requires_grad=True)
    total = disentangling(cosines(features), torch.arange(b))
    total = total + entangling(cosines(features), torch.arange(b), torch.zeros(b, dtype=torch.long))
    total.backward()
    assert total.item() == 0
    assert features.grad is not None
    assert (features.grad == 0).all()


def test_half_precision_is_summed_in_float32() -> None:
    features, targets, bias = made(40)
    halves = cosines(features).bfloat16()
    for found, expected in (
        (disentangling(halves, bias), disentangling(halves.double(), bias)),
        (entangling(halves, targets, bias), entangling(halves.double(), targets, bias)),
    ):
        assert found.dtype == torch.float32
        assert found.item() == pytest.approx(expected.item(), rel=1e-5)
