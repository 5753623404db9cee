"""Shape bias on cue-conflict stimuli, where a folder of them is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from longcut.data.batches import EvaluationData
from longcut.data.image_set import ImageSet
from longcut.data.stimuli import read_stimuli
from longcut.data.store import Store
from longcut.evaluation.audit.effects import share_effect
from longcut.evaluation.audit.result import Effect, NotRun
from longcut.evaluation.class_mapping import ClassMapping, map_classes
from longcut.evaluation.models import GatheredClassifier
from longcut.evaluation.shape_bias import shape_bias
from longcut.recipes.audit.extras.names import EXTRA_EFFECTS
from longcut.recipes.audit.preparing import AuditOptions, Prepared, Say
from longcut.recipes.audit.scores import Changed, Indices, Logits, Scorer
from longcut.recipes.reading import known_images, limited, open_images


def conflict_effect(
    prepared: Prepared, scorer: Scorer, folder: Path | None, options: AuditOptions, say: Say
) -> Effect | NotRun:
    """Decisions for the shape among those for the shape or the texture, decided as in `measure_cue_conflict`.

    Args:
        prepared: what the audit works on.
        scorer: that ran the core's passes.
        folder: of stimuli; None where none is given.
        options: of the audit.
        say: is told of images that are left out.

    Raises:
        ValueError: there are no stimuli in the folder, a name tells no texture, or an image cannot be read.
    """
    about, device = EXTRA_EFFECTS["cue-conflict"], prepared.reader.device
    if folder is None:
        return NotRun(about.suite, "no stimuli are given: name a folder of <shape>/<shape><i>-<texture><j>.png")
    names = prepared.model.classes or prepared.labelled.classes
    stimuli = read_stimuli(folder)
    try:
        mapping = map_classes(stimuli.classes, names, options.mapping)
    except ValueError as error:
        return NotRun(about.suite, str(error))
    images = limited(_conflicts(stimuli, mapping), options.limit)
    if not len(images):
        return NotRun(about.suite, f"{folder} has no stimulus with a shape and a texture of two of the model's classes")
    store = open_images(images, prepared.model.image_size, skip_bad=options.skip_bad, say=say)
    network = GatheredClassifier(
        prepared.model.network, mapping.members, num_classes=len(names), how="mean_probability"
    )
    model = Logits(network.to(device), prepared.model.normalisation, device).eval()
    decisions = _decisions(replace(scorer, model=model, paths=store.images.paths), store, prepared)
    return _effect(decisions, store.images, len(stimuli))


def _conflicts(stimuli: ImageSet, mapping: ClassMapping) -> ImageSet:
    """The stimuli whose shape and texture are two of the model's classes."""
    known = known_images(stimuli, mapping)
    assert known.bias is not None
    return known.select(known.targets != known.bias)


def _decisions(scorer: Scorer, store: Store, prepared: Prepared) -> Indices:
    """`[s]` classes that the model says; what is done is kept under the stimuli's hash."""
    data, device = EvaluationData(store, prepared.model.image_size), prepared.reader.device

    def change(indices: Indices) -> Changed:
        makers: dict[str, Callable[[], Tensor]] = {
            "stimuli": lambda: data[indices]["images"].to(device).permute(0, 3, 1, 2).float().div_(255)
        }
        return Changed(makers, {})

    return scorer.run(f"cue-conflict {store.digest[-16:]}", change, None).scores["stimuli"].predicted


def _effect(decisions: Indices, images: ImageSet, all_stimuli: int) -> Effect | NotRun:
    about = EXTRA_EFFECTS["cue-conflict"]
    assert images.bias is not None
    found = shape_bias(decisions, images.targets, images.bias)
    parts = (found.shape_fraction, found.texture_fraction, found.other_fraction)
    for_shape, for_texture, for_neither = (f"{100 * part.value:.1f} %" for part in parts)
    shares = f"Of {len(images)} conflicts {for_shape} are decided for the shape, {for_texture} for the texture"
    if found.pooled is None:
        return NotRun(about.suite, f"no decision is for the shape or the texture of one of {len(images)} stimuli")
    left_out = all_stimuli - len(images)
    note = f"{shares}, {for_neither} for neither." + (f" {left_out} stimuli are left out." if left_out else "")
    decided = decisions[(decisions == images.targets) | (decisions == images.bias)]
    return share_effect(about, "share", np.arange(len(decided)) < found.pooled.sum, note=note)
