"""The batch: what every method reads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Images of one optimizer step with what belongs to each of them.

    The first three fields are always there; the others only where a method names them in `Method.needs`.
    `v` counts views, `n` non-semantic negatives, the other letters are those of the shapes.
    """

    images: Float[Tensor, "b c h w"]
    """Normalised images."""
    targets: Int[Tensor, " b"]
    """Class labels, -1 where there are none."""
    indices: Int[Tensor, " b"]
    """Position of each sample in its dataset."""
    bias: Int[Tensor, " b"] | None = None
    """The spurious attribute."""
    composites: Float[Tensor, "b c h w"] | None = None
    """Each image's foreground on the background of an image of another class, augmented by a draw of its own."""
    background_targets: Int[Tensor, " b"] | None = None
    """Class of the image that gave each composite its background."""
    views: Float[Tensor, "b v c h w"] | None = None
    """Further augmentations of the images."""
    non_semantic: Float[Tensor, "b n c h w"] | None = None
    """Images with the texture of `images` and without their meaning."""
    amplified: Bool[Tensor, " b"] | None = None
    """Whether each sample is in the bias-amplified set: what biased models agree on (BiasEnsemble)."""
    candidates: Bool[Tensor, " b"] | None = None
    """Whether each sample is a candidate for being bias-conflicting: what biased models get wrong."""

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """The same batch on another device."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(
            self, **{k: t.to(device, non_blocking=non_blocking) for k, t in tensors.items() if t is not None}
        )

    def require(self, names: Collection[str], by: str) -> None:
        """Check that optional fields are there.

        Raises:
            ValueError: names each missing field, who needs it and where it comes from; or a name is that of none.
        """
        check_fields(names, by)
        missing = sorted(name for name in names if getattr(self, name) is None)
        if missing:
            hints = "; ".join(f"{name}: {_SOURCES[name]}" for name in missing)
            raise ValueError(f"{by} needs batches with {', '.join(missing)} ({hints})")


def check_fields(names: Collection[str], by: str) -> None:
    """Check that batches can have optional fields of these names.

    Raises:
        ValueError: names each that is none, who needs it and what there is.
    """
    unknown = sorted(set(names) - set(_SOURCES))
    if unknown:
        raise ValueError(
            f"{by} needs {', '.join(unknown)}, which no batch has: there are {', '.join(sorted(_SOURCES))}"
        )


_SOURCES = {
    "bias": "data whose bias is labelled, such as a CSV with a `bias` column",
    "composites": "masks beside the images, made with 'longcut data segment'",
    "background_targets": "they come with composites, where `needs` names these too",
    "views": "a loader that draws several views",
    "non_semantic": "a loader that makes non-semantic negatives",
    "amplified": "the sets that a bias ensemble tells apart",
    "candidates": "the sets that a bias ensemble tells apart",
}
