"""Grad-CAM of any classifier: against the closed form, where it is found, and what it leaves behind."""

from __future__ import annotations

import math

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet18

from longcut.attribution import class_activation
from longcut.attribution.located import energy_inside, explain, locate
from longcut.attribution.places import Located
from longcut.backbones import SmallConvNet
from longcut.methods import ERM

N = 5


def images(height: int = 32, width: int = 32, count: int = 3) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(height + width))


def targets(count: int = 3) -> Tensor:
    return torch.arange(count) % N


class Pooled(nn.Module):
    """Features by a trunk, their mean, and a linear head: Grad-CAM has a closed form."""

    def __init__(self, *trunk: nn.Module, width: int = 6) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*trunk)
        self.head = nn.Linear(width, N)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.trunk(images).mean((2, 3)))


def trunk() -> tuple[nn.Module, ...]:
    torch.manual_seed(0)
    reused = nn.ReLU(inplace=True)
    return (
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        reused,
        nn.BatchNorm2d(4),
        nn.Dropout(0.5),
        nn.Conv2d(4, 6, 3, stride=2, padding=1),
        reused,
    )


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 40), (33, 50)])
def test_a_pooled_linear_network_has_the_closed_form(height: int, width: int) -> None:
    network, x = Pooled(*trunk()).double().eval(), images(height, width).double()
    located = locate(network, x)
    assert located == Located("trunk", 0, "map")
    expected = class_activation(network.trunk(x), network.head.weight, targets())
    torch.testing.assert_close(explain(network, x, targets(), located), expected, rtol=1e-10, atol=1e-12)
    assert (expected.amax((1, 2)) == 1).any()


class Twice(Pooled):
    """One module is called twice, of which the second call counts, and something is written into its output."""

    def forward(self, images: Tensor) -> Tensor:
        relu = self.trunk[1]
        features = relu(self.trunk[4](relu(self.trunk[0](images))))
        return self.head(functional.relu(features.sub_(0.1), inplace=True).mean((2, 3)))


def test_the_call_that_counts_of_a_module_called_twice() -> None:
    network, x = Twice(*trunk()), images()
    located = locate(network, x)
    assert located == Located("trunk.1", 1, "map")
    before = functional.relu(network.trunk[4](functional.relu(network.trunk[0](x))))
    leaf = before.detach().requires_grad_()
    logits = network.head(functional.relu(leaf - 0.1).mean((2, 3)))
    (gradient,) = torch.autograd.grad(logits.gather(1, targets()[:, None]).sum(), leaf)
    sums = (gradient.mean((2, 3), keepdim=True) * before).sum(1).relu()
    expected = sums / sums.amax((1, 2), keepdim=True).clamp(min=1e-30)
    torch.testing.assert_close(explain(network, x, targets(), located), expected)


def test_our_methods_and_torchvision() -> None:
    torch.manual_seed(1)
    method = ERM(SmallConvNet(widths=(8, 12), strides=(2, 2)), num_classes=N).eval()
    located = locate(method, images())
    assert located is not None
    found = explain(method, images(), targets(), located)
    features = method.backbone.forward_features(images())
    weights = next(module.weight for module in method.head.modules() if isinstance(module, nn.Linear))
    torch.testing.assert_close(found, class_activation(features, weights, targets()))

    network = resnet18(num_classes=N).eval()
    held: list[Tensor] = []
    network.layer4.register_forward_hook(lambda module, inputs, output: held.append(output))
    x = images(64, 64)
    network(x)
    located = locate(network, x)
    assert located == Located("layer4", 0, "map")
    found = explain(network, x, targets(), located)
    torch.testing.assert_close(found, class_activation(held[0], network.fc.weight, targets()), rtol=1e-3, atol=1e-5)


def test_a_transformer_with_a_class_token() -> None:
    """The input of its last attention: the places of later maps say nothing to the class token."""
    torch.manual_seed(0)
    network = timm.create_model("test_vit", num_classes=N, img_size=64).eval()
    x = images(64, 64)
    located = locate(network, x)
    assert located == Located("blocks.5.norm1", 0, "tokens", 1)
    with torch.no_grad():
        tokens = network._pos_embed(network.patch_embed(x))
        for block in network.blocks[:-1]:
            tokens = block(tokens)
        attended = network.blocks[-1].norm1(tokens)
    leaf = attended.requires_grad_()
    last = network.blocks[-1]
    after = tokens + last.ls1(last.attn(leaf))
    after = after + last.ls2(last.mlp(last.norm2(after)))
    logits = network.forward_head(network.norm(after))
    (gradient,) = torch.autograd.grad(logits.gather(1, targets()[:, None]).sum(), leaf)
    found = explain(network, x, targets(), located)
    assert found.shape == (3, 4, 4)
    for row in range(3):
        weights = [sum(gradient[row, 1 + place, d].item() for place in range(16)) / 16 for d in range(leaf.shape[2])]
        sums = [
            max(0.0, sum(w * v for w, v in zip(weights, leaf[row, 1 + p].tolist(), strict=True))) for p in range(16)
        ]
        expected = torch.tensor(sums).view(4, 4) / max(sums)
        torch.testing.assert_close(found[row], expected, rtol=1e-3, atol=1e-4)


class Last(Pooled):
    """Channels come last, as in Swin."""

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.trunk(images.permute(0, 2, 3, 1)).mean((1, 2)))


def test_channels_that_come_last() -> None:
    torch.manual_seed(0)
    network, x = Last(nn.Linear(3, 6), nn.ReLU()), images(8, 8)
    assert locate(network, x) == Located("trunk", 0, "map_last")
    expected = class_activation(
        network.trunk(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), network.head.weight, targets()
    )
    torch.testing.assert_close(explain(network, x, targets(), Located("trunk", 0, "map_last")), expected)


class Attending(nn.Module):
    """Attention by hand, with modules on what is made of heads and of pairs of tokens, on tokens of places alone."""

    def __init__(self, width: int, token: bool) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, width)) if token else None
        self.norm = nn.LayerNorm(width)
        self.attention = _Attention(width)
        self.head = nn.Linear(width, N)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).mT
        if self.token is not None:
            tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], 1)
        tokens = tokens + self.attention(self.norm(tokens))
        return self.head(tokens[:, 0] if self.token is not None else tokens.mean(1))


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.norm, self.attend = nn.Linear(width, 3 * width), nn.Identity(), nn.Softmax(dim=-1)

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.qkv(tokens).unflatten(2, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        return (self.attend(self.norm(q) @ k.mT) @ v).transpose(1, 2).flatten(2)


@pytest.mark.parametrize(
    ("token", "size", "expected"),
    [
        (True, (32, 32), Located("norm", 0, "tokens", 1)),
        (False, (32, 32), Located("attention", 0, "tokens", 0)),
        (False, (16, 48), Located("attention", 0, "tokens", 0)),
    ],
)
def test_what_attention_makes_inside_is_no_map(token: bool, size: tuple[int, int], expected: Located) -> None:
    torch.manual_seed(2)
    network = Attending(16, token)  # a softmax over pairs of 17 tokens is square, as a map of an image of 32 x 32 is
    assert locate(network, images(*size)) == expected
    assert explain(network, images(*size), targets(), expected).shape == (3, size[0] // 8, size[1] // 8)


class Away(nn.Module):
    """What leaves torch, as a model of ONNX does."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.from_numpy(images.numpy().mean((2, 3)))


@pytest.mark.parametrize(
    "network",
    [
        Away(),
        nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 16), nn.ReLU(), nn.Linear(16, N)),
        nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3 * 32 * 32, N)),  # pixels are no features
        nn.Sequential(nn.Conv2d(3, N, 32), nn.Flatten()),  # one place
    ],
    ids=["numpy", "mlp", "normalised", "one_place"],
)
def test_networks_without_a_map(network: nn.Module) -> None:
    assert locate(network, images()) is None


def test_a_head_of_zeros_still_has_a_map() -> None:
    network = Pooled(*trunk())
    network.head.weight.data.zero_()
    located = locate(network, images())
    assert located == Located("trunk", 0, "map")
    assert not explain(network, images(), targets(), located).any()


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad])
@pytest.mark.parametrize("frozen", [False, True])
def test_nothing_is_left_behind(context: type, frozen: bool) -> None:
    network = Pooled(*trunk()).requires_grad_(not frozen)
    network.trunk[4].eval()
    expected_at = locate(network, images())
    assert expected_at is not None
    expected = explain(network, images(), targets(), expected_at)
    modes = [module.training for module in network.modules()]
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with context():
        x, of = images() * 1, targets() * 1
        assert locate(network, x) == expected_at
        found = explain(network, x, of, expected_at)
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
    assert torch.equal(found, expected)
    assert not found.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())
    assert modes == [module.training for module in network.modules()]
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_a_map_of_another_network_is_refused() -> None:
    network = Pooled(*trunk()).eval()
    with pytest.raises(ValueError, match="module 'trunk' did not run in Pooled") as error:
        explain(network, images(), targets(), Located("trunk", 1, "map"))
    assert "\n" not in str(error.value)
    vit = timm.create_model("test_vit", num_classes=N, img_size=64).eval()
    with pytest.raises(ValueError, match="17 tokens of 'norm' are no grid"):
        explain(vit, images(64, 64), targets(), Located("norm", 0, "tokens", 0))


def test_energy_is_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(3, 3, 4, generator=generator, dtype=torch.float64)
    masks = torch.rand(3, 1, 12, 10, generator=generator, dtype=torch.float64)
    maps[1], masks[2] = 0, 1
    found = energy_inside(maps, masks)
    assert math.isnan(found[1])
    assert found[2].item() == pytest.approx(1)
    inside = whole = 0.0
    for y in range(12):
        for x in range(10):
            # Half a pixel is its centre; beyond the outermost centres the map goes on as it is there.
            v, u = max(0.0, (y + 0.5) * 3 / 12 - 0.5), max(0.0, (x + 0.5) * 4 / 10 - 0.5)
            top, left = int(v), int(u)
            bottom, right = min(top + 1, 2), min(left + 1, 3)
            rows = ((top, 1 - v + top), (bottom, v - top))
            columns = ((left, 1 - u + left), (right, u - left))
            value = sum(a * b * maps[0, j, i].item() for j, a in rows for i, b in columns)
            inside, whole = inside + value * masks[0, 0, y, x].item(), whole + value
    assert found[0].item() == pytest.approx(inside / whole, rel=1e-12)
