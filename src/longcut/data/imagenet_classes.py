"""ImageNet's 1000 classes by their WordNet ids, and the sixteen of cue-conflict stimuli among them.

The sixteen are entry-level classes of Geirhos et al., "ImageNet-trained CNNs are biased towards texture" (ICLR 2019),
each a set of ImageNet classes; some that are birds or dogs to a person are left out there, and so they are here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from longcut.data.imagenet9 import CLASSES as IMAGENET9
from longcut.data.imagenet9 import IMAGENET_TO_IN9

# ImageNet indices; both ends of a run are inside.
_SIXTEEN = {
    "airplane": "404",
    "bear": "294-297",
    "bicycle": "444 671",
    "bird": "8 10-16 18-20 22-24 80-83 87-96 98-100 127-133 135-145",
    "boat": "472 554 625 814 914",
    "bottle": "440 720 737 898-899 901 907",
    "car": "436 511 817",
    "cat": "281-286",
    "chair": "423 559 765 857",
    "clock": "409 530 892",
    "dog": "152-191 193-203 205-226 228-241 243-250 252-257 259 261-263 265-268",
    "elephant": "385-386",
    "keyboard": "508 878",
    "knife": "499",
    "oven": "766",
    "truck": "555 569 656 675 717 734 864 867",
}


def _indices(runs: str) -> tuple[int, ...]:
    ends = (run.partition("-") for run in runs.split())
    return tuple(index for first, _, last in ends for index in range(int(first), int(last or first) + 1))


SIXTEEN: Mapping[str, tuple[int, ...]] = {name: _indices(runs) for name, runs in _SIXTEEN.items()}
"""ImageNet indices of each of the sixteen classes, in alphabetical order."""


@cache
def wordnet_ids() -> tuple[str, ...]:
    """WordNet ids of ImageNet's classes, in the order of its indices, which is theirs."""
    from timm.data.imagenet_info import ImageNetInfo

    return tuple(ImageNetInfo("imagenet-1k").label_names())


@cache
def known_groups() -> Mapping[str, tuple[str, ...]]:
    """WordNet ids of each class that is a set of ImageNet's: the sixteen, and the nine of ImageNet-9 as in its map."""
    ids = wordnet_ids()
    sixteen = {name: tuple(ids[i] for i in members) for name, members in SIXTEEN.items()}
    nine = {
        name: tuple(wnid for wnid, at in zip(ids, IMAGENET_TO_IN9, strict=True) if at == target)
        for target, name in enumerate(IMAGENET9)
    }
    return sixteen | nine
