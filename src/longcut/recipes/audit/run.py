"""Where a model cheats, on any images: every cue swapped, removed and left alone, and what comes of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from longcut.attribution.places import Located
from longcut.data.image_set import ImageSet
from longcut.engine.launch import keep_memory
from longcut.evaluation.audit.result import AuditResult, Effect, NotRun
from longcut.evaluation.audit.verdicts import shortcuts_of, summary_of
from longcut.recipes.audit.attention import attention_effect, find_map
from longcut.recipes.audit.changes import SWAPPED
from longcut.recipes.audit.effects import effects_of
from longcut.recipes.audit.extras.effects import extra_effects
from longcut.recipes.audit.flips import draw_flips
from longcut.recipes.audit.folder import HASH, PARTS, drop_pictures, finished_audit, held
from longcut.recipes.audit.model import AuditedModel
from longcut.recipes.audit.passes import Passes, keep_scores, run_passes
from longcut.recipes.audit.preparing import AuditOptions, Prepared, Say, prepare
from longcut.recipes.audit.record import (
    about_data,
    about_model,
    hash_of,
    key_of,
    left_out,
    settings_of,
    title_of,
    versions,
    warnings_of,
)
from longcut.recipes.audit.rows import class_rows, group_effects
from longcut.recipes.audit.scores import Logits, Scorer, open_parts
from longcut.recipes.models import Model

__all__ = ["AuditOptions", "run_audit"]


def run_audit(
    model: Model, images: ImageSet, out: Path, options: AuditOptions | None = None, *, say: Say = lambda line: None
) -> AuditResult:
    """Audit a model on a set of images; `audit.json`, `scores.npz` and `pictures` go to a folder.

    What was done is kept in `out/parts`, batch by batch: called again, it goes on there. What is finished is read. The
    process keeps memory that is freed from here on (`longcut.engine.launch.keep_memory`).

    Args:
        model: as `longcut.recipes.models.open_model` opens it.
        images: with classes or without.
        out: the folder.
        options: what is asked for.
        say: is told, in lines, what a person wants to know.

    Raises:
        ValueError: there are fewer than two images, one cannot be read, or another process audits into the folder.
        NotFiniteError: some answers name no class; see `longcut.evaluation.finite.check_answers`.
    """
    options = options or AuditOptions()
    keep_memory()
    with held(out):
        prepared = prepare(model, images, options, say)
        key = key_of(prepared, options)
        finished = finished_audit(out, hash_of(key, options))
        if finished is not None:
            say(f"{out} holds this audit: nothing is left to do")
            return finished
        result = _audit(prepared, out, options, key, say)
        result.save(out)
        drop_pictures(out, result.flips)
        shutil.rmtree(out / PARTS)
    return result


def _audit(prepared: Prepared, out: Path, options: AuditOptions, key: dict[str, Any], say: Say) -> AuditResult:
    """Everything that needs the model."""
    model = prepared.model
    network = AuditedModel(
        prepared.labelled.network, model.normalisation, prepared.reader.device, model.subject.preset
    ).eval()
    scorer = Scorer(network, network.name, prepared.images.paths, options.batch, open_parts(out / PARTS, key))
    passes = run_passes(prepared, scorer, options)
    located = _look(prepared, network) if "attention" in options.suites else None
    measured = _measure(prepared, passes, network, located, options)
    extra, not_run = extra_effects(prepared, scorer, passes.scored, options, options.conflicts, say=say)
    measured = replace(measured, effects=measured.effects + extra, not_run=measured.not_run + not_run)
    flips = draw_flips(prepared, passes, network, located, measured.effects, out, options.gallery)
    keep_scores(out, prepared.images.paths, passes.scored)
    swaps = {cue: effect for cue, about in SWAPPED.items() if (effect := measured.effect(about.name)) is not None}
    untested = [cue for cue in SWAPPED if cue in options.suites and cue not in passes.state.findings]
    accuracy = measured.effect("accuracy")
    return AuditResult(
        title=title_of(model, prepared.images),
        model=about_model(model),
        data=about_data(prepared),
        masks=prepared.masks,
        summary=summary_of(passes.state, swaps, accuracy=accuracy, not_tested=untested),
        warnings=warnings_of(prepared, passes.predicted),
        shortcuts=shortcuts_of(passes.state, swaps),
        effects=tuple(measured.effects),
        per_class=class_rows(passes.scored, passes.differences, prepared.labelled.classes),
        groups=measured.groups,
        flips=tuple(flips),
        not_run=(*measured.not_run, *left_out(prepared, options)),
        settings=settings_of(options) | {HASH: hash_of(key, options)},
        versions=versions(),
    )


def _look(prepared: Prepared, network: AuditedModel) -> Located | None:
    """Where its map of features is; None too where some networks, which take no hooks, fail to say."""
    try:
        return find_map(prepared, network)
    except (RuntimeError, ValueError):
        return None


@dataclass(frozen=True)
class _Measured:
    """Effects in the order in which they are shown, what could not run, and a row for each group."""

    effects: list[Effect]
    not_run: list[NotRun]
    groups: tuple[dict[str, Any], ...]

    def effect(self, name: str) -> Effect | None:
        """By its name; None where it was not measured."""
        return next((effect for effect in self.effects if effect.name == name), None)


def _measure(
    prepared: Prepared, passes: Passes, network: Logits, located: Located | None, options: AuditOptions
) -> _Measured:
    effects, not_run = effects_of(passes.scored, options.suites)
    if "attention" in options.suites:
        looked = attention_effect(prepared, network, located, passes.predicted, options.batch)
        if isinstance(looked, Effect):
            effects.append(looked)
        else:
            not_run.append(looked)
    grouped, groups = group_effects(passes.scored, prepared.images) if "groups" in options.suites else ([], ())
    return _Measured([*effects, *grouped], not_run, groups)
