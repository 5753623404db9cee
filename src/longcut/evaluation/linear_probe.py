"""Linear classifiers on frozen features: L-BFGS with a chosen penalty, and the SGD recipe of the papers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""L2 penalties to choose from, strongest first."""


@dataclass(frozen=True)
class Linear:
    """A linear classifier."""

    weight: Float[Tensor, "n d"]
    bias: Float[Tensor, " n"]

    def __call__(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b n"]:
        """Class logits."""
        return features @ self.weight.T + self.bias


def hold_out(targets: NDArray[np.int64], *, share: float = 0.2, seed: int = 0) -> Bool[NDArray[Any], " s"]:
    """Which samples to hold out: the same share of each class.

    Args:
        targets: `[s]` class labels.
        share: of each class, rounded; at least one sample, and none of a class that has only one.
        seed: of the draw.
    """
    held = np.zeros(len(targets), bool)
    for label in np.unique(targets):
        members = np.flatnonzero(targets == label)
        count = max(1, round(share * len(members))) if len(members) > 1 else 0
        held[np.random.default_rng([seed, int(label)]).permutation(members)[:count]] = True
    return held


def fit_lbfgs(
    features: Float[Tensor, "s d"],
    targets: Int[Tensor, " s"],
    *,
    num_classes: int,
    l2: float,
    start: Linear | None = None,
    max_steps: int = 300,
) -> Linear:
    """Multinomial logistic regression by L-BFGS on the whole set.

    Minimises the mean cross-entropy plus `l2 / 2` times the squared norm of the weights, the bias left free:
    scikit-learn's `LogisticRegression(C=1 / (l2 * s))`. It computes in the features' type, on their device.

    Args:
        features: as they are; standardise them first, as the penalty takes all of them to be of one scale.
        targets: 0 to `num_classes - 1`.
        num_classes: how many classes there are.
        l2: strength of the penalty.
        start: where to begin; zeros where None.
        max_steps: of L-BFGS.
    """
    shape = num_classes, features.shape[1]
    weight = features.new_zeros(shape) if start is None else start.weight.clone()
    bias = features.new_zeros(num_classes) if start is None else start.bias.clone()
    fitted = weight.requires_grad_(), bias.requires_grad_()
    optimizer = torch.optim.LBFGS(
        fitted,
        max_iter=max_steps,
        tolerance_grad=1e-7,
        tolerance_change=1e-11,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        found = functional.cross_entropy(Linear(*fitted)(features), targets) + l2 / 2 * weight.square().sum()
        found.backward()
        return found

    optimizer.step(loss)
    return Linear(weight.detach(), bias.detach())


def choose_and_fit(
    features: Float[Tensor, "s d"],
    targets: Int[Tensor, " s"],
    *,
    num_classes: int,
    penalties: tuple[float, ...] = PENALTIES,
    seed: int = 0,
) -> tuple[Linear, float]:
    """Logistic regression on standardised features, its penalty chosen on a held-out fifth of these same samples.

    The chosen penalty (of equals, the strongest) is then fitted on all samples. What the classifier is tested on has
    no part in the choice.

    Args:
        features: of any scale.
        targets: 0 to `num_classes - 1`.
        num_classes: how many classes there are.
        penalties: to choose from, strongest first: each fit begins where the former ended.
        seed: of what is held out.

    Returns:
        The classifier, for features that are not standardised, and its penalty. Where no class has two samples, the
        first penalty.
    """
    held = torch.from_numpy(hold_out(targets.cpu().numpy(), seed=seed)).to(features.device)
    chosen = penalties[0]
    if held.any():
        mean, std = _moments(features[~held])
        part, rest = (features[~held] - mean) / std, (features[held] - mean) / std
        fitted, scores = None, []
        for l2 in penalties:
            fitted = fit_lbfgs(part, targets[~held], num_classes=num_classes, l2=l2, start=fitted)
            scores.append(float((fitted(rest).argmax(1) == targets[held]).float().mean()))
        chosen = penalties[int(np.argmax(scores))]
    mean, std = _moments(features)
    final = fit_lbfgs((features - mean) / std, targets, num_classes=num_classes, l2=chosen)
    weight = final.weight / std
    return Linear(weight, final.bias - weight @ mean), chosen


def fit_sgd(
    passes: Float[Tensor, "v s d"],
    targets: Int[Tensor, " s"],
    *,
    num_classes: int,
    lr: float = 10.0,
    momentum: float = 0.9,
    batch_size: int = 128,
    epochs: int = 60,
    milestones: tuple[int, ...] = (30, 40, 50),
    seed: int = 0,
) -> Linear:
    """The contrastive papers' linear evaluation, on features that were computed once.

    Weights from N(0, 0.01), no weight decay, the learning rate cut to a tenth at each milestone, the classifier of the
    last epoch. The authors train on a fresh random crop of each image in every epoch, and report the epoch that is best
    on the set they report on.

    Args:
        passes: features of the same samples under `v` augmentations; epoch e reads the pass e modulo v.
        targets: 0 to `num_classes - 1`.
        num_classes: how many classes there are.
        lr: for features of a contrastive ResNet-50; features of greater length need a smaller one.
        momentum: of SGD.
        batch_size: samples of a step; what is left over at the end of an epoch is a smaller one.
        epochs: passes over the samples.
        milestones: epochs, counted from 0, before which the learning rate is cut.
        seed: of the starting weights and of the order.

    Raises:
        ValueError: the learning rate was too large for these features.

    Source:
        He et al., "Momentum contrast" (CVPR 2020), section 4.1, with the values of Ge et al. (NeurIPS 2021).
    """
    generator = torch.Generator().manual_seed(seed)
    weight = (0.01 * torch.randn(num_classes, passes.shape[2], generator=generator)).to(passes).requires_grad_()
    bias = passes.new_zeros(num_classes).requires_grad_()
    optimizer = torch.optim.SGD([weight, bias], lr=lr, momentum=momentum)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(milestones))
    for epoch in range(epochs):
        features = passes[epoch % len(passes)]
        order = torch.randperm(len(targets), generator=generator).to(passes.device)
        for chosen in order.split(batch_size):
            optimizer.zero_grad()
            functional.cross_entropy(Linear(weight, bias)(features[chosen]), targets[chosen]).backward()
            optimizer.step()
        schedule.step()
    if not weight.isfinite().all():
        raise ValueError(f"the linear probe diverged at lr {lr:g}: these features need a smaller one")
    return Linear(weight.detach(), bias.detach())


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """`[d]` mean and standard deviation; 1 for a feature that never changes."""
    mean, std = features.mean(0), features.std(0, correction=0)
    return mean, torch.where(std > 1e-6 * mean.abs(), std, torch.ones_like(std))
