"""Two processes equal one with the same global batch, and accumulation equals a larger batch.

In float32 on a network without BatchNorm. All cases run in one pair of processes, which is started once.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from made_batches import CLASSES, made_batch, made_method, small_net
from torch import Tensor, nn
from torch.nn import functional
from two_processes import check_pair, in_pair, over_processes

from longcut.core import Batch, Method
from longcut.core.distributed import gather, on_first_process_first, rank, world_size
from longcut.data.image_set import ImageSet
from longcut.data.order import Order
from longcut.engine import train
from longcut.engine.launch import Stopper
from longcut.methods import CLAD, ERM
from longcut.recipes.watching import DivergedError, Watch

STEPS = 4


class Alternating(Method):
    """Two networks that learn in turn, the second from what the first has just become, and a momentum copy.

    The features' mean over all processes, a buffer, is read by the second yield.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.rival, self.copy = small_net(), small_net(), small_net()
        self.copy.load_state_dict(self.backbone.state_dict())
        self.copy.requires_grad_(False)
        self.head = nn.Linear(16, CLASSES)
        self.register_buffer("mean", torch.zeros(16))
        self.mean: Tensor

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        yield {"cross_entropy": functional.cross_entropy(self(batch.images), batch.targets)}
        with torch.no_grad():
            self.mean.lerp_(gather(self.encode(batch.images)).mean(0), 0.5)
        distance = (self.rival(batch.images) - self.copy(batch.images) - self.mean).square().mean()
        yield {"distance": distance}

    def after_update(self) -> None:
        with torch.no_grad():
            for slow, fast in zip(self.copy.parameters(), self.backbone.parameters(), strict=True):
                slow.lerp_(fast, 0.1)

    def encode(self, images: Tensor) -> Tensor:
        return self.backbone(images)

    def classify(self, features: Tensor) -> Tensor:
        return self.head(features)


class Counting(ERM):
    """Adds up, after its last yield, the features of the images of all processes."""

    def __init__(self) -> None:
        super().__init__(small_net(), num_classes=CLASSES)
        self.register_buffer("seen", torch.zeros(16))
        self.seen: Tensor

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        yield from super().training_step(batch)
        with torch.no_grad():
            self.seen += gather(self.encode(batch.images)).sum(0)


def make(case: str) -> Method:
    torch.manual_seed(0)
    options: dict[str, Any] = {"num_classes": CLASSES, "num_negatives": 5}
    makers = {
        "erm": lambda: ERM(small_net(), num_classes=CLASSES),
        "erm_accumulated": lambda: ERM(small_net(), num_classes=CLASSES),
        "counting": Counting,
        "counting_accumulated": Counting,
        "clad": lambda: CLAD(small_net(), **options),
        "clad_plus": lambda: CLAD(small_net(), **options, supervise_positives=True, joint_forward=True),
        "alternating": Alternating,
    }
    if case in makers:
        return makers[case]()
    name, own = SELF_SUPERVISED[case]
    return without_batch_norm(made_method(name, "group", own))


def without_batch_norm(method: Method) -> Method:
    """BYOL's projectors have BatchNorm, which depends on how a batch is split: GroupNorm in its place."""
    norms = [(name, module) for name, module in method.named_modules() if isinstance(module, nn.BatchNorm1d)]
    for name, module in norms:
        method.set_submodule(name, nn.GroupNorm(4, module.num_features))
    return method


MOCHI = {"hard_negatives": "mochi", "num_hardest": 5, "num_mixed": 6, "num_query_mixed": 3, "mixing_start": 0.0}
SELF_SUPERVISED: dict[str, tuple[str, dict[str, Any]]] = {
    "moco": ("moco", {"capacity": 19, "momentum": 0.9, "final_momentum": 1.0}),
    "moco_symmetric": ("moco", {"capacity": 19, "momentum": 0.9, "symmetric": True, "non_semantic": "patch"}),
    "moco_unshuffled": ("moco", {"capacity": 19, "shuffle_batch_norm": False, "hard_negatives": "debiased"}),
    "moco_mochi": ("moco", {"capacity": 19, "shuffle_batch_norm": False, **MOCHI}),
    "simclr": ("simclr", {}),
    "simclr_patch": ("simclr", {"non_semantic": "patch", "hard_negatives": "hard"}),
    "byol": ("byol", {"hidden": 16, "dim": 8, "non_semantic": "patch"}),
    "insdis": ("insdis", {"num_negatives": 20}),
    "cmc": ("cmc", {"num_negatives": 20}),
    "supcon": ("supcon", {}),
}
CASES = (
    "erm",
    "erm_accumulated",
    "counting",
    "counting_accumulated",
    "clad",
    "clad_plus",
    "alternating",
    *SELF_SUPERVISED,
)


def cut(batch: Batch, parts: int) -> list[Batch]:
    """Contiguous slices, as the loader's order cuts them."""
    tensors: dict[str, Any] = {field.name: getattr(batch, field.name) for field in fields(batch)}
    chunks = {name: t.chunk(parts) for name, t in tensors.items() if t is not None}
    return [Batch(**{name: c[part] for name, c in chunks.items()}) for part in range(parts)]


def run(case: str, accumulate: int = 1) -> dict[str, Any]:
    """This process's share of a few steps: the state afterwards, and the losses as means over the processes."""
    method = make(case)
    batches = [made_batch(8, seed=step) for step in range(STEPS)]
    if case in SELF_SUPERVISED:  # more labels are missing on the one process than on the other
        batches = [
            replace(
                batch,
                images=batch.images.contiguous(memory_format=torch.channels_last),  # as the loader gives them
                targets=batch.targets.where(torch.arange(8) > 2, -1),
            )
            for batch in batches
        ]
    slices = [part for batch in batches for part in cut(batch, accumulate)]
    mine = [cut(part, world_size())[rank()] for part in slices]
    optimizer = torch.optim.SGD(method.parameter_groups(0.1), lr=0.1, momentum=0.9, weight_decay=1e-3)
    losses = torch.stack([terms["loss"] for terms in train(method, mine, optimizer, accumulate=accumulate)])
    return {"losses": over_processes(losses), "state": method.state_dict()}


def find() -> dict[str, Any]:
    found: dict[str, Any] = {case: run(case, 2 if case.endswith("_accumulated") else 1) for case in CASES}
    found |= {"failures": shared_failures(), "asked": one_is_asked(), "diverged": one_diverged()}
    return found | {"interrupted": one_is_interrupted()}


def shared_failures() -> list[tuple[str, str]]:
    """What each process is told when the first one fails in work that it does for all: the error's class and text."""
    errors = [
        ValueError(f"said by process {rank()}"),
        OSError(errno.ENOSPC, "No space left on device", "cache/records.part"),
        OSError("truncated"),
        MemoryError("no room for 3 images"),
        Unreadable(7),
    ]
    return [told_of(error) for error in errors]


class Unreadable(Exception):
    """One that cannot be sent to another process as it is."""

    def __init__(self, number: int) -> None:
        super().__init__(f"number {number}", lambda: None)

    def __str__(self) -> str:
        return str(self.args[0])


def told_of(failure: BaseException) -> tuple[str, str]:
    """What a process is told when the first one fails so."""

    def fail() -> None:
        raise failure

    try:
        on_first_process_first(fail)
    except BaseException as error:
        return type(error).__name__, str(error)
    return "nothing", ""


def one_is_interrupted() -> tuple[str, str]:
    """What ends each process's part when the first one is interrupted and leaves."""
    ended = told_of(KeyboardInterrupt())
    dist.destroy_process_group()
    return ended


def one_is_asked() -> list[bool]:
    """Whether the processes stop, before and after the second of them is asked to."""
    with Stopper() as stopper:
        before = stopper.asked()
        if rank() == 1:
            stopper._receive(15, None)  # type: ignore[arg-type]
        return [before, stopper.asked()]


def one_diverged() -> str:
    """What each process is told where a buffer of the second one is not finite."""
    method, order = make("counting"), Order(8, 4, seed=0, rank=rank(), world_size=world_size())
    images = ImageSet(Path("photos"), tuple("abcdefgh"), np.zeros(8, np.int64), ("cat",))
    if rank() == 1:
        method.state_dict()["seen"].fill_(float("nan"))
    try:
        Watch(method, order, images, None, precision="fp32").check(1)
    except DivergedError as error:
        return str(error)
    return "nothing"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return in_pair(find, tmp_path_factory.mktemp("pair"))


@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one(case: str, pair: list[dict[str, Any]]) -> None:
    alone = run(case)
    check_pair(case, pair, alone)
    start = make(case).state_dict()
    assert any((start[name] - tensor).abs().max() > 1e-2 for name, tensor in alone["state"].items()), "nothing moved"


@pytest.mark.parametrize("case", ["erm", "counting"])
def test_accumulation_equals_a_larger_batch(case: str) -> None:
    once, twice = run(case), run(case, accumulate=2)
    torch.testing.assert_close(twice["losses"], once["losses"], rtol=1e-5, atol=1e-5)
    for name, tensor in once["state"].items():
        torch.testing.assert_close(twice["state"][name], tensor, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("unequal", [(1, 2), (2, 1), (0, 1)])
def test_slices_that_yield_unequally_often_are_refused(unequal: tuple[int, int]) -> None:
    class Unequal(ERM):
        def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
            for place in range(next(times)):
                yield {str(place): self(batch.images).mean()}

    times, method = iter(unequal), Unequal(small_net(), num_classes=CLASSES)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="the slices of one step yield unequally often: leave accumulate at 1"):
        list(train(method, cut(made_batch(8), 2), optimizer, accumulate=2))


def test_a_failure_of_the_first_process_is_every_one_s(pair: list[dict[str, Any]]) -> None:
    first, second = (found["failures"] for found in pair)
    same = [
        ("ValueError", "said by process 0"),
        ("OSError", "[Errno 28] No space left on device: 'cache/records.part'"),
        ("OSError", "truncated"),
        ("MemoryError", "no room for 3 images"),
    ]
    assert first == [*same, ("Unreadable", "number 7")]
    assert second == [*same, ("RuntimeError", "Unreadable on the first process: number 7")]


def test_an_interrupt_of_the_first_process_leaves_none_waiting(pair: list[dict[str, Any]]) -> None:
    (first, _), (second, text) = (found["interrupted"] for found in pair)
    assert (first, second) == ("KeyboardInterrupt", "RuntimeError")
    assert "on the first process" not in text, "it waited until the other had heard of it"


def test_a_signal_to_one_process_stops_all(pair: list[dict[str, Any]]) -> None:
    assert [found["asked"] for found in pair] == [[False, True]] * 2


def test_weights_of_one_process_that_diverged_end_all(pair: list[dict[str, Any]]) -> None:
    assert [found["diverged"] for found in pair] == [
        "the weights are not finite after step 1: try a lower lr",
        "the weights are not finite after step 1 (seen is the first): try a lower lr",
    ]
