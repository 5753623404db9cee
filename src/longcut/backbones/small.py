"""Small networks for small images: plain convolutions, and He et al.'s ResNet-20."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Norm = Literal["batch", "group", "none"]

_GROUPS = 8


def initialise(network: nn.Module) -> None:
    """Draw starting weights from torch's default generator.

    Convolutions: normal with variance 2 / fan-out (He et al., "Delving deep into rectifiers", ICCV 2015, equation 14);
    biases 0, normalisation 1 and 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def _normalisation(norm: Norm, width: int) -> nn.Module:
    if norm == "batch":
        return nn.BatchNorm2d(width)
    return nn.GroupNorm(_GROUPS, width) if norm == "group" else nn.Identity()


class SmallConvNet(nn.Module):
    """Convolutions with normalisation and ReLU, pooled over the whole map (`convnet5`).

    With its default strides a 64 px image gives a map of 4x4: quick on a CPU.

    Args:
        widths: channels of each convolution; the last is the number of features.
        strides: stride of each convolution.
        norm: `batch`; `group` (8 groups; widths must be multiples of 8) or `none` where a result must not depend on
            how a batch is split over processes.
        kernel: side of the convolutions' kernels, odd; the borders are padded with zeros.

    Raises:
        ValueError: an unknown `norm`, as many strides as widths are not given, or a width has no 8 equal groups.
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 64, 128, 256, 256),
        strides: Sequence[int] = (2, 2, 2, 1, 2),
        norm: Norm = "batch",
        kernel: int = 3,
    ) -> None:
        super().__init__()
        if norm not in get_args(Norm):
            raise ValueError(f"convnet5 has no norm {norm!r}; choose one of {', '.join(get_args(Norm))}")
        if len(widths) != len(strides) or not widths:
            raise ValueError(
                f"convnet5 needs one stride for each width: got {len(widths)} widths, {len(strides)} strides"
            )
        if norm == "group" and any(width % _GROUPS for width in widths):
            raise ValueError(f"convnet5 with norm 'group' needs widths that are multiples of {_GROUPS}: got {widths}")
        self.num_features = widths[-1]
        layers: list[nn.Module] = []
        for before, width, stride in zip([3, *widths[:-1]], widths, strides, strict=True):
            layers += [
                nn.Conv2d(before, width, kernel, stride, kernel // 2, bias=norm == "none"),
                _normalisation(norm, width),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers)
        initialise(self)

    def forward_features(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d y x"]:
        """Feature map before pooling."""
        return self.layers(images)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Features, averaged over the map."""
        return self.forward_features(images).mean(dim=(2, 3))


def convnet3() -> SmallConvNet:
    """Three 3x3 convolutions for images of about 28 px, of which 7x7 places are left: quick on a CPU."""
    return SmallConvNet((32, 64, 128), (2, 2, 1))


def convnet4(kernel: int = 7) -> SmallConvNet:
    """Four convolutions without strides, ReBias' `SimpleConvNet` for Biased MNIST.

    Bahng et al., "Learning de-biased representations with biased representations" (ICML 2020), section 4.2: kernels of
    7x7 for the network to be debiased, and of 1x1 for one that is biased by design, since it sees colours alone. Their
    convolutions also have biases, which batch normalisation takes out again.
    """
    return SmallConvNet((16, 32, 64, 128), (1, 1, 1, 1), kernel=kernel)


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters (option A)."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.stride = 1 if before == width else 2
        self.extra = width - before
        self.conv1 = nn.Conv2d(before, width, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        # Option A, section 4.2: subsample, and zeros for the channels that are new.
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))
        return F.relu(residual + shortcut)


class SmallResNet(nn.Module):
    """A residual network of basic blocks for small images, with shortcuts of option A.

    He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016, section 4.2. A block whose width
    differs from the one before it halves the map.

    Args:
        widths: channels of the first convolution and of each block; the last is the number of features.
        stem_stride: stride of the first convolution, which no pooling follows.
    """

    def __init__(self, widths: Sequence[int], *, stem_stride: int = 1) -> None:
        super().__init__()
        self.num_features = widths[-1]
        self.conv1 = nn.Conv2d(3, widths[0], 3, stem_stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.blocks = nn.Sequential(*(_BasicBlock(a, b) for a, b in pairwise(widths)))
        initialise(self)

    def forward_features(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d y x"]:
        """Feature map before pooling."""
        return self.blocks(F.relu(self.bn1(self.conv1(images))))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Features, averaged over the map."""
        return self.forward_features(images).mean(dim=(2, 3))


def resnet10() -> SmallResNet:
    """ResNet-10 for 64 px images, 1.2 million parameters: one block for each width, quick on a CPU."""
    return SmallResNet((16, 32, 64, 128, 256), stem_stride=2)


def resnet20() -> SmallResNet:
    """ResNet-20 for 32 px images (section 4.2 with n = 3), 0.27 million parameters with its classifier."""
    return SmallResNet((16,) * 4 + (32,) * 3 + (64,) * 3)
