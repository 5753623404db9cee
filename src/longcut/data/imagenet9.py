"""ImageNet-9 of Xiao, Engstrom, Ilyas and Madry, "Noise or signal", ICLR 2021: classes, class map, normalisation.

The map is the one of the Background Challenge's release: 370 of ImageNet's 1000 classes belong to one of nine
superclasses; a prediction of any of the other 630 is wrong.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CLASSES = (
    "00_dog",
    "01_bird",
    "02_wheeled vehicle",
    "03_reptile",
    "04_carnivore",
    "05_insect",
    "06_musical instrument",
    "07_primate",
    "08_fish",
)
"""Class folders of the release, in the order of its indices."""


# ImageNet indices of each superclass; both ends of a run are inside.
_MEMBERS = (
    "151-170 173-268",  # without Italian greyhound and whippet
    "7-24 87-100 127-146",  # without grouse, peacock, quail and partridge
    "407-408 428 436 444 468 511 547 555 561 565 569 573 586 603 609 612 627 656 661 665 670-671 675 690 705 717 734 "
    "751 757 791 802-803 817 820 829 847 864 866-867 870 880",
    "33-68",
    "269-280 286-299 356-362 387-388",  # without domestic cats
    "300-326",
    "401-402 420 432 486 494 513 541 546 558 566 577 579 593-594 641-642 683-684 687 699 776 822 875 881 889",
    "365-384",
    "0-6 389-397",
)


def _class_map() -> NDArray[np.int64]:
    mapping = np.full(1000, -1, np.int64)
    for target, members in enumerate(_MEMBERS):
        for run in members.split():
            first, _, last = run.partition("-")
            mapping[int(first) : int(last or first) + 1] = target
    mapping.flags.writeable = False
    return mapping


IMAGENET_TO_IN9 = _class_map()
"""`[1000]`: ImageNet-9 class of each ImageNet class, -1 for the 630 that belong to none."""


def to_imagenet9(logits: NDArray[np.floating]) -> NDArray[np.int64]:
    """Predictions of an ImageNet classifier in ImageNet-9's classes.

    As in the release's evaluation the highest of all 1000 logits decides, and then the map.

    Args:
        logits: `[s, 1000]`.

    Returns:
        `[s]`, 0 to 8, or -1 where the prediction belongs to no class of ImageNet-9 and counts as wrong.

    Raises:
        ValueError: the logits are not of 1000 classes.
    """
    if logits.ndim != 2 or logits.shape[1] != 1000:
        raise ValueError(f"ImageNet-9's class map needs logits of 1000 classes [s, 1000]: got {list(logits.shape)}")
    predictions: NDArray[np.int64] = IMAGENET_TO_IN9[logits.argmax(axis=1)]
    return predictions
