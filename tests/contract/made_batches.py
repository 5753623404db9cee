"""Networks and batches made for tests: small, and without a dependence on how a batch is cut."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from longcut.backbones import SmallConvNet
from longcut.core import Batch, Method
from longcut.methods import METHODS

CLASSES = 3
FACTS = {
    "num_classes": CLASSES,
    "num_samples": 1000,
    "num_steps": 10,
    "num_bias": CLASSES,
    "class_counts": [100, 100, 100],
    "group_counts": [[90, 5, 5], [5, 90, 5], [5, 5, 90]],
}
"""What a constructor is told where it asks."""


def small_net(norm: str = "group") -> SmallConvNet:
    return SmallConvNet(widths=(8, 16, 16), strides=(2, 2, 2), norm=norm)  # type: ignore[arg-type]


def made_method(name: str | type[Method], norm: str, options: dict[str, Any]) -> Method:
    """A method, by its name or class, on as many small networks as it has positions for."""
    kind = METHODS[name] if isinstance(name, str) else name
    signature = inspect.signature(kind).parameters
    nets = [small_net(norm) for p in signature.values() if p.kind is not p.KEYWORD_ONLY]
    method = kind(*nets, **{key: value for key, value in FACTS.items() if key in signature}, **options)
    if method.fetches:
        method.fetch = made_images
    return method


def made_images(indices: Tensor, step: int, *, pixels: int = 16) -> Tensor:
    """Random images that depend on nothing but the samples' positions and the step."""
    generators = [torch.Generator().manual_seed(1000 * step + index) for index in indices.tolist()]
    return torch.stack([torch.randn(3, pixels, pixels, generator=generator) for generator in generators])


def made_batch(size: int = 8, seed: int = 0, *, pixels: int = 16) -> Batch:
    """Random images of all classes, with composites on backgrounds of other classes.

    One further view of each image, and two non-semantic images. Most are bias-aligned and in the amplified set, the
    others are candidates.
    """
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randperm(size, generator=generator) % CLASSES
    shift = torch.randint(1, CLASSES, (size,), generator=generator)
    aligned = torch.arange(size) % 4 != 3
    return Batch(
        images=torch.randn(size, 3, pixels, pixels, generator=generator),
        targets=targets,
        indices=torch.arange(size) + 100 * seed,
        composites=torch.randn(size, 3, pixels, pixels, generator=generator),
        background_targets=(targets + shift) % CLASSES,
        views=torch.randn(size, 1, 3, pixels, pixels, generator=generator),
        non_semantic=torch.randn(size, 2, 3, pixels, pixels, generator=generator),
        bias=torch.where(aligned, targets, (targets + 1) % CLASSES),
        amplified=aligned,
        candidates=~aligned,
    )
