"""EnD's regularisers and its authors' bottleneck against their definitions, with plain loops in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from longcut.backbones import Mlp, create_backbone
from longcut.core import Batch
from longcut.losses.entanglement import disentangling, entangling
from longcut.methods.end import EnD


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


@pytest.mark.parametrize("authors_pairs", [False, True])
def test_samples_of_no_known_bias_are_in_no_pair(authors_pairs: bool) -> None:
    """Both terms are those of the other samples alone, and give the unknown ones no gradient."""
    features, targets, bias = made(16)
    features.requires_grad_()
    unknown = torch.arange(16) % 3 == 0
    hidden = torch.where(unknown, -1, bias)
    seen, others = (targets[~unknown], bias[~unknown]), features[~unknown]
    for found, expected in (
        (disentangling(cosines(features), hidden), disentangling_by_loops(others, seen[1].tolist())),
        (
            entangling(cosines(features), targets, hidden, authors_pairs=authors_pairs),
            authors_by_loops(others, *(column.tolist() for column in seen))[0]
            if authors_pairs
            else entangling_by_loops(others, *(column.tolist() for column in seen)),
        ),
    ):
        assert found.item() == pytest.approx(expected.item(), rel=1e-10)
        (gradient,) = torch.autograd.grad(found, features)
        assert (gradient[unknown] == 0).all()
        (wanted,) = torch.autograd.grad(expected, features, retain_graph=True)
        torch.testing.assert_close(gradient, wanted, rtol=1e-8, atol=1e-12)
    for total in (
        disentangling(cosines(features), torch.full_like(bias, -1)),
        entangling(cosines(features), targets, torch.full_like(bias, -1), authors_pairs=authors_pairs),
    ):
        assert total.item() == 0
        assert (torch.autograd.grad(total, features)[0] == 0).all()


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


# The authors' bottleneck: a hyperbolic tangent, and a head that reads directions.


def features_by_loops(method: EnD, image: Tensor) -> list[Tensor]:
    """A layer with a ReLU, and one with a hyperbolic tangent."""
    linear = [module for module in method.backbone.modules() if isinstance(module, nn.Linear)]
    values = [image[c, y, x] for y in range(2) for x in range(2) for c in range(3)]
    for layer, activation in zip(linear, (torch.relu, torch.tanh), strict=True):
        rows = zip(layer.weight, layer.bias, strict=True)
        values = [activation(sum(w * v for w, v in zip(row, values, strict=True)) + b) for row, b in rows]
    return values


def cross_entropy_by_loops(method: EnD, features: Tensor, targets: list[int]) -> Tensor:
    """Of a linear head on features of length 1."""
    losses = []
    for row, target in zip(features, targets, strict=True):
        length = sum(value**2 for value in row) ** 0.5
        heads = zip(method.head.weight, method.head.bias, strict=True)
        logits = [sum(w * v / length for w, v in zip(weights, row, strict=True)) + b for weights, b in heads]
        losses.append(torch.log(sum(logit.exp() for logit in logits)) - logits[target])
    return sum(losses) / len(losses)


def test_the_authors_bottleneck_is_its_definition_with_gradients() -> None:
    torch.manual_seed(0)
    end = EnD(Mlp(2, (7, 5)), num_classes=3, num_bias=3, alpha=2.0, beta=3.0, authors_bottleneck=True).double()
    images, (_, targets, bias) = torch.randn(12, 3, 2, 2, dtype=torch.float64), made()
    (found,) = end.training_step(Batch(images=images, targets=targets, indices=torch.arange(12), bias=bias))
    features = torch.stack([torch.stack(features_by_loops(end, image)) for image in images])
    expected = {
        "cross_entropy": cross_entropy_by_loops(end, features, targets.tolist()),
        "disentangling": 2 * disentangling_by_loops(features, bias.tolist()),
        "entangling": 3 * entangling_by_loops(features, targets.tolist(), bias.tolist()),
    }
    assert found.keys() == expected.keys()
    torch.testing.assert_close(end.encode(images), features)
    parameters = list(end.parameters())
    for name, term in expected.items():
        assert found[name].item() == pytest.approx(term.item(), rel=1e-10), name
        one, other = (
            torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True) for loss in (found[name], term)
        )
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", ["convnet3", "resnet18"])
def test_the_tangent_is_what_a_map_of_features_passes_last(name: str) -> None:
    torch.manual_seed(0)
    end = EnD(create_backbone(name), num_classes=3, num_bias=3, authors_bottleneck=True)
    seen: list[Tensor] = []
    for module in end.backbone.modules():
        if isinstance(module, nn.Tanh):
            module.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        features = end.encode(torch.randn(2, 3, 32, 32))
    assert len(seen) == 1
    torch.testing.assert_close(seen[0].mean(dim=(2, 3)), features)


def test_a_network_without_a_relu_to_replace_is_refused() -> None:
    with pytest.raises(ValueError, match=r"replaces the last nn\.ReLU of a network, and SmallResNet has none: take"):
        EnD(create_backbone("resnet20"), num_classes=3, num_bias=3, authors_bottleneck=True)
