"""What discovery found: how well each cue alone tells the class, and which images carry it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longcut.data.image_set import ImageSet


@dataclass(frozen=True)
class CueFinding:
    """How well the class is told from one cue.

    Attributes:
        cue: its name.
        accuracy: balanced over the classes, of images left out of the fit.
        low: lower end of its 95 % interval.
        high: upper end.
        chance: mean accuracy with permuted labels.
        p: share of permutations that do as well.
        p_corrected: for the number of cues; that of the whole image is not corrected.
        named: whether discovery says that the class can be told from it.
        beyond: of a cue that was named after others, balanced accuracy above what the others leave to chance.
        explained_by: the cue beyond which it tells nothing more; of the border, `ring` where it tells no more than the
            ring inside it does.
        numbers: that describe it.
    """

    cue: str
    accuracy: float
    low: float
    high: float
    chance: float
    p: float
    p_corrected: float
    named: bool
    beyond: float | None
    explained_by: str | None
    numbers: int

    @property
    def effect(self) -> float:
        """Balanced accuracy above chance."""
        return self.accuracy - self.chance


@dataclass(frozen=True)
class Agreement:
    """Pseudo-groups beside the bias labels, which discovery did not use.

    Attributes:
        images: which: those that were measured, or the others.
        n: with a bias label.
        agrees: share whose pseudo-group is the true one; of biases that do not go with classes, share whose true bias
            is the most frequent one of their pseudo-group.
        usual: share that would agree were the pseudo-group one and the same for all.
        aligned: share of the aligned images that the cue takes for their own class; None where no bias goes with each
            class, as all that follow.
        num_aligned: how many there are.
        conflicting: share of the conflicting images that it takes for another.
        num_conflicting: how many there are.
        auroc: of conflicting against aligned images by how far another class is ahead; None where a side is empty.
        low: lower end of its 95 % interval.
        high: upper end.
    """

    images: str
    n: int
    agrees: float
    usual: float
    aligned: float | None = None
    num_aligned: int = 0
    conflicting: float | None = None
    num_conflicting: int = 0
    auroc: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Discovery:
    """Everything that discovery found. `s` counts images, `n` classes.

    Attributes:
        images: that could be read.
        measured: `[s]` those that the cues were measured on; the others only have pseudo-groups.
        cues: those named in that order, then the others by strength.
        whole: the whole image for comparison, which is no cue.
        not_measured: cues that could not be measured, and why.
        scores: of each named cue `[s, n]`; out of fold where `measured`.
        agreement: with the bias labels, where there are any.
        about: settings, hash of the images, and counts.
    """

    images: ImageSet
    measured: NDArray[np.bool_]
    cues: tuple[CueFinding, ...]
    whole: CueFinding
    not_measured: Mapping[str, str]
    scores: Mapping[str, NDArray[np.float32]] = field(repr=False)
    agreement: tuple[Agreement, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def named(self) -> tuple[str, ...]:
        """The cues that are named, strongest first."""
        return tuple(found.cue for found in self.cues if found.named)

    @property
    def pseudo_groups(self) -> NDArray[np.int64] | None:
        """`[s]` class that the strongest cue says of each image; None where no cue is named."""
        return self.scores[self.named[0]].argmax(axis=1) if self.named else None

    @property
    def groups(self) -> list[list[int]] | None:
        """`[n][n]` images of each class with each pseudo-group."""
        found = self.pseudo_groups
        if found is None:
            return None
        counts = np.zeros((len(self.images.classes),) * 2, np.int64)
        np.add.at(counts, (self.images.targets, found), 1)
        rows: list[list[int]] = counts.tolist()
        return rows

    def record(self) -> dict[str, Any]:
        """Everything but what belongs to single images, as JSON has it."""
        return {
            **self.about,
            "named": list(self.named),
            "cues": [asdict(found) | {"effect": found.effect} for found in self.cues],
            "whole": asdict(self.whole) | {"effect": self.whole.effect},
            "not_measured": dict(self.not_measured),
            "groups": self.groups,
            "agreement": [asdict(part) for part in self.agreement],
        }
