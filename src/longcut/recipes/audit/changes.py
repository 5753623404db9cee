"""The variants that an audit makes of its images, and what they are measured as."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longcut.evaluation.audit.effects import About
from longcut.evaluation.audit.variants import SWAPS, VARIANTS, Views
from longcut.recipes.audit.extras.names import EXTRA
from longcut.recipes.audit.scores import Changed, Indices
from longcut.recipes.audit.views import Lenders, ViewReader
from longcut.recipes.suite_options import check_name

FILE = "file"
SWAPPED = {
    "background": About("bg_gap", "Background of another class", "background", needs_masks=True),
    "border": About("border_gap", "Border of another class", "border"),
    "colour": About("colour_gap", "Colours of another class", "colour", needs_masks=True),
    "texture": About("texture_gap", "Texture of another class", "texture", needs_masks=True),
    FILE: About("file_gap", "JPEG quality of another class", FILE),
}
"""The swap of each cue."""
REMOVED = {
    "only_foreground": About("background_removed", "Background replaced by a plain colour", "background", True),
    "greyscale": About("colour_removed", "Greyscale", "colour"),
    "shuffle_2": About("shape_removed_2", "Shuffled in 2 x 2 patches", "patches"),
    "shuffle_4": About("shape_removed_4", "Shuffled in 4 x 4 patches", "patches"),
    "shuffle_8": About("shape_removed_8", "Shuffled in 8 x 8 patches", "patches"),
    "low_pass": About("detail_removed", "Blurred: no fine detail", "frequency"),
    "high_pass": About("coarse_removed", "Fine detail alone", "frequency"),
}
"""What is lost in a variant."""
ALONE = {
    "only_background": About("background_alone", "Background alone", "background", needs_masks=True),
    "shuffle_8": About("patches_alone", "Patches alone, 8 x 8 shuffled", "patches"),
}
"""What a variant keeps above chance."""
CORE = ("background", "border", "colour", "texture", FILE, "patches", "frequency", "groups", "attention", "calibration")
"""The suites of every audit."""


def suites_of(text: str) -> tuple[str, ...]:
    """Names of suites, from `core`, `all` or names with commas between them.

    Raises:
        ValueError: a name is unknown; gives the nearest.
    """
    names = [name.strip() for name in text.split(",")]
    groups = {"core": CORE, "all": (*CORE, *EXTRA)}
    for name in names:
        check_name(name, (*groups, *CORE, *EXTRA), "suite")
    return tuple(dict.fromkeys(suite for name in names for suite in groups.get(name, (name,))))


@dataclass(frozen=True)
class Changes:
    """Makes an audit's variants.

    Attributes:
        reader: of the images.
        lenders: of each image.
        qualities: `[s]` JPEG quality of each file, 0 where it is no JPEG; None where the cue `file` is not measured.
        lowest: the quality that makes all files alike.
    """

    reader: ViewReader
    lenders: Lenders
    qualities: NDArray[np.int64] | None
    lowest: int

    def all_of(self, suites: tuple[str, ...]) -> Callable[[Indices], Changed]:
        """Every variant of some suites."""
        names = [name for name, variant in VARIANTS.items() if variant.suite in suites]
        cues = [cue for cue in SWAPS if cue in suites]
        return partial(self._change, names, cues, [FILE] if FILE in suites and self.qualities is not None else [], ())

    def swaps_of(self, cues: tuple[str, ...], alike: tuple[str, ...]) -> Callable[[Indices], Changed]:
        """The swaps of some cues, while others are alike in all images."""
        made = [cue for cue in cues if cue in SWAPS]
        names = [name for cue in made for name in (SWAPS[cue].same, SWAPS[cue].other)]
        return partial(self._change, names, made, [cue for cue in cues if cue == FILE], alike)

    def picture(self, variant: str, indices: Indices) -> Tensor:
        """One variant of some images: `[b, 3, h, w]`, 0 to 1."""
        files = [FILE] if variant.startswith(f"{FILE}_") else []
        names = [] if files else [variant]
        return self._change(names, [], files, (), indices).makers[variant]()

    def _change(
        self, names: list[str], cues: list[str], files: list[str], alike: tuple[str, ...], indices: Indices
    ) -> Changed:
        quality = self.lowest if FILE in alike else 0
        read = self.reader.views(indices, self.lenders, quality)
        views = _made_alike(read, alike)
        framed = _without_foregrounds(views)
        makers: dict[str, Callable[[], Tensor]] = {
            name: partial(VARIANTS[name].make, framed if VARIANTS[name].suite == "border" else views) for name in names
        }
        complete = torch.from_numpy(self.lenders.complete[indices]).to(views.images.device)
        for cue in alike:  # an image without a mask has nothing left once all backgrounds are alike
            complete &= SWAPS[cue].usable(read) if cue in SWAPS else True
        usable = {cue: SWAPS[cue].usable(views) & complete for cue in cues}
        usable |= {name: VARIANTS[name].usable(views) for name in names if name in (*REMOVED, *ALONE)}
        usable |= {n: usable[n] & _on(flags, usable[n]) for n, flags in self._shows(indices).items() if n in usable}
        for cue in files:
            for which in ("same", "other"):  # read here, where another batch may be under way, and not when asked for
                images = self._file(views, indices, getattr(self.lenders, which), alike)
                makers[f"{cue}_{which}"] = partial(_as_read, images)
            usable[cue] = complete
        return Changed(makers, usable)

    def _shows(self, indices: Indices) -> dict[str, NDArray[np.bool_]]:
        """`[b]` of some names, the images in which no foreground stands for a background or a frame."""
        (same, other), lends, margin = self.lenders.pairs[indices].T, self.reader.lends, self.reader.leaves_margin
        lent = {"background": lends[same] & lends[other], "border": margin[same] & margin[other]}
        return {**lent, "only_background": lends[indices]}

    def _file(self, views: Views, indices: Indices, lenders: Indices, alike: tuple[str, ...]) -> Tensor:
        """Images at their donors' quality."""
        assert self.qualities is not None
        donors = np.where(lenders[indices] >= 0, lenders[indices], indices)
        encoded = self.reader.encoded(indices, self.qualities[donors])
        return _made_alike(replace(views, images=encoded), alike).images


def _without_foregrounds(views: Views) -> Views:
    """Donors of frames show their backgrounds: where a foreground reaches into the frame, it is no border."""
    same, other = (
        part if part is None or part.backgrounds is None else replace(part, images=part.backgrounds)
        for part in (views.same, views.other)
    )
    return replace(views, same=same, other=other)


def _as_read(images: Tensor) -> Tensor:
    return images


def _on(flags: NDArray[np.bool_], tensor: Tensor) -> Tensor:
    return torch.from_numpy(flags).to(tensor.device)


def _made_alike(views: Views, cues: tuple[str, ...]) -> Views:
    neutral: Mapping[str, Callable[[Views], Views]] = {cue: swap.neutral for cue, swap in SWAPS.items()}
    for cue in cues:
        views = neutral[cue](views) if cue in neutral else views
    return views
