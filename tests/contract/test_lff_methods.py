"""GCE, LfF and DisEnt: the contract, their papers written with loops, and what the weights are there for."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from made_batches import CLASSES, made_batch, made_method, small_net
from torch import Tensor, nn
from two_processes import check_pair, in_pair, over_processes, part_of

from longcut.backbones import SmallConvNet
from longcut.core import Batch, Method
from longcut.engine import train
from longcut.methods import ERM
from longcut.methods.biased_loss import amplified_mean, biased_loss
from longcut.methods.disent import DisEnt
from longcut.methods.gce import GCE
from longcut.methods.lff import LfF
from longcut.methods.relative_difficulty import RelativeDifficulty
from longcut.testing import check_method

KINDS: dict[str, type[Method]] = {"gce": GCE, "lff": LfF, "disent": DisEnt}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("gce", "batch", {}),
    ("gce", "group", {"q": 0.3}),
    ("lff", "batch", {}),
    ("lff", "group", {"amplified": True}),
    ("lff", "none", {"authors_gce": True, "q": 0.5, "momentum": 0.0}),
    ("disent", "batch", {}),
    ("disent", "group", {"swap_start": 3, "align_weight": 1.0, "swap_align_weight": 1.0}),
    ("disent", "batch", {"swap_start": 0, "amplified": True}),
]
SAMPLES = 14
"""Size of a made training set: small enough that batches meet a sample again, and twice in one."""


@pytest.mark.parametrize(("name", "norm", "options"), CASES, ids=lambda case: str(case))
def test_method_keeps_to_the_contract(name: str, norm: str, options: dict[str, Any]) -> None:
    check_method(
        lambda: made_method(KINDS[name], norm, options), made_batch(), num_classes=CLASSES, overfit_steps=100, lr=1e-2
    )


# The papers, with plain loops in float64.


def drawn_batch(step: int, size: int = 9) -> Batch:
    """Samples of the made set, some of them twice; a sample keeps its class, and its place in the amplified set."""
    generator = torch.Generator().manual_seed(step)
    batch = made_batch(size, seed=step)
    indices = torch.randint(SAMPLES, (size,), generator=generator)
    amplified = (indices % 5 != 1) & (step != 2)
    return replace(
        batch, images=batch.images.double(), indices=indices, targets=indices * 7 % CLASSES, amplified=amplified
    )


class Loops:
    """Per-sample state in dictionaries, class maxima by looking at each sample."""

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum
        self.biased: dict[int, float] = {}
        self.debiased: dict[int, float] = {}

    def weights(self, batch: Batch, biased_losses: list[Tensor], losses: list[Tensor]) -> list[float]:
        self._move(self.biased, batch, biased_losses)
        self._move(self.debiased, batch, losses)
        found = []
        for index in batch.indices.tolist():
            harder, easier = self._share(self.biased, index), self._share(self.debiased, index)
            found.append(harder / (harder + easier + 1e-8))
        return found

    def _move(self, table: dict[int, float], batch: Batch, losses: list[Tensor]) -> None:
        before = dict(table)
        for index, loss in zip(batch.indices.tolist(), losses, strict=True):
            table[index] = self.momentum * before.get(index, loss.item()) + (1 - self.momentum) * loss.item()

    def _share(self, table: dict[int, float], index: int) -> float:
        label = index * 7 % CLASSES
        return table[index] / max(value for other, value in table.items() if other * 7 % CLASSES == label)


def cross_entropies(logits: Tensor, targets: Tensor) -> list[Tensor]:
    return [row.exp().sum().log() - row[target] for row, target in zip(logits, targets.tolist(), strict=True)]


def biased_by_loop(losses: list[Tensor], members: list[bool] | None, q: float, authors_gce: bool) -> Tensor:
    if members is not None:
        kept = [loss for loss, member in zip(losses, members, strict=True) if member]
        return sum(kept) / len(kept) if kept else 0 * sum(losses)  # type: ignore[operator, return-value]
    rows = []
    for loss in losses:
        p = torch.exp(-loss)
        rows.append(q * p.detach() ** q * loss if authors_gce else (1 - p**q) / q)
    return sum(rows) / len(rows)  # type: ignore[return-value]


def weighted_by_loop(weights: list[float], losses: list[Tensor]) -> Tensor:
    return sum(w * loss for w, loss in zip(weights, losses, strict=True)) / len(losses)  # type: ignore[return-value]


def lff_by_loop(method: LfF, batch: Batch, state: Loops) -> dict[str, Tensor]:
    losses = cross_entropies(method.head(method.backbone(batch.images)), batch.targets)
    biased_losses = cross_entropies(method.biased_head(method.biased_backbone(batch.images)), batch.targets)
    weights = state.weights(batch, biased_losses, losses)
    members = amplified_in(batch) if method.amplified else None
    biased = biased_by_loop(biased_losses, members, method.q, method.authors_gce)
    name = "biased_cross_entropy" if method.amplified else "biased_gce"
    return {name: biased, "weighted_cross_entropy": weighted_by_loop(weights, losses)}


def disent_by_loop(method: DisEnt, batch: Batch, state: Loops, order: list[int] | None) -> dict[str, Tensor]:
    intrinsic, biased = method.backbone(batch.images), method.biased_backbone(batch.images)
    members = amplified_in(batch) if method.amplified else None
    losses = cross_entropies(method.head(beside(intrinsic, biased.detach())), batch.targets)
    biased_losses = cross_entropies(method.biased_head(beside(intrinsic.detach(), biased)), batch.targets)
    weights = state.weights(batch, biased_losses, losses)
    aligned = biased_by_loop(biased_losses, members, method.q, method.authors_gce)
    weighted, swapped, swapped_aligned = weighted_by_loop(weights, losses), 0 * aligned, 0 * aligned
    if order is not None:
        others = torch.stack([biased[place] for place in order])
        labels = torch.tensor([int(batch.targets[place]) for place in order])
        members = None if members is None else [members[place] for place in order]
        swapped = weighted_by_loop(
            weights, cross_entropies(method.head(beside(intrinsic, others.detach())), batch.targets)
        )
        losses = cross_entropies(method.biased_head(beside(intrinsic.detach(), others)), labels)
        swapped_aligned = biased_by_loop(losses, members, method.q, method.authors_gce)
    name = "biased_cross_entropy" if method.amplified else "biased_gce"
    return {
        "weighted_cross_entropy": weighted,
        name: method.align_weight * aligned,
        "swapped_weighted_cross_entropy": method.swap_weight * swapped,
        f"swapped_{name}": method.swap_weight * method.swap_align_weight * swapped_aligned,
    }


def beside(intrinsic: Tensor, biased: Tensor) -> Tensor:
    return torch.stack([torch.cat([one, two]) for one, two in zip(intrinsic, biased, strict=True)])


def amplified_in(batch: Batch) -> list[bool]:
    assert batch.amplified is not None
    return batch.amplified.tolist()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lff", {}),
        ("lff", {"amplified": True, "momentum": 0.5}),
        ("lff", {"authors_gce": True, "q": 0.4}),
        ("disent", {"swap_start": 2, "align_weight": 3.0, "swap_weight": 0.5}),
        ("disent", {"swap_start": 0, "amplified": True, "swap_align_weight": 2.0}),
    ],
    ids=str,
)
def test_it_equals_its_paper_written_with_loops(name: str, options: dict[str, Any]) -> None:
    """Losses and gradients over several steps. The third batch has no member of the amplified set."""
    torch.manual_seed(0)
    method = KINDS[name](small_net(), small_net(), num_classes=CLASSES, num_samples=SAMPLES, **options).double()
    parameters = list(method.parameters())
    state = Loops(options.get("momentum", 0.7))
    for step in range(6):
        batch = drawn_batch(step)
        torch.manual_seed(step)
        (terms,) = method.training_step(batch)
        found = torch.autograd.grad(sum(terms.values()), parameters)

        torch.manual_seed(step)
        order = torch.randperm(len(batch)).tolist() if step >= options.get("swap_start", 0) else None
        expected_terms = (
            lff_by_loop(method, batch, state)
            if isinstance(method, LfF)
            else disent_by_loop(method, batch, state, order)  # type: ignore[arg-type]
        )
        expected = torch.autograd.grad(sum(expected_terms.values()), parameters)
        assert terms.keys() == expected_terms.keys()
        for key, term in expected_terms.items():
            torch.testing.assert_close(terms[key], term, rtol=1e-9, atol=1e-12)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-12)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, expected, strict=True):
                parameter -= 0.1 * gradient
    tables = method.sample_state()
    for key, expected_rows in {"biased_loss": state.biased, "debiased_loss": state.debiased}.items():
        assert tables[key].tolist() == pytest.approx([expected_rows.get(i, 0.0) for i in range(SAMPLES)], rel=1e-9)


def test_the_relative_difficulty_is_a_share_of_two_shares() -> None:
    difficulty = RelativeDifficulty(5, 2, momentum=0.5)
    targets, indices = torch.tensor([0, 0, 1]), torch.tensor([4, 0, 2])
    losses = torch.tensor([2.0, 1.0, 0.5], requires_grad=True)
    weights = difficulty(losses, torch.tensor([0.1, 0.4, 0.0]), targets, indices)
    assert weights.tolist() == pytest.approx([1 / (1 + 0.25), 0.5 / (0.5 + 1), 1.0], rel=1e-6)
    assert not weights.requires_grad
    assert torch.equal(difficulty.weights(targets, indices), weights)
    assert difficulty.averages.losses[0].tolist() == [1.0, 0.0, 0.5, 0.0, 2.0]
    assert difficulty.averages.losses[1].tolist() == pytest.approx([0.4, 0.0, 0.0, 0.0, 0.1])
    difficulty(torch.zeros(3), torch.zeros(3), targets, indices)
    assert difficulty.averages.losses[0].tolist() == [0.5, 0.0, 0.25, 0.0, 1.0]


# Limits in which two methods are one.


def stepped(method: Method, batches: list[Batch]) -> dict[str, Tensor]:
    """The state after some steps of plain gradient descent."""
    for _ in train(method, batches, torch.optim.SGD(method.parameters(), lr=0.1, momentum=0.9)):
        pass
    return method.state_dict()


def made(name: str, seed: int = 0, **options: Any) -> Method:
    torch.manual_seed(seed)
    return made_method(KINDS[name], "group", options)


def copied(method: Method, backbone: str, head: str) -> dict[str, dict[str, Tensor]]:
    return {
        "backbone": {name: t.clone() for name, t in method.get_submodule(backbone).state_dict().items()},
        "head": {name: t.clone() for name, t in method.get_submodule(head).state_dict().items()},
    }


@pytest.mark.parametrize("amplified", [False, True])
def test_the_biased_network_learns_as_if_it_were_alone(amplified: bool) -> None:
    """By the generalized cross-entropy; or on a set of which all are members, as ERM does."""
    batches = [made_batch(seed=step) for step in range(4)]
    batches = [replace(batch, amplified=torch.ones_like(batch.targets, dtype=torch.bool)) for batch in batches]
    pair = made("lff", amplified=amplified)
    alone = ERM(small_net(), num_classes=CLASSES) if amplified else GCE(small_net(), num_classes=CLASSES)
    for part, state in copied(pair, "biased_backbone", "biased_head").items():
        alone.get_submodule(part).load_state_dict(state)
    together, single = stepped(pair, batches), stepped(alone, batches)
    for name, tensor in single.items():
        torch.testing.assert_close(together[f"biased_{name}"], tensor, rtol=1e-5, atol=1e-6)


def test_with_a_tiny_q_gce_is_erm() -> None:
    batches = [made_batch(seed=step) for step in range(4)]
    torch.manual_seed(0)
    erm = stepped(ERM(small_net(), num_classes=CLASSES), batches)
    for name, tensor in stepped(made("gce", q=1e-5), batches).items():
        torch.testing.assert_close(tensor, erm[name], rtol=1e-3, atol=1e-4)


def test_swapping_without_weight_is_not_swapping() -> None:
    batches = [made_batch(seed=step) for step in range(4)]
    never = stepped(made("disent", swap_start=100), batches)
    for name, tensor in stepped(made("disent", swap_start=0, swap_weight=0.0), batches).items():
        torch.testing.assert_close(tensor, never[name], msg=name)
    assert any(not torch.equal(t, never[n]) for n, t in stepped(made("disent", swap_start=0), batches).items())


def test_before_it_swaps_the_terms_are_zeros_and_nothing_is_drawn() -> None:
    method = made("disent", swap_start=2)
    for step in range(4):
        before = torch.get_rng_state()
        (terms,) = method.training_step(made_batch(seed=step))
        swapped = [terms["swapped_weighted_cross_entropy"], terms["swapped_biased_gce"]]
        assert all((term == 0) == (step < 2) and term.requires_grad for term in swapped)
        assert torch.equal(before, torch.get_rng_state()) == (step < 2)


def test_each_classifier_trains_its_own_encoder_alone() -> None:
    (terms,) = (method := made("disent", swap_start=0)).training_step(made_batch())
    for name, term in terms.items():
        own, other = ("biased_", "") if "biased" in name else ("", "biased_")
        for part in (other + "backbone.", other + "head."):
            strangers = [p for n, p in method.named_parameters() if n.startswith(part)]
            found = torch.autograd.grad(term, strangers, retain_graph=True, allow_unused=True)
            assert all(gradient is None for gradient in found), f"{name} reaches {part}"
        mine = [p for n, p in method.named_parameters() if n.startswith((own + "backbone.", own + "head."))]
        assert all(gradient.abs().sum() > 0 for gradient in torch.autograd.grad(term, mine, retain_graph=True))


def test_a_batch_without_a_member_gives_a_zero() -> None:
    losses, nobody = torch.tensor([1.0, math.inf], requires_grad=True), torch.tensor([False, False])
    found = amplified_mean(losses, nobody)
    assert found.item() == 0
    assert torch.autograd.grad(found, losses)[0].tolist() == [0, 0]
    assert amplified_mean(torch.tensor([1.0, 5.0, 3.0]), torch.tensor([True, False, True])).item() == 2

    batches = [replace(made_batch(seed=step), amplified=torch.zeros(8, dtype=torch.bool)) for step in range(2)]
    start = made("lff", amplified=True).state_dict()
    state = stepped(made("lff", amplified=True), batches)
    for name, tensor in state.items():
        assert tensor.isfinite().all(), name
        if name.startswith("biased_"):
            assert torch.equal(tensor, start[name]), f"{name} moved without a member to learn from"


def test_a_sample_that_is_no_member_does_not_train_the_biased_network() -> None:
    logits = torch.randn(4, CLASSES, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = biased_loss(logits, torch.tensor([0, 1, 2, 0]), torch.tensor([True, False, False, True]))
    (found,) = torch.autograd.grad(loss, logits)
    assert (found.abs().sum(dim=1) > 0).tolist() == [True, False, False, True]


# What the weights are there for.


def coloured(size: int = 96) -> tuple[Batch, Tensor]:
    """Images whose colour tells the class of all but each eighth; a faint pattern tells it of all."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(size) % CLASSES
    conflicting = torch.arange(size) % 8 == 5
    colours = torch.where(conflicting, (targets + 1) % CLASSES, targets)
    patterns = torch.randn(CLASSES, 1, 8, 8, generator=generator)
    images = torch.randn(size, 3, 8, 8, generator=generator) * 0.2 + 0.1 * patterns[targets]
    images += 3 * nn.functional.one_hot(colours, 3)[:, :, None, None]
    return Batch(images, targets, torch.arange(size), amplified=~conflicting), conflicting


@pytest.mark.parametrize("name", ["lff", "disent"])
@pytest.mark.parametrize("amplified", [False, True])
def test_conflicting_samples_come_to_weigh_more(name: str, amplified: bool) -> None:
    data, conflicting = coloured()
    torch.manual_seed(0)
    method = KINDS[name](small_net(), small_net(), num_classes=CLASSES, num_samples=len(data), amplified=amplified)
    means = []
    for _ in train(method, [data] * 90, torch.optim.Adam(method.parameters(), lr=1e-2)):
        weights = method.difficulty.weights(data.targets, data.indices)  # type: ignore[operator, union-attr]
        assert 0 <= weights.min() <= weights.max() <= 1
        means.append([weights[conflicting].mean().item(), weights[~conflicting].mean().item()])
    assert weights.std() > 0.1, "all weigh the same"
    assert means[-1][0] > means[-1][1] + 0.3, f"conflicting and aligned ones weigh {means[-1]}"
    assert means[-1][0] > means[0][0] + 0.1, f"conflicting ones weigh {means[0][0]}, and after training {means[-1][0]}"


def test_any_number_of_classes_and_two_kinds_of_network() -> None:
    batch = replace(made_batch(), targets=torch.tensor([0, 6, 2, 3, 6, 1, 1, 0]))
    for kind in (LfF, DisEnt):
        method = kind(small_net(), SmallConvNet(widths=(8, 12), strides=(2, 2)), num_classes=7, num_samples=8)
        stepped(method, [batch])
        assert method(batch.images).shape == (8, 7)
        assert method.encode(batch.images).shape == (8, 16 if kind is LfF else 28)
        assert {name: len(table) for name, table in method.sample_state().items()} == {
            "biased_loss": 8,
            "debiased_loss": 8,
        }


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("gce", {"q": 0.0}, "q must be above 0 and at most 1, not 0.0"),
        ("lff", {"q": 2.0}, "q must be above 0"),
        ("lff", {"momentum": 1.0}, "momentum must be at least 0 and below 1, not 1.0"),
        ("disent", {"q": -1.0}, "q must be above 0"),
        ("disent", {"swap_start": -1}, "swap_start must be at least 0, not -1"),
    ],
)
def test_options_that_make_no_sense_are_refused(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made(name, **options)


# Two processes.

SHARED: dict[str, tuple[str, dict[str, Any]]] = {
    "gce": ("gce", {}),
    "lff": ("lff", {}),
    "lff_amplified": ("lff", {"amplified": True}),
    "disent": ("disent", {}),
}


def run(case: str) -> dict[str, Any]:
    """This process's share of a few steps; members, and samples that come twice, are not alike on both processes."""
    name, options = SHARED[case]
    batches = []
    for step in range(4):
        batch = part_of(drawn_batch(step, 8))
        batches.append(replace(batch, images=batch.images.float()))
    method = made(name, **options)
    optimizer = torch.optim.SGD(method.parameter_groups(0.1), lr=0.1, momentum=0.9)
    losses = torch.stack([terms["loss"] for terms in train(method, batches, optimizer)])
    return {"losses": over_processes(losses), "state": method.state_dict()}


def shared() -> dict[str, Any]:
    return {case: run(case) for case in SHARED}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return in_pair(shared, tmp_path_factory.mktemp("pair"))


@pytest.mark.parametrize("case", SHARED)
def test_two_processes_equal_one(case: str, pair: list[dict[str, Any]]) -> None:
    check_pair(case, pair, run(case))
