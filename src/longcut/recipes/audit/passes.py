"""The passes of a model over an audit's images: as they are, changed, and changed again for what is to be named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from longcut.evaluation.audit.kept_scores import KeptScores, Recipe
from longcut.evaluation.audit.result import Unit
from longcut.evaluation.audit.step_down import Differences, StepDown
from longcut.recipes.audit.changes import ALONE, REMOVED, SWAPPED, Changes
from longcut.recipes.audit.effects import Scored, differences_of, name_cues
from longcut.recipes.audit.preparing import AuditOptions, Prepared
from longcut.recipes.audit.scores import Changed, Indices, Scorer
from longcut.recipes.audit.views import Lenders, draw_lenders

_ORIGINAL = "original"


@dataclass(frozen=True)
class Passes:
    """What the passes gave.

    Attributes:
        scored: what effects are made of.
        changes: what makes the variants.
        differences: of each cue that was swapped, image by image.
        state: the naming, where everything is decided.
    """

    scored: Scored
    changes: Changes
    differences: Differences
    state: StepDown

    @property
    def predicted(self) -> Indices:
        """`[s]` on the unchanged images."""
        return self.scored.original.predicted


def run_passes(prepared: Prepared, scorer: Scorer, options: AuditOptions) -> Passes:
    """First the images as they are, then every variant, then the swaps that are measured again."""
    reader, targets = prepared.reader, prepared.images.targets if prepared.labelled.labelled else None

    def unchanged(indices: Indices) -> Changed:
        return Changed({_ORIGINAL: lambda: reader.images(indices)}, {})

    original = scorer.run(_ORIGINAL, unchanged, targets).scores[_ORIGINAL]
    reference = original.predicted if targets is None else targets
    lenders = draw_lenders(reference, reader.lends, options.seed)
    changes = _changes(prepared, lenders)
    changed = scorer.run("variants", changes.all_of(options.suites), reference)

    def again(cues: tuple[str, ...], alike: tuple[str, ...]) -> Differences:
        name = f"{'+'.join(cues)} without {'+'.join(alike)}"
        return differences_of(scorer.run(name, changes.swaps_of(cues, alike), reference), reference)

    differences = differences_of(changed, reference)
    unit: Unit = "agreement" if targets is None else "accuracy"
    scored = Scored(original, changed, reference, unit, lenders.pairs)
    return Passes(scored, changes, differences, name_cues(differences, options.least, again, lenders.pairs))


def _changes(prepared: Prepared, lenders: Lenders) -> Changes:
    if not prepared.qualities_differ:
        return Changes(prepared.reader, lenders, None, 0)
    return Changes(prepared.reader, lenders, prepared.qualities, int(prepared.jpeg_qualities.min()))


def keep_scores(folder: Path, paths: tuple[str, ...], scored: Scored) -> None:
    """What the model said of each variant of each image, for paired comparisons.

    Args:
        folder: of the audit.
        paths: `[s]` of the images.
        scored: what it said.
    """
    recipes = (
        Recipe("accuracy", "measured", _ORIGINAL),
        Recipe("consistency", "measured", _ORIGINAL, "background_other", "background"),
        *(Recipe(a.name, "swapped", f"{cue}_same", f"{cue}_other", cue) for cue, a in SWAPPED.items()),
        *(Recipe(a.name, "removed", _ORIGINAL, name, name) for name, a in REMOVED.items()),
        *(Recipe(a.name, "alone", name, usable=name) for name, a in ALONE.items()),
    )
    every = {_ORIGINAL: scored.original, **scored.changed.scores}
    kept = tuple(recipe for recipe in recipes if recipe.first in every and (recipe.second or _ORIGINAL) in every)
    KeptScores(paths, scored.reference, every, scored.changed.usable, kept, scored.lenders).save(folder)
