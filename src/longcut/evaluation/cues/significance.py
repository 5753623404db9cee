"""Each cue's accuracy by itself, and beyond others, with what permuted labels reach. `s` images, `p` permutations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.cues.classifier import CrossFit, Matrix, balanced_accuracy, draw_folds
from longcut.evaluation.cues.conditional import conditional_permutations
from longcut.evaluation.cues.naming import Strength
from longcut.evaluation.cues.permutation import balanced_bootstrap, p_value, permuted_within, sign_test


@dataclass(frozen=True)
class Alone:
    """What one cue reaches by itself."""

    scores: NDArray[np.float32]
    """`[s, n]` out of fold."""
    accuracy: float
    """Balanced over the classes."""
    low: float
    high: float
    chance: float
    """Mean of what it reaches with permuted labels."""
    p: float

    @property
    def strength(self) -> Strength:
        """Effect and p-value."""
        return Strength(self.accuracy - self.chance, self.p)


@dataclass(frozen=True)
class CueTests:
    """Tests of several cues on the same images, in the same folds.

    Attributes:
        numbers: of each cue, `[s, d]`.
        targets: `[s]` classes; each has at least as many images as there are folds.
        num_classes: how many there are.
        folds: how many parts the images are cut into, by class.
        permutations: `p`.
        seed: of folds, permutations and resampling.
    """

    numbers: Mapping[str, Matrix]
    targets: NDArray[np.int64]
    num_classes: int
    folds: int = 5
    permutations: int = 999
    seed: int = 0
    _fits: dict[str, CrossFit] = field(default_factory=dict, init=False, repr=False)
    _alone: dict[str, Alone] = field(default_factory=dict, init=False, repr=False)
    _beyond: dict[tuple[str, frozenset[str]], Strength] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def fold_of(self) -> NDArray[np.int64]:
        """`[s]`"""
        return draw_folds(self.targets, self.folds, np.random.default_rng([self.seed, 0]))

    @cached_property
    def permuted(self) -> NDArray[np.int16]:
        """`[p, s]` labels permuted within the folds, so that each keeps its share of every class."""
        return permuted_within(self.targets, self.fold_of, self.permutations, np.random.default_rng([self.seed, 1]))

    def alone(self, cue: str) -> Alone:
        """How well a cue tells the class by itself."""
        if cue not in self._alone:
            fit = self._fit(cue)
            scores, null = fit.scores(self.targets), fit.accuracies(self.permuted)
            predicted = scores.argmax(axis=1)
            accuracy = balanced_accuracy(predicted, self.targets)
            ends = balanced_bootstrap(predicted == self.targets, self.targets, np.random.default_rng([self.seed, 2]))
            self._alone[cue] = Alone(scores, accuracy, *ends, float(null.mean()), p_value(accuracy, null))
        return self._alone[cue]

    def beyond(self, cue: str, others: Sequence[str]) -> Strength:
        """What a cue tells beyond others: labels are permuted so that they keep what the others tell of them."""
        key = cue, frozenset(others)
        if key not in self._beyond:
            together = np.concatenate([self.numbers[other] for other in sorted(key[1])], axis=1)
            scores = CrossFit.fit(together, self.fold_of, self.num_classes).scores(self.targets)
            draw = np.random.default_rng([self.seed, 3])
            permuted = conditional_permutations(self.targets, scores, self.fold_of, self.permutations, draw)
            null = self._fit(cue).accuracies(permuted)
            accuracy = self.alone(cue).accuracy
            self._beyond[key] = Strength(accuracy - float(null.mean()), p_value(accuracy, null))
        return self._beyond[key]

    def alike(self, one: str, other: str) -> bool:
        """Whether the interval of the difference of two accuracies, image by image, holds 0."""
        draw = np.random.default_rng([self.seed, 4])
        low, high = balanced_bootstrap(self._difference(one, other), self.targets, draw)
        return low <= 0 <= high

    def exceeds(self, one: str, other: str) -> float:
        """p-value of one's being more accurate than another, image by image."""
        draw = np.random.default_rng([self.seed, 5])
        return sign_test(self._difference(one, other), self.targets, self.permutations, draw)

    def _difference(self, one: str, other: str) -> NDArray[np.int64]:
        right = [self.alone(cue).scores.argmax(axis=1) == self.targets for cue in (one, other)]
        return right[0].astype(np.int64) - right[1]

    def _fit(self, cue: str) -> CrossFit:
        if cue not in self._fits:
            self._fits[cue] = CrossFit.fit(self.numbers[cue], self.fold_of, self.num_classes)
        return self._fits[cue]
