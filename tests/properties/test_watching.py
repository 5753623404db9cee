"""What a run's watch tells of a loss or a weight that is no finite number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from longcut.backbones import SmallConvNet
from longcut.core import Method
from longcut.data.image_set import ImageSet
from longcut.data.order import Order
from longcut.methods import ERM
from longcut.recipes.watching import DivergedError, Watch


def made_watch(order: Order, method: Method) -> Watch:
    names = tuple(f"{place}.png" for place in range(order.num_samples))
    images = ImageSet(Path("photos"), names, np.zeros(order.num_samples, np.int64), ("cat",))
    return Watch(method, order, images, None, precision="fp32")


@pytest.fixture
def method() -> Method:
    return ERM(SmallConvNet(norm="batch"), num_classes=2)


@pytest.mark.parametrize("cut", [{"accumulate": 2}, {"world_size": 2, "rank": 1}, {"accumulate": 2, "world_size": 2}])
def test_the_whole_batch_is_named_however_it_is_cut(cut: dict[str, int], method: Method) -> None:
    said = []
    for order in (Order(40, 8, seed=3), Order(40, 8, seed=3, **cut)):
        watch = made_watch(order, method)
        for loss in (1.0, 1.0, float("nan")):
            watch.add(torch.tensor(loss))
        with pytest.raises(DivergedError, match="the loss is not finite at step 3, whose batch holds") as refused:
            watch.check_losses(3)
        said.append(str(refused.value))
    assert said[0] == said[1]
    assert "and 5 more: try a lower lr" in said[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["head.bias", "backbone.layers.1.running_var"])
def test_a_parameter_or_buffer_that_is_not_finite_is_named(name: str, value: float, method: Method) -> None:
    watch = made_watch(Order(4, 2, seed=0), method)
    watch.check(1)
    method.state_dict()[name].view(-1)[1] = value
    with pytest.raises(DivergedError, match=rf"the weights are not finite after step 2 \({name} is the first\)"):
        watch.check(2)


def test_a_large_weight_is_a_finite_one(method: Method) -> None:
    method.state_dict()["head.bias"].fill_(3e38)
    made_watch(Order(4, 2, seed=0), method).check(1)
