"""Whether two models err on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.error_consistency import error_consistency
from longcut.evaluation.predictions import Predictions
from longcut.evaluation.results import append_rows, row
from longcut.recipes.evaluating import parts_of
from longcut.recipes.models import Model
from longcut.recipes.reading import Say, open_images, options_for, predict, read_for


def measure_consistency(
    first: Model, second: Model, data: Path, out: Path, *, skip_bad: bool = False, say: Say = lambda line: None
) -> list[dict[str, Any]]:
    """Error consistency of two models on a data set, or on every variant of a Background Challenge.

    Each model is right or wrong about its own reading of the classes, so their class lists need not be the same. Images
    that only one of them reads, as where a run is of chosen classes, are left out.

    Args:
        first: the model that the rows are of.
        second: the one that it is compared with.
        data: as for `evaluate`.
        out: folder of the results.
        skip_bad: leave unreadable images out and say which.
        say: is told the consistency on each set, and how many images are left out.

    Returns:
        A row `error_consistency` for each set, where it is defined; the data set of a row is `<set>~<second model>`.

    Raises:
        ValueError: there are no images, none that both read, or their classes are not a model's.
        NotFiniteError: some answers name no class; see `longcut.evaluation.finite.check_answers`.
    """
    rows = []
    for label, root, split in parts_of(data, None, options_for(first, data)):
        found = []
        for model in (first, second):
            network, images = read_for(model, root, split)
            store = open_images(images, model.image_size, skip_bad=skip_bad, say=say)
            found.append((predict(model, network, store), store.digest))
        (a, digest), (b, _) = found
        i, j = _shared(a, b)
        if left_out := len(a) + len(b) - 2 * len(i):
            say(f"{label}: {left_out} images that only one of the models reads left out")
        measured = error_consistency(a.correct[i], b.correct[j])
        if measured is None:
            say(f"{label}: error consistency undefined, both models are right everywhere or both wrong everywhere")
            continue
        name = _name(second)
        data_hash = f"{digest}+{second.subject.weights_hash}"
        rows.append(
            row(first.subject, "error_consistency", f"{label}~{name}", measured, data=str(data), data_hash=data_hash)
        )
        say(f"{label}: error consistency with {name} {measured.value:.3f} on {measured.n}")
    append_rows(out / "results.jsonl", rows)
    return rows


def _shared(first: Predictions, second: Predictions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places in either of the images that both have.

    Raises:
        ValueError: there are none.
    """
    place = {path: j for j, path in enumerate(second.paths)}
    pairs = [(i, place[path]) for i, path in enumerate(first.paths) if path in place]
    if not pairs:
        raise ValueError(f"{first.root} holds no image that both models read: error consistency is of the same images")
    i, j = np.array(pairs, np.int64).T
    return i, j


def _name(model: Model) -> str:
    """A run's folder, or the name of a model of timm's."""
    return model.subject.preset if model.data is None else Path(model.subject.run).name
