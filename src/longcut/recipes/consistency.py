"""Whether two models err on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

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

    Each model is right or wrong about its own reading of the classes, so their class lists need not be the same.

    Args:
        first: the model that the rows are of.
        second: the one that it is compared with.
        data: as for `evaluate`.
        out: folder of the results.
        skip_bad: leave unreadable images out and say which.
        say: is told the consistency on each set.

    Returns:
        A row `error_consistency` for each set, where it is defined; the data set of a row is `<set>~<second model>`.

    Raises:
        ValueError: there are no images, or their classes are not a model's.
    """
    rows = []
    for label, root, split in parts_of(data, None, options_for(first, data)):
        found = []
        for model in (first, second):
            network, images = read_for(model, root, split)
            store = open_images(images, model.image_size, skip_bad=skip_bad, say=say)
            found.append((predict(model, network, store), store.digest))
        (a, digest), (b, _) = found
        measured = error_consistency(a.correct, b.correct[_places(a, b)])
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


def _places(first: Predictions, second: Predictions) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where the second has each image of the first."""
    place = {path: i for i, path in enumerate(second.paths)}
    return np.array([place[path] for path in first.paths], np.int64)


def _name(model: Model) -> str:
    """A run's folder, or the name of a model of timm's."""
    return model.subject.preset if model.data is None else Path(model.subject.run).name
