"""A model over an audit's images: how they lie in memory, what is kept of each, and where an interrupt leaves it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from longcut.data.loader import Normalisation
from longcut.recipes.audit.ahead import ahead
from longcut.recipes.audit.scores import Changed, Indices, Logits, Scorer

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
COUNT, BATCH = 7, 3
PATHS = tuple(f"{place}.jpg" for place in range(COUNT))
CPU = torch.device("cpu")


class Network(nn.Module):
    """Encodes by one function, classifies by another, and notes whether images lay channels last."""

    def __init__(self, body: nn.Module, read: Callable[[Tensor], Tensor], head: nn.Module) -> None:
        super().__init__()
        self.body, self.read, self.head, self.last = body, read, head, list[bool]()

    def encode(self, images: Tensor) -> Tensor:
        self.last.append(images.is_contiguous(memory_format=torch.channels_last))
        return self.read(self.body(images))

    def classify(self, features: Tensor) -> Tensor:
        return self.head(features)


def pictures(count: int = COUNT) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def convolving(read: Callable[[Tensor], Tensor] = lambda maps: maps.mean(dim=(2, 3)), width: int = 5) -> Network:
    torch.manual_seed(1)
    return Network(nn.Conv2d(3, 5, 3, padding=1), read, nn.Linear(width, 4))


def logits_of(network: Network) -> Logits:
    return Logits(network, Normalisation(MEAN, STD), CPU).eval()


def test_logits_are_those_of_normalised_images() -> None:
    network, images = convolving(), pictures()
    found = logits_of(network)(images)
    mean, std = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (MEAN, STD))
    expected = network.double().classify(network.encode((images.double() - mean) / std))
    assert torch.allclose(found.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_convolutions_get_images_channels_last(layout: torch.memory_format) -> None:
    network = convolving()
    logits_of(network)(pictures().contiguous(memory_format=layout))
    assert network.last == [True]


def test_what_has_no_convolutions_gets_images_as_they_come() -> None:
    network = Network(nn.Flatten(), lambda rows: rows, nn.Linear(192, 4))
    logits_of(network)(pictures().contiguous(memory_format=torch.channels_last))
    assert network.last == [False]


def test_a_network_that_views_its_maps_as_rows() -> None:
    network, images = convolving(lambda maps: maps.view(len(maps), -1), 5 * 64), pictures()
    model = logits_of(network)
    first, second = model(images), model(images)
    assert network.last == [True, False, False]
    assert torch.equal(first, second)


def test_what_fails_in_any_layout_says_why() -> None:
    def fails(maps: Tensor) -> Tensor:
        raise RuntimeError("of its own")

    with pytest.raises(RuntimeError, match="of its own"):
        logits_of(convolving(fails))(pictures())


def scorer(parts: Path, model: nn.Module | None = None) -> Scorer:
    return Scorer(model or logits_of(convolving()), "a model", PATHS, BATCH, parts)


def change(indices: Indices) -> Changed:
    images = pictures()[indices]
    makers = {"plain": lambda: images, "dark": lambda: images / 2}
    return Changed(makers, {"cue": torch.from_numpy(indices % 2 == 0)})


def test_an_interrupt_leaves_whole_batches(tmp_path: Path) -> None:
    reference, seen = np.arange(COUNT) % 4, list[int]()

    def stopped(indices: Indices) -> Changed:
        def interrupt() -> Tensor:
            raise KeyboardInterrupt

        made = change(indices)
        return Changed({**made.makers, "dark": interrupt}, made.usable) if indices[0] == BATCH else made

    def counted(indices: Indices) -> Changed:
        seen.append(int(indices[0]))
        return change(indices)

    with pytest.raises(KeyboardInterrupt):
        scorer(tmp_path / "parts").run("all", stopped, reference)
    assert [file.name for file in (tmp_path / "parts" / "all").iterdir()] == ["000000.npz"]
    found = scorer(tmp_path / "parts").run("all", counted, reference)
    assert seen == [BATCH, 2 * BATCH]
    expected = scorer(tmp_path / "other").run("all", change, reference)
    for name in ("plain", "dark"):
        for part in ("predicted", "confidence", "probability"):
            assert np.array_equal(getattr(found.scores[name], part), getattr(expected.scores[name], part))
    assert np.array_equal(found.usable["cue"], np.arange(COUNT) % 2 == 0)


def test_one_batch_is_made_ahead_and_no_more() -> None:
    started, met = list[int](), threading.Event()

    def make(number: int) -> int:
        started.append(number)
        if number == 1:
            met.set()
        return number * number

    results = ahead(make, range(5))
    assert next(results) == 0
    assert met.wait(10), "the next was not begun"
    time.sleep(0.05)
    assert started == [0, 1]
    assert list(results) == [1, 4, 9, 16]
    assert list(ahead(make, [])) == []


def test_what_fails_ahead_fails_in_its_turn() -> None:
    def make(number: int) -> int:
        if number == 1:
            raise ValueError("the second")
        return number

    results = ahead(make, range(3))
    assert next(results) == 0
    with pytest.raises(ValueError, match="the second"):
        next(results)
