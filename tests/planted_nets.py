"""Small networks that use what a planted set has, and nothing that it has not."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from planted import SIDE
from torch import Tensor, nn
from torch.nn import functional

from longcut.data.decoding import read_image
from longcut.data.image_set import ImageSet
from longcut.data.loader import Normalisation

PLAIN = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_BATCH, _RATE = 32, 3e-3


class SmallNet(nn.Module):
    """11,000 weights. The last layer reads every place of the map, so it sees where things are."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(*_block(3, 12, 2), *_block(12, 24, 1), *_block(24, 24, 2), nn.Flatten())
        self.head = nn.Linear(24 * (SIDE // 4) ** 2, 2)

    def encode(self, images: Tensor) -> Tensor:
        """`[b, d]`"""
        return self.body(images)

    def classify(self, features: Tensor) -> Tensor:
        """`[b, 2]`"""
        return self.head(features)


def _block(wide: int, out: int, stride: int) -> Iterable[nn.Module]:
    return nn.Conv2d(wide, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()


class Together(nn.Module):
    """Goes by what several networks say; each is heard as much as the others."""

    def __init__(self, *networks: SmallNet) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def encode(self, images: Tensor) -> Tensor:
        """`[b, k]` what each network says, from -1 for the first class to 1 for the second."""
        logits = [network.classify(network.encode(images)) for network in self.networks]  # type: ignore[operator]
        return torch.cat([torch.tanh(each[:, 1:] - each[:, :1]) for each in logits], dim=1)

    def classify(self, features: Tensor) -> Tensor:
        """`[b, 2]`"""
        said = features.sum(dim=1, keepdim=True)
        return torch.cat([-said, said], dim=1)


def train_net(images: ImageSet, seed: int, steps: int) -> SmallNet:
    """A network that has learned a set of images; the same for the same seed."""
    pixels, targets = _pixels(images), torch.from_numpy(images.targets)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = SmallNet()
        optimizer = torch.optim.Adam(net.parameters(), _RATE)
        for _ in range(steps):
            chosen = torch.randint(len(pixels), (_BATCH,))
            loss = functional.cross_entropy(net.classify(net.encode(pixels[chosen])), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net.eval()


def untrained_net(images: ImageSet, seed: int) -> SmallNet:
    """A network with random weights that takes half of some images for either class."""
    pixels = _pixels(images)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        net = SmallNet()
        for _ in range(10):
            net.encode(pixels)  # moves the statistics that it normalises by
        net.eval()
        logits = net.classify(net.encode(pixels))
        net.head.bias[1] += (logits[:, 0] - logits[:, 1]).median()
    return net


def accuracy_of(network: SmallNet, images: ImageSet) -> float:
    """The share of images that a network recognises."""
    with torch.no_grad():
        predicted = network.classify(network.encode(_pixels(images))).argmax(dim=1).numpy()
    return float((predicted == images.targets).mean())


def _pixels(images: ImageSet) -> Tensor:
    """`[s, 3, h, w]` as a network sees them."""
    arrays = np.stack([read_image(images.root / path) for path in images.paths])
    return (torch.from_numpy(arrays).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
