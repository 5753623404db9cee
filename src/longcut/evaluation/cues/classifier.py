"""How well classes are told from a few numbers: a linear classifier in closed form, cross-validated.

Its one fit is of the numbers and not of the classes: they are whitened by the covariance that all training images have
together, shrunk as Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices" (Journal
of Multivariate Analysis, 2004), lemma 3.3 to 3.5 have it. There an image belongs to the class with the nearest mean,

    f_k(x) = z · m_k - |m_k|² / 2,   z = W (x - μ),   W'W = ((1 - ρ) S + ρ I)⁻¹,   m_k = mean of z over class k,   (1)

which is ridge regression on the classes' indicators, each divided by its class's size, with the threshold half-way:
every class counts the same, however many images it has. Since `z` knows no class, other classes cost a matrix product.
`s` counts images, `d` numbers, `n` classes, `p` permutations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.floating]
Labels = NDArray[np.integer]

_LEAST_SHRINKAGE = 0.01  # or what never varies in training would be whitened into noise
_BLOCK = 1 << 22  # scores that are held at a time


@dataclass(frozen=True)
class Whitening:
    """Numbers standardised and whitened as some images have them: the `z` of equation 1."""

    mean: NDArray[np.float64]
    weight: NDArray[np.float64]
    """`[d, d]`, transposed: from the right."""

    @classmethod
    def fit(cls, values: Matrix) -> Whitening:
        """By the images `[s, d]`; what is alike in all of them counts as nothing."""
        mean, spread = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
        varies = spread > 1e-9 * (1 + np.abs(mean))
        scale = np.where(varies, 1 / np.where(varies, spread, 1), 0)
        standard = (values - mean) * scale
        share = max(shrinkage(standard), _LEAST_SHRINKAGE)
        covariance = (1 - share) * (standard.T @ standard) / len(values) + share * np.eye(len(mean))
        factor = np.linalg.inv(np.linalg.cholesky(covariance))
        return cls(mean, scale[:, None] * factor.T)

    def __call__(self, values: Matrix) -> NDArray[np.float32]:
        """`[s, d]` whitened."""
        return ((values - self.mean) @ self.weight).astype(np.float32)


def shrinkage(standard: Matrix) -> float:
    """Share of the identity in Ledoit and Wolf's covariance of standardised numbers `[s, d]`."""
    count, width = standard.shape
    covariance = standard.T @ standard / count
    squared = float((covariance**2).sum())
    distance = squared - np.trace(covariance) ** 2 / width
    noise = (float(((standard**2).sum(axis=1) ** 2).sum()) / count - squared) / count
    return float(np.clip(noise / distance, 0, 1)) if distance > 0 else 1.0


def draw_folds(targets: Labels, folds: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """`[s]` a fold for each image, such that every fold has its share of every class."""
    order = np.lexsort((draw.random(len(targets)), targets))
    place = np.empty(len(targets), np.int64)
    place[order] = np.arange(len(targets))
    first = np.searchsorted(targets[order], targets)
    return (place - first) % folds


@dataclass(frozen=True)
class CrossFit:
    """Numbers whitened for cross-validation: in each fold by the images of the others."""

    parts: tuple[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]], ...]
    """Of each fold: positions of the training images, their `z`; positions of those left out, theirs."""
    num_classes: int
    num_images: int

    @classmethod
    def fit(cls, values: Matrix, folds: Labels, num_classes: int) -> CrossFit:
        """Of `[s, d]` numbers and `[s]` folds."""
        parts = []
        for fold in np.unique(folds):
            train, rest = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            whiten = Whitening.fit(values[train])
            parts.append((train, whiten(values[train]), rest, whiten(values[rest])))
        return cls(tuple(parts), num_classes, len(values))

    def scores(self, targets: Labels) -> NDArray[np.float32]:
        """`[s, n]` what equation 1 says of each image, by classes of images in other folds."""
        found = np.empty((self.num_images, self.num_classes), np.float32)
        for train, inside, rest, outside in self.parts:
            for target, score in enumerate(_scores(inside, targets[None, train], outside, self.num_classes)):
                found[rest, target] = score[:, 0]
        return found

    def accuracies(self, labels: Labels) -> NDArray[np.float64]:
        """Balanced accuracies, each with all folds fitted again.

        Args:
            labels: `[p, s]` classes, each row another permutation of them.

        Returns:
            `[p]`
        """
        block = max(1, _BLOCK // self.num_images)
        starts = range(0, len(labels), block)
        return np.concatenate([self._block(labels[at : at + block]) for at in starts])

    def _block(self, labels: Labels) -> NDArray[np.float64]:
        hits = np.zeros((self.num_classes, len(labels)))
        for train, inside, rest, outside in self.parts:
            best = np.full((len(rest), len(labels)), -np.inf, np.float32)
            told = np.zeros(best.shape, labels.dtype)
            for target, score in enumerate(_scores(inside, labels[:, train], outside, self.num_classes)):
                told[score > best] = target
                np.maximum(best, score, out=best)
            right = told == labels[:, rest].T
            for target in range(self.num_classes):
                hits[target] += (right & (told == target)).sum(axis=0)
        sizes = np.bincount(labels[0], minlength=self.num_classes)[:, None]
        present = sizes[:, 0] > 0
        return np.asarray((hits[present] / sizes[present]).mean(axis=0))


def _scores(
    inside: NDArray[np.float32], labels: Labels, outside: NDArray[np.float32], num_classes: int
) -> Iterator[NDArray[np.float32]]:
    """`[t, p]` for each class, of images `outside [t, d]`, by `labels [p, s]` of those `inside [s, d]`."""
    for target in range(num_classes):
        members = (labels == target).astype(np.float32)
        count = members.sum(axis=1, keepdims=True)
        means = members @ inside / np.maximum(count, 1)
        offset = np.where(count[:, 0] > 0, (means**2).sum(axis=1) / 2, np.inf)
        yield outside @ means.T - offset.astype(np.float32)


def balanced_accuracy(predicted: Labels, targets: Labels) -> float:
    """Mean over the classes of the share of each that is predicted right."""
    right = predicted == targets
    return float(np.mean([right[targets == target].mean() for target in np.unique(targets)]))


def margins(scores: Matrix, targets: Labels) -> NDArray[np.float64]:
    """`[s]` score of each image's own class minus the best of the others; below 0 where it is taken for another."""
    own = np.take_along_axis(scores, targets[:, None], axis=1)[:, 0]
    others = scores.astype(np.float64)
    np.put_along_axis(others, targets[:, None], -np.inf, axis=1)
    return np.asarray(own - others.max(axis=1))
