from __future__ import annotations

import numpy as np
import pytest

from longcut.data.imagenet9 import CLASSES, IMAGENET_TO_IN9, to_imagenet9
from longcut.data.statistics import IMAGENET_MEAN, IN9_MEAN, IN9_STD


def test_each_class_has_as_many_imagenet_classes_as_the_release() -> None:
    counts = np.bincount(IMAGENET_TO_IN9[IMAGENET_TO_IN9 >= 0], minlength=9)
    assert counts.tolist() == [116, 52, 42, 36, 35, 27, 26, 20, 16]
    assert int((IMAGENET_TO_IN9 == -1).sum()) == 630
    assert IMAGENET_TO_IN9.shape == (1000,)


@pytest.mark.parametrize(
    ("imagenet", "expected"),
    [
        (0, "08_fish"),  # tench
        (7, "01_bird"),  # cock
        (171, None),  # Italian greyhound
        (207, "00_dog"),  # golden retriever
        (281, None),  # tabby cat
        (291, "04_carnivore"),  # lion
        (308, "05_insect"),  # fly
        (366, "07_primate"),  # gorilla
        (402, "06_musical instrument"),  # acoustic guitar
        (50, "03_reptile"),  # American alligator
        (817, "02_wheeled vehicle"),  # sports car
        (999, None),  # toilet tissue
    ],
)
def test_known_classes(imagenet: int, expected: str | None) -> None:
    assert IMAGENET_TO_IN9[imagenet] == (-1 if expected is None else CLASSES.index(expected))


def test_classes_are_sorted_as_folders_are() -> None:
    assert sorted(CLASSES) == list(CLASSES)
    assert len(CLASSES) == 9


def test_highest_of_all_logits_decides_before_the_map() -> None:
    logits = np.zeros((3, 1000), np.float32)
    logits[0, 207] = 1.0
    logits[1, [207, 281]] = 1.0, 2.0  # a dog would win among the mapped classes, a cat wins among all
    logits[2, 999] = 1.0
    assert to_imagenet9(logits).tolist() == [0, -1, -1]


def test_logits_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1000 classes \[s, 1000\]: got \[4, 9\]"):
        to_imagenet9(np.zeros((4, 9)))


def test_the_two_conventions_of_normalisation_differ() -> None:
    assert IMAGENET_MEAN == (0.485, 0.456, 0.406)
    assert (IN9_MEAN, IN9_STD) == ((0.4717, 0.4499, 0.3837), (0.26, 0.2516, 0.2575))
