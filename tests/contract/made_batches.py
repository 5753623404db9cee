"""Networks and batches made for tests: small, and without a dependence on how a batch is cut."""

from __future__ import annotations

import torch

from longcut.backbones import SmallConvNet
from longcut.core import Batch

CLASSES = 3


def small_net(norm: str = "group") -> SmallConvNet:
    return SmallConvNet(widths=(8, 16, 16), strides=(2, 2, 2), norm=norm)  # type: ignore[arg-type]


def made_batch(size: int = 8, seed: int = 0, *, pixels: int = 16) -> Batch:
    """Random images of all classes, with composites on backgrounds of other classes."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randperm(size, generator=generator) % CLASSES
    shift = torch.randint(1, CLASSES, (size,), generator=generator)
    return Batch(
        images=torch.randn(size, 3, pixels, pixels, generator=generator),
        targets=targets,
        indices=torch.arange(size) + 100 * seed,
        composites=torch.randn(size, 3, pixels, pixels, generator=generator),
        background_targets=(targets + shift) % CLASSES,
    )
