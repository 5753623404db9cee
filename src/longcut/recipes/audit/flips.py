"""The gallery of an audit: for each effect of a change, some images whose prediction it turned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from longcut.attribution.places import Located
from longcut.evaluation.audit.result import Effect, Flip
from longcut.recipes.audit.attention import attention_maps
from longcut.recipes.audit.changes import REMOVED, SWAPPED
from longcut.recipes.audit.gallery import Gallery
from longcut.recipes.audit.passes import Passes
from longcut.recipes.audit.preparing import Prepared
from longcut.recipes.audit.scores import Logits

_DRAWN = {about.name: (f"{cue}_other", cue) for cue, about in SWAPPED.items()}
_DRAWN |= {about.name: (variant, variant) for variant, about in REMOVED.items()}
"""Of each effect that can turn a prediction, the variant that does, and which list of usable images counts."""


def draw_flips(
    prepared: Prepared,
    passes: Passes,
    network: Logits,
    located: Located | None,
    effects: Sequence[Effect],
    out: Path,
    per_effect: int,
) -> list[Flip]:
    """Draw them into an audit's folder.

    Args:
        prepared: what the audit works on.
        passes: over the images.
        network: from images of 0 to 1 to logits.
        located: its map of features; None draws no Grad-CAM.
        effects: of the audit.
        out: the folder.
        per_effect: how many of an effect at most.
    """
    scored, images = passes.scored, prepared.images
    targets = images.targets if scored.unit == "accuracy" else None
    gallery = Gallery(out, prepared.labelled.classes, images.paths, targets, scored.original, per_effect)
    flips: list[Flip] = []
    for effect in effects:
        if effect.name not in _DRAWN:
            continue
        variant, usable = _DRAWN[effect.name]
        changed = scored.changed.scores[variant]
        indices = gallery.chosen(changed, scored.changed.usable[usable])
        if len(indices) == 0:
            continue
        maps = attention_maps(prepared, network, located, indices, passes.predicted)
        originals = gallery.draw_originals(indices, prepared.reader.images(indices), maps)
        flips += gallery.draw(effect, variant, changed, indices, passes.changes.picture(variant, indices), originals)
    return flips
