"""How well the class is told from each cue alone, and pseudo-groups by the strongest; without masks or bias labels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longcut import __version__
from longcut.data.image_set import ImageSet
from longcut.evaluation.cues.classifier import Whitening, margins
from longcut.evaluation.cues.features import RING, WHOLE, cue_numbers
from longcut.evaluation.cues.features_file import file_numbers
from longcut.evaluation.cues.naming import NARROWEST, Naming, Strength, name_cues
from longcut.evaluation.cues.result import Agreement, CueFinding, Discovery
from longcut.evaluation.cues.significance import CueTests
from longcut.evaluation.group_agreement import group_agreement
from longcut.recipes.discovery.reading import Described, Say, describe_images
from longcut.recipes.discovery.sets import check_classes, with_mask_file

_ALIKE = {
    "file": "the files are alike in format, mode, quality and what their headers hold",
    "size": "the shorter side of all images is one",
    "aspect": "all images have the same proportions",
}
_NO_FILES = "the images are rows of an array, or in files whose headers are unknown"


@dataclass(frozen=True)
class DiscoverOptions:
    """How cues are tested.

    Attributes:
        folds: of the cross-validation.
        permutations: of the labels; so many that a cue can reach the level when p-values are corrected for all cues.
        level: of the corrected p-values.
        least: smallest effect that is named, in balanced accuracy.
        seed: of folds and permutations.
        skip_bad: leave unreadable images out and say which.
        workers: processes that read; None takes every core.
    """

    folds: int = 5
    permutations: int = 999
    level: float = 0.05
    least: float = 0.02
    seed: int = 0
    skip_bad: bool = False
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ValueError(f"folds is {self.folds}: at least 2 are needed")
        if not 0 < self.level < 1:
            raise ValueError(f"level is {self.level}: it lies between 0 and 1")
        cues = len(NARROWEST)
        fewest = math.ceil(cues / self.level) - 1  # the smallest corrected p-value is cues / (1 + permutations)
        if self.permutations < fewest:
            raise ValueError(
                f"permutations is {self.permutations}: at least {fewest} are needed to name any of {cues} cues "
                f"at level {self.level}"
            )


def discover(
    images: ImageSet,
    *,
    measured: NDArray[np.bool_] | None = None,
    options: DiscoverOptions | None = None,
    say: Say = lambda line: None,
) -> Discovery:
    """Measure how well the class is told from each cue alone, and name the cues that it is told from.

    Images of which there are copies, byte by byte, count once: those of one image in different folds would tell each
    other's class. Bias labels are used for nothing but `agreement`.

    Args:
        images: with classes; with masks where there are some.
        measured: `[s]` those that cues are measured on; the others only have pseudo-groups. All of them where None.
        options: how cues are tested.
        say: is told what was left out.

    Raises:
        ImageError: names an unreadable image, unless they are skipped.
        ValueError: there are fewer than two classes, or fewer images of one than folds.
    """
    options = options or DiscoverOptions()
    measured = np.ones(len(images), bool) if measured is None else measured
    check_classes(images, measured, options.folds)
    images, measured = with_mask_file(images, measured, say)
    described = describe_images(images, skip_bad=options.skip_bad, workers=options.workers, say=say)
    images, measured = images.select(described.kept), measured[described.kept]
    original = _originals(described.digests, measured)
    once = measured & (original == np.arange(len(images)))
    check_classes(images, once, options.folds)
    numbers, left_out = _numbers(described, once, masked=images.masks is not None)
    targets, count = images.targets[once], len(images.classes)
    tests = CueTests(
        {name: values[once] for name, values in numbers.items()}, targets, count,
        options.folds, options.permutations, options.seed,
    )  # fmt: skip
    alone = {cue: tests.alone(cue).strength for cue in numbers if cue not in (RING, WHOLE)}
    alone["border"] = _more_than_ring(tests, alone["border"])
    naming = name_cues(alone, tests.beyond, tests.alike, level=options.level, least=options.least)
    scores = {cue: _all_scores(tests, cue, numbers[cue], once, original) for cue in naming.named}
    found = Discovery(
        images=images,
        measured=measured,
        cues=tuple(_finding(tests, cue, naming, options.level) for cue in _in_order(naming, alone)),
        whole=_finding(tests, WHOLE, naming, options.level),
        not_measured=left_out,
        scores=scores,
        about=_about(images, measured, once, described, options),
    )
    return replace(found, agreement=_agreement(found))


def _originals(digests: list[bytes], measured: NDArray[np.bool_]) -> NDArray[np.int64]:
    """`[s]` position of the first measured image with the same bytes; an image's own where there is none before it."""
    first: dict[bytes, int] = {}
    for i in np.flatnonzero(measured).tolist():
        first.setdefault(digests[i], i)
    return np.array([first.get(digest, i) for i, digest in enumerate(digests)], np.int64)


def _numbers(
    described: Described, once: NDArray[np.bool_], *, masked: bool
) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
    """Numbers of each cue, and why a cue has none."""
    of_file = file_numbers(described.facts, described.shapes)
    why = dict(_ALIKE) if all(described.facts) else _ALIKE | {"file": _NO_FILES}
    left_out = {cue: why[cue] for cue, values in of_file.items() if not np.ptp(values[once], axis=0).any()}
    kept = {cue: values for cue, values in of_file.items() if cue not in left_out}
    return kept | cue_numbers(described.features, once, masked=masked), left_out


def _more_than_ring(tests: CueTests, border: Strength) -> Strength:
    """The border's strength, with the p-value of both: it tells the class, and more than the ring inside it does.

    Any ring tells a little of the background that the one inside it does not: a border mark tells more.
    """
    return Strength(border.effect, max(border.p, tests.exceeds("border", RING)))


def _all_scores(
    tests: CueTests, cue: str, numbers: NDArray[np.float32], once: NDArray[np.bool_], original: NDArray[np.int64]
) -> NDArray[np.float32]:
    """`[s, n]`: out of fold for what was measured, that of its original for a copy, and by all of them for others."""
    whiten = Whitening.fit(numbers[once])
    inside = whiten(numbers[once])
    means = np.full((tests.num_classes, inside.shape[1]), np.nan)
    for target in np.unique(tests.targets):
        means[target] = inside[tests.targets == target].mean(axis=0)
    scores = whiten(numbers) @ means.T - (means**2).sum(axis=1) / 2
    scores = np.where(np.isnan(scores), -np.inf, scores).astype(np.float32)
    scores[once] = tests.alone(cue).scores
    return np.asarray(scores[original])


def _in_order(naming: Naming, alone: Mapping[str, Any]) -> list[str]:
    others = sorted(set(alone) - set(naming.named), key=lambda cue: -alone[cue].effect)
    return [*naming.named, *others]


def _finding(tests: CueTests, cue: str, naming: Naming, level: float) -> CueFinding:
    found = tests.alone(cue)
    beyond, p_corrected = naming.beyond.get(cue), naming.p_values.get(cue, found.p)
    only_ring = cue == "border" and found.p <= level < tests.exceeds("border", RING)
    return CueFinding(
        cue=cue,
        accuracy=found.accuracy,
        low=found.low,
        high=found.high,
        chance=found.chance,
        p=found.p,
        p_corrected=p_corrected,
        named=cue in naming.named,
        beyond=None if beyond is None else beyond.effect,
        explained_by=RING if only_ring else naming.explained_by.get(cue),
        numbers=tests.numbers[cue].shape[1],
    )


def _about(
    images: ImageSet,
    measured: NDArray[np.bool_],
    once: NDArray[np.bool_],
    described: Described,
    options: DiscoverOptions,
) -> dict[str, Any]:
    digest = hashlib.sha256()
    for path, target, content in zip(images.paths, images.targets, described.digests, strict=True):
        digest.update(f"{path}\0{target}\0".encode() + content)
    return {
        "data": str(images.root),
        "data_hash": f"sha256:{digest.hexdigest()}",
        "classes": list(images.classes),
        "images": int(measured.sum()),
        "copies": int((measured & ~once).sum()),
        "others": int((~measured).sum()),
        "masks": images.masks is not None,
        "folds": options.folds,
        "permutations": options.permutations,
        "level": options.level,
        "least": options.least,
        "seed": options.seed,
        "version": __version__,
    }


def _agreement(found: Discovery) -> tuple[Agreement, ...]:
    """Pseudo-groups beside the bias labels, of the images measured and of the others."""
    images, groups = found.images, found.pseudo_groups
    if groups is None or images.bias is None:
        return ()
    ahead, bias = -margins(found.scores[found.named[0]], images.targets), images.bias
    parts = {"measured": found.measured & (bias >= 0), "others": ~found.measured & (bias >= 0)}
    return tuple(
        group_agreement(name, images.targets[m], groups[m], bias[m], ahead[m], paired=images.bias_is_paired)
        for name, m in parts.items()
        if m.any()
    )
