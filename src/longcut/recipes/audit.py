"""Where a model cheats, on any images: every cue swapped, removed and left alone, and what comes of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from longcut.attribution.places import Located
from longcut.data.image_set import ImageSet
from longcut.evaluation.audit_result import AuditResult, Effect, Flip, Unit
from longcut.evaluation.audit_verdicts import shortcuts_of, summary_of
from longcut.evaluation.kept_scores import KeptScores, Recipe
from longcut.evaluation.step_down import Differences, StepDown
from longcut.recipes.audit_attention import attention_effect, attention_maps, find_map
from longcut.recipes.audit_changes import ALONE, REMOVED, SWAPPED, Changes
from longcut.recipes.audit_effects import Scored, differences_of, effects_of, name_cues
from longcut.recipes.audit_gallery import Gallery
from longcut.recipes.audit_preparing import AuditOptions, Prepared, Say, prepare
from longcut.recipes.audit_record import about_data, about_model, key_of, left_out, settings_of, versions, warnings_of
from longcut.recipes.audit_rows import class_rows, group_effects
from longcut.recipes.audit_scores import Changed, Indices, Logits, Scorer, open_parts
from longcut.recipes.audit_views import draw_lenders
from longcut.recipes.models import Model

__all__ = ["AuditOptions", "run_audit"]
_ORIGINAL = "original"
_NEAR = 3
"""JPEG qualities that differ by less are taken for one."""


def run_audit(
    model: Model, images: ImageSet, out: Path, options: AuditOptions | None = None, *, say: Say = lambda line: None
) -> AuditResult:
    """Audit a model on a set of images; `audit.json`, `scores.npz` and `pictures` go to a folder.

    What was done is kept in `out/parts`, batch by batch: called again, it goes on there.

    Args:
        model: as `longcut.recipes.models.open_model` opens it.
        images: with classes or without.
        out: the folder.
        options: what is asked for.
        say: is told, in lines, what a person wants to know.

    Raises:
        ValueError: there are fewer than two images, or one cannot be read.
    """
    options = options or AuditOptions()
    prepared = prepare(model, images, options, say)
    parts = open_parts(out / "parts", key_of(prepared, options))
    network = Logits(prepared.labelled.network, model.normalisation, prepared.reader.device).eval()
    passes = _run(prepared, Scorer(network, len(prepared.store), options.batch, parts), options)
    effects, not_run = effects_of(passes.scored, options.suites)
    located = find_map(prepared, network) if "attention" in options.suites else None
    if "attention" in options.suites:
        looked = attention_effect(prepared, network, located, passes.predicted, options.batch)
        (effects if isinstance(looked, Effect) else not_run).append(looked)  # type: ignore[arg-type]
    grouped, groups = group_effects(passes.scored, prepared.images) if "groups" in options.suites else ([], ())
    effects += grouped
    flips = _draw(prepared, passes, network, located, effects, out, options.gallery)
    swaps = {cue: effect for cue, about in SWAPPED.items() for effect in effects if effect.name == about.name}
    untested = [cue for cue in SWAPPED if cue in options.suites and cue not in passes.state.findings]
    result = AuditResult(
        title=f"{model.subject.preset} on {images.root.name}",
        model=about_model(model),
        data=about_data(prepared),
        masks=prepared.masks,
        summary=summary_of(
            passes.state,
            swaps,
            accuracy=next((effect for effect in effects if effect.name == "accuracy"), None),
            not_tested=untested,
        ),
        warnings=warnings_of(prepared),
        shortcuts=shortcuts_of(passes.state, swaps),
        effects=tuple(effects),
        per_class=class_rows(passes.scored, passes.differences, prepared.labelled.classes),
        groups=groups,
        flips=tuple(flips),
        not_run=(*not_run, *left_out(prepared, options)),
        settings=settings_of(options),
        versions=versions(),
    )
    _keep_scores(out, prepared, passes)
    result.save(out)
    shutil.rmtree(parts)
    return result


@dataclass(frozen=True)
class _Passes:
    """What the passes over the images gave."""

    scored: Scored
    changes: Changes
    differences: Differences
    state: StepDown

    @property
    def predicted(self) -> Indices:
        """`[s]` on the unchanged images."""
        return self.scored.original.predicted


def _run(prepared: Prepared, scorer: Scorer, options: AuditOptions) -> _Passes:
    """First the images as they are, then every variant, then the swaps that are measured again."""
    reader, targets = prepared.reader, prepared.images.targets if prepared.labelled.labelled else None

    def unchanged(indices: Indices) -> Changed:
        return Changed({_ORIGINAL: lambda: reader.images(indices)}, {})

    original = scorer.run(_ORIGINAL, unchanged, targets).scores[_ORIGINAL]
    reference = original.predicted if targets is None else targets
    changes = _changes(prepared, reference, options)
    changed = scorer.run("variants", changes.all_of(options.suites), reference)

    def again(cues: tuple[str, ...], alike: tuple[str, ...]) -> Differences:
        name = f"{'+'.join(cues)} without {'+'.join(alike)}"
        return differences_of(scorer.run(name, changes.swaps_of(cues, alike), reference), reference)

    differences = differences_of(changed, reference)
    unit: Unit = "agreement" if targets is None else "accuracy"
    scored = Scored(original, changed, reference, unit, changes.lenders.pairs)
    state = name_cues(differences, options.least, again, changes.lenders.pairs)
    return _Passes(scored, changes, differences, state)


def _changes(prepared: Prepared, reference: Indices, options: AuditOptions) -> Changes:
    lenders = draw_lenders(reference, prepared.store.lends, options.seed)
    known = prepared.qualities[prepared.qualities > 0]
    differ = len(known) > 0 and (np.ptp(known) >= _NEAR or len(known) < len(prepared.qualities))
    lowest = int(known.min()) if len(known) else 0
    return Changes(prepared.reader, lenders, prepared.qualities if differ else None, lowest)


def _draw(
    prepared: Prepared,
    passes: _Passes,
    network: Logits,
    located: Located | None,
    effects: list[Effect],
    out: Path,
    per_effect: int,
) -> list[Flip]:
    """The gallery: for each effect of a change, images that it turned."""
    scored, images = passes.scored, prepared.images
    targets = images.targets if scored.unit == "accuracy" else None
    titles = prepared.labelled.classes
    gallery = Gallery(out, titles, images.paths, targets, scored.original, per_effect)
    named = {about.name: f"{cue}_other" for cue, about in SWAPPED.items()}
    named |= {about.name: variant for variant, about in REMOVED.items()}
    flips = []
    for effect in effects:
        variant = named.get(effect.name)
        if variant is None:
            continue
        members = scored.changed.usable[variant.removesuffix("_other")]
        indices = gallery.chosen(scored.changed.scores[variant], members)
        if len(indices):
            originals = prepared.reader.images(indices)
            maps = attention_maps(prepared, network, located, indices, passes.predicted)
            files = gallery.draw_originals(indices, originals, maps)
            picture = passes.changes.picture(variant, indices)
            flips += gallery.draw(effect, variant, scored.changed.scores[variant], indices, picture, files)
    return flips


def _keep_scores(folder: Path, prepared: Prepared, passes: _Passes) -> None:
    """What the model said of each variant of each image, for paired comparisons."""
    scored = passes.scored
    recipes = (
        Recipe("accuracy", "measured", _ORIGINAL),
        Recipe("consistency", "measured", _ORIGINAL, "background_other", "background"),
        *(Recipe(a.name, "swapped", f"{cue}_same", f"{cue}_other", cue) for cue, a in SWAPPED.items()),
        *(Recipe(a.name, "removed", _ORIGINAL, name, name) for name, a in REMOVED.items()),
        *(Recipe(a.name, "alone", name, usable=name) for name, a in ALONE.items()),
    )
    every = {_ORIGINAL: scored.original, **scored.changed.scores}
    kept = tuple(recipe for recipe in recipes if recipe.first in every and (recipe.second or _ORIGINAL) in every)
    paths, usable = tuple(prepared.images.paths), scored.changed.usable
    KeptScores(paths, scored.reference, every, usable, kept, scored.lenders).save(folder)
