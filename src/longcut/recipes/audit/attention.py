"""Where a model looks: the share of its Grad-CAM that lies on the foreground."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from longcut.attribution.located import energy_inside, explain, locate
from longcut.attribution.places import Located
from longcut.evaluation.audit.effects import About, effect_of
from longcut.evaluation.audit.intervals import paired_interval
from longcut.evaluation.audit.result import Effect, NotRun
from longcut.recipes.audit.preparing import Prepared
from longcut.recipes.audit.scores import Indices, Logits

_ABOUT = About("attention_excess", "Evidence on the foreground, beyond its area", "attention", needs_masks=True)
_AT_MOST = 256
"""Images whose maps are read: each costs a backward pass."""


def find_map(prepared: Prepared, model: Logits) -> Located | None:
    """Where the model's map of features is; None where it has none, or is no torch network."""
    first = prepared.reader.images(np.arange(min(2, len(prepared.store))))
    with torch.inference_mode():
        model(first)  # which layout it takes is found out before hooks count its modules' calls
    return locate(model, first)


def attention_maps(
    prepared: Prepared, model: Logits, located: Located | None, indices: Indices, predicted: Indices
) -> Tensor | None:
    """`[b, y, x]` Grad-CAM of the class that is predicted for each image; None without a map of features."""
    if located is None:
        return None
    images = prepared.reader.images(indices)
    return explain(model, images, torch.from_numpy(predicted[indices]).to(images.device), located)


def attention_effect(
    prepared: Prepared, model: Logits, located: Located | None, predicted: Indices, batch: int
) -> Effect | NotRun:
    """Share of the model's evidence on the foreground less the foreground's share of the image."""
    if located is None:
        return NotRun("attention", "the model has no map of features that Grad-CAM could read")
    shares, areas = [], []
    places = np.unique(np.linspace(0, len(prepared.store) - 1, _AT_MOST).astype(np.int64))
    for indices in np.array_split(places, range(batch, len(places), batch)):
        masks = prepared.reader.masks(indices)
        maps = attention_maps(prepared, model, located, indices, predicted)
        assert maps is not None
        shares.append(energy_inside(maps, masks).cpu().numpy())
        areas.append(masks.mean(dim=(1, 2, 3)).cpu().numpy())
    share, area = np.concatenate(shares).astype(np.float64), np.concatenate(areas).astype(np.float64)
    usable = np.isfinite(share) & (area > 0) & (area < 1)
    if not usable.any():
        return NotRun("attention", "no image has both a foreground mask and a map of evidence")
    share, area = share[usable], area[usable]
    note = f"Grad-CAM of the predicted class, of {len(share)} images; before: the foreground's share of the image"
    found = paired_interval(share - area)
    return effect_of(_ABOUT, "measured", "share", found, float(area.mean()), float(share.mean()), note=note)
