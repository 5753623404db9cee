"""What methods have a person know before a run begins."""

from __future__ import annotations

from typing import Any

import pytest
from made_batches import CLASSES, made_method, small_net

from longcut.backbones import MeanColourMlp, SmallConvNet
from longcut.methods.rebias import ReBias

SPARSE = {"group_counts": [[90, 5, 0], [5, 90, 0], [0, 0, 100]]}


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("disent", {"swap_start": 10}, ("swap_start 10 lies beyond the run's 10 steps: no feature is swapped",)),
        ("disent", {"swap_start": 9}, ()),
        ("group_dro", {}, ()),
        ("reweighting", {}, ()),
        ("reweighting", {"by": "class"}, ()),
    ],
)
def test_a_phase_or_a_group_that_is_never_met(name: str, options: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert made_method(name, "group", options).remarks() == expected


@pytest.mark.parametrize("name", ["group_dro", "reweighting"])
def test_groups_without_images_are_counted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(made_method.__globals__["FACTS"], "group_counts", SPARSE["group_counts"])
    line = f"4 of {CLASSES**2} groups of class and bias have no training image, and so no weight"
    assert made_method(name, "group", {}).remarks() == (line,)
    if name == "reweighting":
        assert made_method(name, "group", {"by": "class"}).remarks() == ()


@pytest.mark.parametrize(("batch_size", "fits"), [(3, False), (4, True), (0, True)])
def test_rebias_refuses_batches_that_hsic_cannot_compare(batch_size: int, fits: bool) -> None:
    if fits:
        made_method("rebias", "group", {"batch_size": batch_size})
        return
    with pytest.raises(ValueError, match="hsic compares at least 4 images, not 3: take a larger batch_size"):
        made_method("rebias", "group", {"batch_size": batch_size})


def test_rebias_says_so_where_both_networks_see_the_same() -> None:
    (line,) = ReBias(small_net(), small_net(), num_classes=CLASSES).remarks()
    assert "both networks are of one architecture, so the biased one can learn all that the other one can" in line
    assert "backbone.biased" in line
    for other in (SmallConvNet((8, 16, 16), (2, 2, 2), "group", kernel=1), MeanColourMlp()):
        assert ReBias(small_net(), other, num_classes=CLASSES).remarks() == ()
