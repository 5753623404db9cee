"""The method: the one interface that the engine trains and the evaluation reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from longcut.core.batch import Batch

NonSemantic = Literal["patch", "texture", "background"]
Fetch = Callable[[Int[Tensor, " b"], int], Float[Tensor, "b c h w"]]
"""Images of samples, by their positions in the dataset and the step that they are drawn for."""


class Method(nn.Module, ABC):
    """A way to train a classifier.

    A subclass is final: one paper, one class, one file. Its constructor takes the networks and, by keyword, the
    hyper-parameters with the paper's values as defaults: the signature is the configuration. Facts of the run that it
    names there are handed to it: `num_classes` (0 for images without classes), `num_samples`, `num_steps`, `num_bias`
    (0 where the bias is not labelled), `class_counts` and `group_counts` (how many samples each class, and each pair of
    class and bias, has) and `batch_size` (images of a step over all processes, 0 where that is not known).
    All state that a resumed run needs lives in parameters and persistent buffers.
    """

    needs: frozenset[str] = frozenset()
    """Optional fields of `Batch` that `training_step` reads; a constructor may ask for more where an option does."""
    supervised: ClassVar[bool] = True
    """Whether it learns from class labels, and cannot do without."""
    num_views: int = 1
    """How many further views it reads, where it needs `views`."""
    non_semantic: NonSemantic | None = None
    """What its non-semantic images are made of, where it needs them."""
    num_non_semantic: int = 1
    """How many of them each image gets."""
    fetches: ClassVar[bool] = False
    """Whether it asks for images that its own state names, by `fetch`."""
    fetch: Fetch | None = None
    """Gives augmented images of any sample; set by whoever trains a method that `fetches`."""
    accumulates: ClassVar[bool] = False
    """Whether k micro-batches give the step of one batch k times as large."""

    @abstractmethod
    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """Yield the weighted loss terms of each optimizer step that the batch gives.

        One yield is one optimizer step, and the sum of its terms is what is minimised. A term has a name of its own
        among all yields, and is there in every step; of an empty subset it is an exact zero with a graph.
        What must happen once after the updates belongs in `after_update`.
        """

    @abstractmethod
    def encode(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Features of the images; no side effects in evaluation mode."""

    @abstractmethod
    def classify(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b n"]:
        """Class logits of the features; no side effects in evaluation mode."""

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n"]:
        """Class logits of the images: `classify(encode(images))`, for every method."""
        return self.classify(self.encode(images))

    def after_update(self) -> None:
        """Run once after the last update of a batch (momentum networks)."""

    def sample_state(self) -> dict[str, Float[Tensor, " s"]]:
        """What it keeps of every sample of the dataset, by name, for analyses; nothing where it keeps nothing."""
        return {}

    def remarks(self) -> tuple[str, ...]:
        """What a person should know before the run begins, in lines: a phase that the run is too short for, say."""
        return ()

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Parameters for the optimizer, in groups where their learning rates differ."""
        return [{"params": [p for p in self.parameters() if p.requires_grad], "lr": lr}]
