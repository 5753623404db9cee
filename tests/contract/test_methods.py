"""Every method keeps to the contract, and CLAD and ERM to their papers."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import test_bias_methods
import test_intrinsic_method
import test_lff_methods
import torch
from made_batches import CLASSES, made_batch, made_method, small_net
from torch import Tensor, nn
from torch.nn import functional

from longcut.core import Batch, Method
from longcut.core.seeding import generator_states
from longcut.engine import train
from longcut.methods import CLAD, ERM, METHODS
from longcut.testing import CHECKS, ContractError, check_method

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("erm", "group", {}),
    ("erm", "batch", {}),
    ("clad", "group", {}),
    ("clad", "batch", {"supervise_positives": True}),
    ("clad", "batch", {"joint_forward": True}),
    ("clad", "none", {"filler_start": True}),
    ("clad", "group", {"num_negatives": 2, "temperature": 0.05, "weight": 0.5}),
    ("moco", "group", {"capacity": 30}),
    ("moco", "batch", {"capacity": 30, "non_semantic": "patch", "num_non_semantic": 2, "hard_negatives": "ifm"}),
    ("moco", "batch", {"capacity": 5, "symmetric": True, "batch_norm_splits": 2, "final_momentum": 1.0}),
    ("moco", "batch", {"capacity": 30, "hard_negatives": "mochi", "num_hardest": 9, "num_mixed": 5}),
    ("moco", "none", {"capacity": 30, "hard_negatives": "debiased", "non_semantic": "texture", "alpha": 0.0}),
    ("simclr", "group", {"non_semantic": "background", "num_non_semantic": 2, "hard_negatives": "ifm"}),
    ("simclr", "batch", {"hard_negatives": "hard"}),
    ("byol", "batch", {"hidden": 32, "dim": 16}),
    ("byol", "group", {"hidden": 32, "dim": 16, "symmetric": False, "non_semantic": "patch", "num_non_semantic": 2}),
    ("insdis", "batch", {"num_negatives": 20}),
    ("cmc", "batch", {"num_negatives": 20}),
    ("supcon", "batch", {}),
]
SELF_SUPERVISED = {"moco", "simclr", "byol", "insdis", "cmc", "supcon"}


@pytest.mark.parametrize(("name", "norm", "options"), CASES, ids=lambda case: str(case))
def test_method_keeps_to_the_contract(name: str, norm: str, options: dict[str, Any]) -> None:
    # An online head follows features that move: it needs more steps to know a batch by heart.
    steps = 200 if name in SELF_SUPERVISED else 60
    check_method(
        lambda: made_method(name, norm, options), made_batch(), num_classes=CLASSES, overfit_steps=steps, lr=1e-2
    )


def test_every_method_has_a_case() -> None:
    cases = [*CASES, *test_lff_methods.CASES, *test_intrinsic_method.CASES, *test_bias_methods.CASES]
    assert {name for name, _, _ in cases} == set(METHODS)


# One stranger's method for each check, which breaks that one.


class Sound(Method):
    """What the broken ones below would be."""

    accumulates = True

    def __init__(self) -> None:
        super().__init__()
        self.backbone = small_net()
        self.head = nn.Linear(16, CLASSES)

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        yield {"cross_entropy": functional.cross_entropy(self(batch.images), batch.targets)}

    def encode(self, images: Tensor) -> Tensor:
        return self.backbone(images)

    def classify(self, features: Tensor) -> Tensor:
        return self.head(features)


class DropsOut(Sound):
    """Sound as well: what it draws while it trains comes from torch's generator."""

    accumulates = False

    def encode(self, images: Tensor) -> Tensor:
        return functional.dropout(super().encode(images), 0.2, training=self.training)


class DrawsFromStrangers(Sound):
    """Sound too: numpy's and Python's generators are seeded, and go on where a checkpoint was written."""

    accumulates = False

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        for terms in super().training_step(batch):
            yield {"cross_entropy": terms["cross_entropy"] * (0.9 + 0.1 * np.random.rand() + 0.1 * random.random())}  # noqa: NPY002


class NeedsTheUnknown(Sound):
    needs = frozenset({"colours"})


class IgnoresAMissingField(Sound):
    needs = frozenset({"composites"})


class FailsWithoutAName(Sound):
    needs = frozenset({"composites"})

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        if batch.composites is None:
            raise ValueError("something is missing")
        yield from super().training_step(batch)


class CallsATermLoss(Sound):
    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        for terms in super().training_step(batch):
            yield {"loss": terms["cross_entropy"], "more": terms["cross_entropy"]}


class YieldsOneNameTwice(Sound):
    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        yield from super().training_step(batch)
        yield from super().training_step(batch)


class YieldsAVector(Sound):
    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        yield {"cross_entropy": functional.cross_entropy(self(batch.images), batch.targets, reduction="none")}


class DropsATerm(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        self.seen += 1
        for terms in super().training_step(batch):
            yield terms if self.seen > 2 else terms | {"early": terms["cross_entropy"] * 0.1}


class CountsInEvaluation(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def encode(self, images: Tensor) -> Tensor:
        self.seen += 1
        return super().encode(images)


class DrawsInEvaluation(Sound):
    def encode(self, images: Tensor) -> Tensor:
        return functional.dropout(super().encode(images), 0.5)


class DrawsInVain(Sound):
    def encode(self, images: Tensor) -> Tensor:
        torch.rand(1)
        return super().encode(images)


class LooksAtNeighbours(Sound):
    def encode(self, images: Tensor) -> Tensor:
        features = super().encode(images)
        return features - features.mean(0)


class PredictsByOtherMeans(Sound):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + 1


class HasAnIdleLayer(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.projector = nn.Linear(16, 4)


class LearnsTheWrongWay(Sound):
    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        yield {"cross_entropy": functional.cross_entropy(self(batch.images), (batch.targets + 1) % CLASSES)}


class HidesItsState(Sound):
    accumulates = False

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        self.seen += 1
        for terms in super().training_step(batch):
            yield {"cross_entropy": terms["cross_entropy"] / self.seen}


class LosesPrecision(Sound):
    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        for terms in super().training_step(batch):
            wide = self.head(self.encode(batch.images)).dtype == torch.float32
            yield {"cross_entropy": terms["cross_entropy"] * (1.0 if wide else math.inf)}


class ClaimsToAccumulate(Sound):
    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        features = self.encode(batch.images)
        spread = (features - features.mean(0)).square().mean()
        yield {"cross_entropy": functional.cross_entropy(self.classify(features), batch.targets), "spread": spread}


BROKEN = {
    NeedsTheUnknown: "needs_fields_that_batches_have",
    IgnoresAMissingField: "names_a_missing_field",
    FailsWithoutAName: "names_a_missing_field",
    CallsATermLoss: "log_adds_up",
    YieldsOneNameTwice: "log_adds_up",
    YieldsAVector: "log_adds_up",
    DropsATerm: "log_adds_up",
    CountsInEvaluation: "evaluation_is_pure",
    DrawsInEvaluation: "evaluation_is_pure",
    DrawsInVain: "evaluation_is_pure",
    LooksAtNeighbours: "evaluation_is_pure",
    PredictsByOtherMeans: "evaluation_is_pure",
    HasAnIdleLayer: "every_parameter_moves",
    LearnsTheWrongWay: "overfits_one_batch",
    HidesItsState: "state_dict_is_all_state",
    LosesPrecision: "trains_in_bf16",
    ClaimsToAccumulate: "accumulates_as_declared",
}


@pytest.mark.parametrize("sound", [Sound, DropsOut, DrawsFromStrangers])
def test_a_sound_method_passes_and_generators_are_left_alone(sound: type[Method]) -> None:
    before = generator_states()
    check_method(sound, made_batch(), num_classes=CLASSES, lr=1e-2)
    after = generator_states()
    assert torch.equal(before["cpu"], after["cpu"])
    assert before["numpy"][0].tolist() == after["numpy"][0].tolist()
    assert (before["numpy"][1:], before["python"]) == (after["numpy"][1:], after["python"])


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_a_broken_method_is_told_what_it_breaks(broken: type[Method]) -> None:
    with pytest.raises(ContractError, match=f"{broken.__name__} breaks the contract, {BROKEN[broken]}: ."):
        check_method(broken, made_batch(), num_classes=CLASSES, lr=1e-2)


def test_a_batch_tells_of_each_field_whence_it_comes() -> None:
    bare = Batch(images=torch.zeros(2, 3, 4, 4), targets=torch.zeros(2).long(), indices=torch.arange(2))
    for field in {field.name for field in fields(Batch)} - {"images", "targets", "indices"}:
        with pytest.raises(ValueError, match=rf"Sound needs batches with {field} \({field}: ."):
            bare.require({field}, "Sound")
    with pytest.raises(ValueError, match="Sound needs colours, masks, which no batch has: there are amplified, "):
        bare.require({"masks", "bias", "colours"}, "Sound")


def test_a_resume_that_differs_is_told() -> None:
    everything_else = set(CHECKS) - {"resumes_bit_identically"}
    with pytest.raises(ContractError, match="resumes_bit_identically: cross_entropy of step 3 is"):
        check_method(HidesItsState, made_batch(), num_classes=CLASSES, without=everything_else)


def test_an_unknown_check_to_leave_out_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no check is called overfit: there are needs_fields"):
        check_method(Sound, made_batch(), num_classes=CLASSES, without=["overfit"])


# CLAD and ERM against what their papers say.


def sgd_steps(method: Method, batches: list[Batch]) -> list[dict[str, Tensor]]:
    return list(train(method, batches, torch.optim.SGD(method.parameters(), lr=0.1, momentum=0.9)))


@pytest.mark.parametrize("supervised", [False, True], ids=["clad", "clad_plus"])
def test_clad_equals_equations_1_to_3_written_with_loops(supervised: bool) -> None:
    """Losses and gradients over several steps, with a dictionary of lists, in float64."""
    torch.manual_seed(0)
    capacity, temperature, weight = 5, 0.2, 0.7
    method = CLAD(
        small_net(),
        num_classes=CLASSES,
        num_negatives=capacity,
        temperature=temperature,
        weight=weight,
        supervise_positives=supervised,
    ).double()
    dictionary: dict[int, list[Tensor]] = defaultdict(list)
    for step in range(6):
        batch = double(made_batch(7, seed=step))
        (terms,) = method.training_step(batch)
        found = torch.autograd.grad(sum(terms.values()), list(method.parameters()))

        expected_terms = loops(method, batch, dictionary, capacity, temperature, weight, supervised)
        expected = torch.autograd.grad(sum(expected_terms.values()), list(method.parameters()))
        assert terms.keys() == expected_terms.keys()
        for name, term in expected_terms.items():
            torch.testing.assert_close(terms[name], term, rtol=1e-10, atol=1e-12)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)
        with torch.no_grad():
            for parameter, gradient in zip(method.parameters(), expected, strict=True):
                parameter -= 0.1 * gradient
    assert any(len(entries) == capacity for entries in dictionary.values()), "no queue has ever been full"


def loops(
    method: CLAD,
    batch: Batch,
    dictionary: dict[int, list[Tensor]],
    capacity: int,
    temperature: float,
    weight: float,
    supervised: bool,
) -> dict[str, Tensor]:
    assert batch.composites is not None
    assert batch.background_targets is not None
    anchors, positives = method.backbone(batch.images), method.backbone(batch.composites)
    # Section 3.4: the positives enter the dictionary first, each under the class of its background.
    for positive, background in zip(positives, batch.background_targets.tolist(), strict=True):
        dictionary[background] = [*dictionary[background], positive.detach()][-capacity:]
    losses = []
    for anchor, positive, target in zip(anchors, positives, batch.targets.tolist(), strict=True):
        attraction = torch.exp(similarity(anchor, positive) / temperature)
        repulsion = sum(torch.exp(similarity(anchor, negative) / temperature) for negative in dictionary[target])
        losses.append(-torch.log(attraction / (attraction + repulsion)))  # equation 1
    terms = {"cross_entropy": mean_cross_entropy(method.head(anchors), batch.targets)}
    if supervised:  # equation 3
        terms["cross_entropy_positives"] = mean_cross_entropy(method.head(positives), batch.targets)
    return terms | {"contrast": weight * sum(losses) / len(losses)}  # equation 2


def similarity(one: Tensor, two: Tensor) -> Tensor:
    return (one * two).sum() / (one.square().sum().sqrt() * two.square().sum().sqrt())


def mean_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    rows = [-row[target] + row.exp().sum().log() for row, target in zip(logits, targets.tolist(), strict=True)]
    return sum(rows) / len(rows)


def double(batch: Batch) -> Batch:
    assert batch.composites is not None
    return Batch(
        batch.images.double(),
        batch.targets,
        batch.indices,
        composites=batch.composites.double(),
        background_targets=batch.background_targets,
    )


def test_without_weight_clad_is_erm() -> None:
    batches = [made_batch(seed=step) for step in range(4)]
    torch.manual_seed(0)
    erm = ERM(small_net(), num_classes=CLASSES)
    torch.manual_seed(0)
    clad = CLAD(small_net(), num_classes=CLASSES, weight=0.0)
    sgd_steps(erm, batches)
    sgd_steps(clad, batches)
    for name, parameter in erm.named_parameters():
        assert torch.equal(parameter, clad.get_parameter(name)), name


def test_erm_never_sees_a_composite() -> None:
    """Not in its gradients, and not in the statistics of BatchNorm."""
    with_composites = made_batch()
    without = Batch(with_composites.images, with_composites.targets, with_composites.indices)
    states = []
    for batch in (with_composites, without):
        torch.manual_seed(0)
        method = ERM(small_net("batch"), num_classes=CLASSES)
        sgd_steps(method, [batch] * 2)
        states.append(method.state_dict())
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def test_joint_forward_changes_nothing_without_batchnorm() -> None:
    methods = []
    for joint in (False, True):
        torch.manual_seed(0)
        methods.append(CLAD(small_net(), num_classes=CLASSES, joint_forward=joint))
        sgd_steps(methods[-1], [made_batch(seed=step) for step in range(3)])
    for name, tensor in methods[0].state_dict().items():
        torch.testing.assert_close(tensor, methods[1].state_dict()[name], rtol=1e-4, atol=1e-5)


def test_a_filled_dictionary_holds_anchors_of_other_classes_once() -> None:
    torch.manual_seed(0)
    method = CLAD(small_net(), num_classes=CLASSES, num_negatives=12, filler_start=True)
    batch = made_batch()
    with torch.no_grad():
        anchors = functional.normalize(method.encode(batch.images), dim=1)
    next(method.training_step(batch))
    assert method.queue.counts.tolist() == [12] * CLASSES
    for key in range(CLASSES):
        allowed = functional.normalize(anchors[batch.targets != key], dim=1)
        fillers = 12 - int((batch.background_targets == key).sum())
        near = torch.cdist(method.queue.embeddings[key], allowed).min(dim=1).values
        assert int((near < 1e-4).sum()) == fillers
    pointers = method.queue.pointers.clone()
    next(method.training_step(batch))
    pushed = torch.bincount(batch.background_targets, minlength=CLASSES)
    assert torch.equal(method.queue.pointers, (pointers + pushed) % 12)
