"""Adversarial backgrounds: is there any background of another class on which a prediction turns?

Xiao, Engstrom, Ilyas and Madry, "Noise or signal: the role of image backgrounds in object recognition" (ICLR 2021),
section 4, with a capped number of backgrounds, and of images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.evaluation.audit.donors import draw_donors
from longcut.evaluation.audit.effects import share_effect
from longcut.evaluation.audit.result import Effect, NotRun
from longcut.evaluation.audit.variants import SWAPS, VARIANTS
from longcut.recipes.audit.effects import Scored
from longcut.recipes.audit.extras.names import EXTRA_EFFECTS
from longcut.recipes.audit.extras.spread import spread
from longcut.recipes.audit.preparing import Prepared
from longcut.recipes.audit.scores import Changed, Indices, Scorer
from longcut.recipes.audit.views import Lenders

BACKGROUNDS = 32
"""How many backgrounds an image is tried on at most."""
IMAGES = 256
"""How many images are tried at most."""
_EPOCH = 1  # draws apart from those of the swaps' donors
_SWAP = SWAPS["background"]
_PAIR = (_SWAP.same, _SWAP.other)


def adversarial_effect(prepared: Prepared, scorer: Scorer, scored: Scored, seed: int) -> Effect | NotRun:
    """Share of images whose prediction some of their backgrounds turns; an image that is turned is tried no further.

    Args:
        prepared: what the audit works on.
        scorer: that ran the core's passes.
        scored: predictions on the unchanged images, and what counts as another class.
        seed: of the backgrounds' draws.
    """
    about = EXTRA_EFFECTS["adversarial"]
    places, donors = draw_backgrounds(scored.reference, prepared.reader.lends, seed)
    if not len(places):
        return NotRun(
            about.suite, "no image of another class has a background to lend: two classes and masks are needed"
        )
    own = scored.original.predicted[places]
    usable, turned, by_first = np.ones(len(places), bool), np.zeros(len(places), bool), own[:0]
    for first in range(0, BACKGROUNDS, 2):
        alive = np.flatnonzero(usable & ~turned)
        if not len(alive):
            break
        trial = _Trial(prepared, places[alive], donors[alive, first : first + 2])
        found = replace(scorer, paths=prepared.images.select(places[alive]).paths).run(
            f"adversarial {first:02d}", trial.change, None
        )
        hits = np.stack([found.scores[name].predicted != own[alive] for name in _PAIR])
        usable[alive], turned[alive] = found.usable[_SWAP.cue], hits.any(axis=0)
        by_first = by_first if first else hits[0][usable]
    if not usable.any():
        return NotRun(about.suite, "no image has both a foreground and a background: masks are needed")
    note = (
        f"Of at most {BACKGROUNDS} backgrounds for each image; the first one alone turns {100 * by_first.mean():.1f} %."
    )
    return share_effect(about, "share", turned, usable, note=note)


def draw_backgrounds(groups: Indices, lends: NDArray[np.bool_], seed: int) -> tuple[Indices, Indices]:
    """Images to try, and images of other groups whose backgrounds each is tried on.

    An image's donors are spread evenly over all that it can have, group by group, and come in random order: they are
    different images as far as there are as many, and each by itself is drawn uniformly.

    Args:
        groups: `[s]` classes, or predictions where there are none.
        lends: `[s]` whether an image's background can be lent.
        seed: of the draws.

    Returns:
        `[m]` positions and `[m, BACKGROUNDS]` donors; no image that has no donor.
    """
    uniforms = np.zeros(len(groups))
    able = np.flatnonzero(draw_donors(groups, lends, uniforms, same=False) >= 0)
    places = able[spread(len(able), IMAGES)]
    draws = keyed_uniforms(seed, _EPOCH, places, Stream.LENDER, 1 + BACKGROUNDS)
    columns = []
    for quantile in ((draws[:, 1:].argsort(axis=1) + draws[:, :1]) / BACKGROUNDS).T:
        uniforms[places] = quantile
        columns.append(draw_donors(groups, lends, uniforms, same=False)[places])
    return places, np.column_stack(columns)


@dataclass(frozen=True)
class _Trial:
    """Some images on two backgrounds each: a batch is read with room for two donors.

    Attributes:
        prepared: what the audit works on.
        places: `[m]` positions of the images.
        donors: `[m, 2]` positions of the images whose backgrounds they get.
    """

    prepared: Prepared
    places: Indices
    donors: Indices

    def change(self, indices: Indices) -> Changed:
        """Both composites of the images at `indices [b]` of `places`."""
        lenders = np.full((2, len(self.prepared.store)), -1)
        lenders[:, self.places] = self.donors.T
        views = self.prepared.reader.views(self.places[indices], Lenders(*lenders))
        makers = {name: partial(VARIANTS[name].make, views) for name in _PAIR}
        return Changed(makers, {_SWAP.cue: _SWAP.usable(views)})
