"""What corruptions cost: the fifteen of ImageNet-C at a medium severity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from longcut.core.seeding import keyed_seed
from longcut.corruptions import CORRUPTIONS, corrupt
from longcut.evaluation.audit.effects import effect_of, score_of
from longcut.evaluation.audit.intervals import paired_interval
from longcut.evaluation.audit.result import Effect, NotRun
from longcut.recipes.audit.effects import Scored
from longcut.recipes.audit.extras.names import EXTRA_EFFECTS
from longcut.recipes.audit.extras.spread import spread
from longcut.recipes.audit.preparing import Prepared
from longcut.recipes.audit.scores import Changed, Indices, Scorer

IMAGES = 512
"""How many images are corrupted at most: each costs fifteen forward passes."""
SEVERITY = 3
"""Of 1 to 5."""
_SMALLEST = 16


def corruption_effect(prepared: Prepared, scorer: Scorer, scored: Scored, seed: int) -> Effect | NotRun:
    """Score lost under corruptions, as the mean over them; the worst is in the note.

    Args:
        prepared: what the audit works on.
        scorer: that ran the core's passes.
        scored: scores of the unchanged images, and what counts as right.
        seed: of what corruptions draw.
    """
    about, size = EXTRA_EFFECTS["corruptions"], prepared.model.image_size
    if size < _SMALLEST:
        return NotRun(about.suite, f"images of {size} x {size} cannot be corrupted: {_SMALLEST} pixels are needed")
    places = spread(len(prepared.store), IMAGES)
    reference = scored.reference[places]

    def change(indices: Indices) -> Changed:
        images = prepared.reader.images(places[indices]).mul(255).round_().to(torch.uint8)
        first = int(places[indices[0]])
        makers: dict[str, Callable[[], Tensor]] = {
            name: partial(_corrupted, images, name, keyed_seed(f"{name} {first}", seed)) for name in CORRUPTIONS
        }
        return Changed(makers, {})

    found = replace(scorer, paths=prepared.images.select(places).paths).run("corruptions", change, reference)
    before = score_of(scored.original, scored.reference)[places]
    after = np.stack([score_of(found.scores[name], reference) for name in CORRUPTIONS])
    lost = before.mean() - after.mean(axis=1)
    mean = paired_interval(before - after.mean(axis=0))
    worst = CORRUPTIONS[int(lost.argmax())].replace("_", " ")
    costs = f"the worst is {worst}, which costs {100 * lost.max():.1f} points"
    note = f"Mean of {len(CORRUPTIONS)} corruptions at severity {SEVERITY}; {costs}."
    return effect_of(about, "removed", scored.unit, mean, float(before.mean()), float(after.mean()), note=note)


def _corrupted(images: Tensor, name: str, seed: int) -> Tensor:
    """Uint8 `[b, 3, h, w]` to corrupted images of 0 to 1; each corruption draws from a generator of its own."""
    generator = torch.Generator(images.device).manual_seed(seed)
    return corrupt(images, name, SEVERITY, generator=generator).float().div_(255)
