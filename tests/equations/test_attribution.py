"""Class activation against plain loops, and Grad-CAM against it where the two are the same map."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from longcut.attribution import class_activation, grad_cam, pools_by_mean
from longcut.backbones import create_backbone
from longcut.core.features import pool

B, D, Y, X, N = 5, 6, 3, 4, 3


def made(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(B, D, Y, X, generator=generator, dtype=torch.float64).relu()
    weight = torch.randn(N, D, generator=generator, dtype=torch.float64)
    return features, weight, torch.arange(B) % N


def by_loops(features: Tensor, weights: list[list[float]]) -> list[list[list[float]]]:
    """The positive part of each place's weighted sum, over the largest of its map."""
    maps = []
    for z, w in zip(features.tolist(), weights, strict=True):
        sums = [[max(0.0, sum(w[d] * z[d][y][x] for d in range(D))) for x in range(X)] for y in range(Y)]
        top = max(max(row) for row in sums)
        maps.append([[value / top if top > 0 else 0.0 for value in row] for row in sums])
    return maps


def test_class_activation_is_its_formula() -> None:
    features, weight, targets = made()
    expected = by_loops(features, [weight.tolist()[t] for t in targets.tolist()])
    found = class_activation(features, weight, targets)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-14)
    assert found.amax((1, 2)).tolist() == pytest.approx([1.0] * B)
    assert found.amin() == 0


def test_grad_cam_on_a_pooled_linear_head_is_class_activation() -> None:
    features, weight, targets = made(1)
    bias = torch.randn(N, dtype=torch.float64)
    found = grad_cam(features, lambda maps: maps.mean((2, 3)) @ weight.T + bias, targets)
    torch.testing.assert_close(found, class_activation(features, weight, targets), rtol=1e-12, atol=1e-14)


def test_grad_cam_of_a_deeper_head_is_its_formula() -> None:
    """Against gradients by differences: a head whose channels' weights differ from image to image."""
    features, weight, targets = made(2)
    features = features + 0.1

    def logits_of(maps: Tensor) -> Tensor:
        return (maps.square().mean((2, 3)) + maps.amax((2, 3)).tanh()) @ weight.T

    weights = torch.zeros(B, D, dtype=torch.float64)
    for b in range(B):
        for d in range(D):
            for y in range(Y):
                for x in range(X):
                    sides = []
                    for step in (1e-6, -1e-6):
                        moved = features[b : b + 1].clone()
                        moved[0, d, y, x] += step
                        sides.append(float(logits_of(moved)[0, targets[b]]))
                    weights[b, d] += (sides[0] - sides[1]) / 2e-6 / (Y * X)
    expected = torch.tensor(by_loops(features, weights.tolist()), dtype=torch.float64)
    torch.testing.assert_close(grad_cam(features, logits_of, targets), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", ["closed", "gradient"])
def test_a_map_without_evidence_stays_zero(kind: str) -> None:
    features, weight, targets = made()
    weight[0] = -1.0
    features[1] = 0.0
    head = nn.Linear(D, N, bias=False).double()
    head.weight.data = weight
    if kind == "closed":
        found = class_activation(features, weight, targets)
    else:
        found = grad_cam(features, lambda maps: head(maps.mean((2, 3))), targets)
    assert found.isfinite().all()
    for row, target in enumerate(targets.tolist()):
        assert (found[row].amax() == 0) == (target == 0 or row == 1)


def test_no_graph_is_kept() -> None:
    features, weight, targets = made()
    features.requires_grad_()
    head = nn.Linear(D, N).double()
    with torch.no_grad():
        found = grad_cam(features * 1, lambda maps: head(maps.mean((2, 3))), targets)
    assert not found.requires_grad
    assert not class_activation(features, weight.requires_grad_(), targets).requires_grad
    assert head.weight.grad is None
    assert features.grad is None


def test_low_precision_is_read_in_float32() -> None:
    features, weight, targets = made()
    halves = features.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = class_activation(halves, weight.float(), targets)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, class_activation(halves.float(), weight.float(), targets))


class _Pooled(nn.Module):
    """A network that makes something of its map's mean."""

    num_features = D

    def __init__(self, *after: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, D, 1)
        self.after = nn.Sequential(*after)

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        return self.after(features.mean((2, 3)))


@pytest.mark.parametrize(
    ("name", "expected"), [("convnet5", True), ("resnet10", True), ("resnet18", True), ("convnext_atto", False)]
)
def test_which_networks_pool_by_the_mean(name: str, expected: bool) -> None:
    assert pools_by_mean(create_backbone(name)) is expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ((), True),
        ((nn.ReLU(),), False),
        ((nn.LayerNorm(D),), False),
        ((nn.BatchNorm1d(D),), False),  # which changes nothing until it has seen a batch
        ((nn.Linear(D, 2 * D),), False),
        ((nn.Linear(D + 1, D),), False),  # a head that cannot read such a map
        ((nn.Dropout(0.5),), True),
    ],
    ids=str,
)
def test_what_follows_the_mean_is_noticed(after: tuple[nn.Module, ...], expected: bool) -> None:
    assert pools_by_mean(_Pooled(*after)) is expected


def test_trying_out_a_network_leaves_no_trace() -> None:
    network = _Pooled(nn.BatchNorm1d(D), nn.Dropout(0.5))
    network.stem.eval()
    modes = [module.training for module in network.modules()]
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(3)
    pools_by_mean(network)
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), after)
    assert modes == [module.training for module in network.modules()]
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def test_grad_cam_of_a_real_head_with_a_normalisation() -> None:
    """Not the class activation of the mean: what the two are told apart for."""
    torch.manual_seed(0)
    network = _Pooled(nn.LayerNorm(D)).double()
    features, weight, targets = made(4)
    found = grad_cam(features, lambda maps: functional.linear(pool(network, maps), weight), targets)
    assert not torch.allclose(found, class_activation(features, weight, targets), atol=1e-3)
