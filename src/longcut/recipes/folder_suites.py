"""Published test sets in class folders whose classes are those of the model, some of them, or others.

- ImageNet-Sketch: Wang et al., "Learning robust global representations by penalizing local predictive power"
  (NeurIPS 2019).
- ImageNet-R: Hendrycks et al., "The many faces of robustness" (ICCV 2021).
- ImageNet-A: Hendrycks et al., "Natural adversarial examples" (CVPR 2021).
- Stylized-ImageNet: Geirhos et al., "ImageNet-trained CNNs are biased towards texture" (ICLR 2019).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from longcut.data.image_set import read_images
from longcut.evaluation.class_mapping import map_classes
from longcut.evaluation.results import append_rows
from longcut.recipes.models import Model
from longcut.recipes.reading import (
    OUTSIDE,
    Say,
    accuracy_rows,
    gathered,
    known_images,
    limited,
    measured_split,
    open_images,
    predict,
    save_predictions,
)
from longcut.recipes.suite_options import SuiteOptions


@dataclass(frozen=True)
class FolderSuite:
    """A test set in class folders.

    Attributes:
        name: on the command line.
        restricted: whether the model decides among the classes in common alone, as the authors of ImageNet-R and
            ImageNet-A have it, whose sets hold 200 classes; otherwise a prediction of any other class is an error.
    """

    name: str
    restricted: bool

    @property
    def dataset(self) -> str:
        """In the rows."""
        return self.name.replace("-", "_")


FOLDER_SUITES = (
    FolderSuite("imagenet-sketch", restricted=False),
    FolderSuite("imagenet-r", restricted=True),
    FolderSuite("imagenet-a", restricted=True),
    FolderSuite("stylized-imagenet", restricted=False),
)


def measure_folders(
    suite: FolderSuite, model: Model, root: Path, out: Path, options: SuiteOptions, say: Say
) -> list[dict[str, Any]]:
    """Accuracy over all images of classes in common with the model, and of each class.

    Raises:
        ValueError: there are no class folders, or none that the model knows.
    """
    images = read_images(root, measured_split(root) or None)
    mapping = map_classes(images.classes, model.classes, options.mapping)
    known = known_images(images, mapping)
    if mapping.note:
        say(f"{suite.name}: {mapping.note}; {len(images) - len(known)} of {len(images)} images left out")
    if not suite.restricted:
        known = replace(known, classes=(*known.classes, OUTSIDE))
    store = open_images(limited(known, options.limit), model.image_size, skip_bad=options.skip_bad, say=say)
    network = gathered(model, mapping.members, outside=not suite.restricted)
    predictions = predict(model, network, store)
    save_predictions(predictions, model, suite.dataset, out)
    about = {"data": str(root), "data_hash": store.digest}
    rows = accuracy_rows(model.subject, suite.dataset, predictions, about)
    append_rows(out / "results.jsonl", rows)
    among = f" among {len(mapping.classes)} classes" if suite.restricted else ""
    say(f"{suite.name}: {rows[0]['value']:.1%} of {rows[0]['n']}{among}")
    return rows
