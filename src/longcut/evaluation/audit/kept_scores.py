"""The scores that an audit keeps of every image, and what its effects are made of."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longcut.data.decoding import write_whole
from longcut.evaluation.audit.effects import Of, Scores, paired_differences, score_of
from longcut.evaluation.audit.result import Kind
from longcut.evaluation.predictions import DAMAGED

FILE = "scores.npz"
_FIELDS = ("predicted", "confidence", "probability")


@dataclass(frozen=True)
class Recipe:
    """Which scores an effect is made of.

    Attributes:
        effect: its name.
        kind: of the effect.
        first: the variant of `same` (swapped), of the unchanged images (removed, consistency), or the only one.
        second: the variant of `other` (swapped), without the cue (removed), or whose predictions are to be the same
            (consistency, which is `measured`); else empty.
        usable: which of the lists of usable images counts; all images where empty.
        of: what the score is.
    """

    effect: str
    kind: Kind
    first: str
    second: str = ""
    usable: str = ""
    of: Of = "decision"


@dataclass(frozen=True)
class KeptScores:
    """Scores of every image of an audit. `s` counts images.

    Attributes:
        paths: `[s]` of the images.
        reference: `[s]` classes that predictions are held against.
        variants: scores by variant.
        usable: `[s]` images that some variants could be made of, by cue or variant.
        recipes: of the effects that are made of these scores.
        lenders: `[s, 2]` positions of each image's donors, -1 where there is none; None where nothing was lent.
    """

    paths: tuple[str, ...]
    reference: NDArray[np.int64]
    variants: Mapping[str, Scores]
    usable: Mapping[str, NDArray[np.bool_]]
    recipes: tuple[Recipe, ...] = ()
    lenders: NDArray[np.int64] | None = None

    def recipe(self, effect: str) -> Recipe | None:
        """Of an effect, by its name; None where it is made of something else."""
        return next((recipe for recipe in self.recipes if recipe.effect == effect), None)

    def members(self, recipe: Recipe) -> NDArray[np.bool_]:
        """`[s]` images that count for an effect."""
        return self.usable[recipe.usable] if recipe.usable else np.ones(len(self.paths), bool)

    def differences(self, recipe: Recipe) -> NDArray[np.float64]:
        """`[s]` what each image adds to an effect that is a mean over images; nan where it does not count."""
        members, first = self.members(recipe), self.variants[recipe.first]
        if recipe.kind == "measured":
            held = self.variants[recipe.second].predicted if recipe.second else self.reference
            return np.where(members, score_of(first, held, recipe.of), np.nan)
        return paired_differences(first, self.variants[recipe.second], self.reference, members, recipe.of)

    def take(self, rows: NDArray[np.int64]) -> KeptScores:
        """All of the images, in the order of `rows [s]`."""
        place = np.argsort(rows)
        return KeptScores(
            tuple(self.paths[row] for row in rows.tolist()),
            self.reference[rows],
            {name: Scores(*(getattr(s, f)[rows] for f in _FIELDS)) for name, s in self.variants.items()},
            {cue: members[rows] for cue, members in self.usable.items()},
            self.recipes,
            None if self.lenders is None else np.where(self.lenders < 0, -1, place[self.lenders])[rows],
        )

    def save(self, folder: Path) -> Path:
        """Write `scores.npz`, whole or not at all; its path."""
        arrays: dict[str, Any] = {"paths": np.asarray(self.paths), "reference": self.reference}
        arrays |= {f"{name}.{f}": getattr(scores, f) for name, scores in self.variants.items() for f in _FIELDS}
        arrays |= {f"usable.{cue}": members for cue, members in self.usable.items()}
        arrays |= {} if self.lenders is None else {"lenders": self.lenders}
        fields = [tuple(vars(recipe).values()) for recipe in self.recipes]
        arrays["recipes"] = np.asarray(fields, str).reshape(len(fields), 6)
        stream = io.BytesIO()
        np.savez_compressed(stream, allow_pickle=False, **arrays)
        write_whole(folder / FILE, stream.getvalue())
        return folder / FILE

    @classmethod
    def load(cls, folder: Path) -> KeptScores:
        """Read what `save` wrote.

        Raises:
            ValueError: there is no such file, or it is damaged.
        """
        try:
            with (folder / FILE).open("rb") as stream, np.load(stream) as file:
                arrays = {name: file[name] for name in file.files}
            names = dict.fromkeys(name.rpartition(".")[0] for name in arrays if name.endswith(".predicted"))
            return cls(
                tuple(arrays["paths"].tolist()),
                arrays["reference"],
                {name: Scores(*(arrays[f"{name}.{field}"] for field in _FIELDS)) for name in names},
                {name.removeprefix("usable."): a for name, a in arrays.items() if name.startswith("usable.")},
                tuple(Recipe(*row) for row in arrays["recipes"].tolist()),
                arrays.get("lenders"),
            )
        except FileNotFoundError:
            raise ValueError(f"{folder} holds no {FILE}: run the audit again") from None
        except DAMAGED:
            raise ValueError(f"{folder / FILE} is damaged: run the audit again") from None
