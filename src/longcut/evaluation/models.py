"""Models that are not runs of ours, and any model's classes gathered into fewer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from longcut.backbones import create_backbone, create_classifier

RANDOM = "random weights"
_RANDOM_SEED = 0
Gathering = Literal["max", "mean_probability"]


class ImageNetClassifier(nn.Module):
    """A 1000-way ImageNet model of timm's; its classes are those of `longcut.data.imagenet_classes.wordnet_ids`.

    Args:
        name: of the model in timm.
        weights: a local file; None for timm's own; `none` for random ones.
        image_size: of the images, for models built for one size.
        or_random: begin from random weights where timm's own cannot be had, rather than raise; `starting_weights` says
            so, and why.

    Raises:
        ValueError: the name is unknown, or the weights are missing, do not fit or cannot be downloaded.
    """

    def __init__(
        self, name: str, weights: str | None = None, *, image_size: int | None = None, or_random: bool = False
    ) -> None:
        super().__init__()
        if weights == "none":
            self.model, self.starting_weights = _random(name, image_size), RANDOM
        elif weights is None and or_random:
            self.model, self.starting_weights = _own_or_random(name, image_size)
        else:
            self.model, self.starting_weights = create_classifier(name, weights, image_size=image_size)

    @property
    def statistics(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Mean and standard deviation that timm normalises this model's images by."""
        configuration: Any = getattr(self.model, "pretrained_cfg", {})
        mean, std = configuration["mean"], configuration["std"]
        return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])

    def encode(self, images: Tensor) -> Tensor:
        """`[b, c, h, w]` to pooled features `[b, d]`."""
        model: Any = self.model
        return model.forward_head(model.forward_features(images), pre_logits=True)

    def classify(self, features: Tensor) -> Tensor:
        """`[b, d]` to `[b, 1000]`."""
        model: Any = self.model
        logits: Tensor = model.get_classifier()(features)
        return logits


def _own_or_random(name: str, image_size: int | None) -> tuple[nn.Module, str]:
    model = _random(name, image_size)  # an unknown name is a fault whatever the weights
    try:
        return create_classifier(name, image_size=image_size)
    except ValueError:
        return model, f"{RANDOM} (timm's own cannot be had here; give a file with --weights)"


def _random(name: str, image_size: int | None) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_RANDOM_SEED)
        return create_backbone(name, image_size=image_size, num_classes=1000).eval()


class GatheredClassifier(nn.Module):
    """A classifier whose classes are gathered into groups.

    By `max` the logit of a group is the largest among its members, so that the group with the largest logit is that of
    the model's own prediction. By `mean_probability` it is the logarithm of the mean over the members of the
    probabilities over all of the model's classes, the decision rule of cue-conflict stimuli, which favours no group for
    its size.

    Args:
        network: with `encode` and `classify`.
        members: places of each group's members among the network's classes; no two groups overlap.
        how: a group's logit.
        outside: add a last column for all classes of no group, a prediction of which is wrong; without it the decision
            is restricted to the groups.
        num_classes: of the network.
    """

    groups: Tensor

    def __init__(
        self,
        network: Any,
        members: Sequence[Sequence[int]],
        *,
        num_classes: int,
        how: Gathering = "max",
        outside: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.how = how
        self.num_groups = len(members) + outside
        groups = torch.full((num_classes,), len(members), dtype=torch.long)
        for group, places in enumerate(members):
            groups[list(places)] = group
        self._num_columns = len(members) + 1
        self.register_buffer("groups", groups, persistent=False)

    def encode(self, images: Tensor) -> Tensor:
        """`[b, c, h, w]` to features `[b, d]`."""
        features: Tensor = self.network.encode(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """`[b, d]` to `[b, groups]`."""
        logits: Tensor = self.network.classify(features).float()
        if self.how == "max":
            lowest = logits.new_full((len(logits), self._num_columns), -math.inf)
            gathered = lowest.scatter_reduce(1, self.groups.expand(len(logits), -1), logits, "amax")
        else:
            gathered = _log_mean_probability(logits, self.groups, self._num_columns)
        return gathered[:, : self.num_groups]


def _log_mean_probability(logits: Tensor, groups: Tensor, num_columns: int) -> Tensor:
    """`[b, n]` to `[b, groups]`; in float64, where the probability of a group far behind is not yet 0."""
    probabilities = logits.double().softmax(dim=1)
    sums = probabilities.new_zeros(len(logits), num_columns).index_add(1, groups, probabilities)
    sizes = torch.bincount(groups, minlength=num_columns).clamp(min=1)
    return (sums / sizes).log().float()
