"""A residual network that sees small patches only, and so textures rather than shapes."""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from longcut.backbones.small import initialise

_WIDTHS, _STRIDES, _BLOCKS = (64, 128, 256, 512), (2, 2, 2, 1), 2


class _PatchBlock(nn.Module):
    """A basic block whose convolutions are 1x1, or 3x3 and 1x1; without padding, so the shortcut is cut to size."""

    def __init__(self, before: int, width: int, stride: int, kernel: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, kernel, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        changes = stride != 1 or before != width
        self.shortcut: nn.Module = (
            nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
            if changes
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = self.shortcut(x)[:, :, : residual.shape[2], : residual.shape[3]]
        return F.relu(residual + shortcut)


class BagNet18(nn.Module):
    """ResNet-18 with 1x1 convolutions but for two of 3x3: no feature depends on more than 5x5 pixels (`bagnet18`).

    The network that ReBias is biased by on ImageNet: Bahng et al., "Learning de-biased representations with biased
    representations" (ICML 2020), section 4.3, as their code builds it, after Brendel and Bethge, "Approximating CNNs
    with bag-of-local-features models works surprisingly well on ImageNet" (ICLR 2019). Theirs averages the stem's
    statistics with a momentum of 0.001; here it is torch's, so that short runs have them too.
    """

    num_features = _WIDTHS[-1]

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, _WIDTHS[0], 1, bias=False)
        self.conv2 = nn.Conv2d(_WIDTHS[0], _WIDTHS[0], 3, bias=False)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        self.blocks = nn.Sequential(*_blocks())
        initialise(self)

    def forward_features(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d y x"]:
        """Feature map before pooling, an eighth of the images' size."""
        return self.blocks(F.relu(self.bn1(self.conv2(self.conv1(images)))))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Features, averaged over the map."""
        return self.forward_features(images).mean(dim=(2, 3))


def _blocks() -> Iterator[_PatchBlock]:
    before = _WIDTHS[0]
    for stage, (width, stride) in enumerate(zip(_WIDTHS, _STRIDES, strict=True)):
        for number in range(_BLOCKS):
            first = number == 0
            yield _PatchBlock(before, width, stride if first else 1, kernel=3 if first and stage == 0 else 1)
            before = width
