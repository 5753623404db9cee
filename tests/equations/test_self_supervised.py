"""The self-supervised methods against their papers, written with plain loops in float64, and other libraries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from lightly.loss import NegativeCosineSimilarity, NTXentLoss
from pytorch_metric_learning.losses import SupConLoss
from torch import Tensor, nn

from longcut.backbones import SmallConvNet
from longcut.core import Batch, Method
from longcut.engine import train
from longcut.losses import mix_hard_negatives
from longcut.methods import BYOL, CMC, METHODS, InsDis, MoCo, SimCLR, SupCon
from longcut.methods.cmc import luminance_and_colour
from longcut.methods.heads import OnlineHead
from longcut.methods.momentum import MomentumNetwork
from longcut.methods.shuffling import SplitBatchNorm, encode_shuffled, split_batch_norm

CLASSES, SAMPLES, SIZE = 3, 40, 6
FACTS = {"num_classes": CLASSES, "num_steps": 10}


def net(norm: str = "group") -> SmallConvNet:
    return SmallConvNet(widths=(8, 16), strides=(2, 2), norm=norm)  # type: ignore[arg-type]


def made_batch(seed: int = 0, size: int = SIZE) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images, view, *away = torch.randn(4, size, 3, 8, 8, generator=generator, dtype=torch.float64)
    return Batch(
        images,
        torch.arange(size) % CLASSES,
        torch.randperm(SAMPLES, generator=generator)[:size],
        views=view[:, None],
        non_semantic=torch.stack(away, dim=1),
    )


def embed(network: Method, images: Tensor) -> list[Tensor]:
    """Unit vectors of the images, one at a time: the networks here have no BatchNorm."""
    rows = [network.projector(network.backbone(image[None]))[0] for image in images]
    return [row / row.square().sum().sqrt() for row in rows]


def embed_keys(method: MoCo, images: Tensor) -> list[Tensor]:
    rows = [method.key(image[None])[0] for image in images]
    return [row / row.square().sum().sqrt() for row in rows]


def dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum()


def mean(values: Sequence[Tensor]) -> Tensor:
    return sum(values[1:], values[0]) / len(values)


def compare(method: Method, batch: Batch, found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Terms and gradients, with those of the online head on the first view."""
    logits = method.classify(method.encode(batch.images).detach())
    rows = [row.exp().sum().log() - row[t] for row, t in zip(logits, batch.targets.tolist(), strict=True) if t >= 0]
    expected = expected | {"online_cross_entropy": sum(rows, 0 * logits.sum()) / max(1, len(rows))}
    for name, term in expected.items():
        torch.testing.assert_close(found[name], term, rtol=1e-7, atol=1e-12)
    parameters = [p for p in method.parameters() if p.requires_grad]
    own, others = (
        torch.autograd.grad(sum(terms[name] for name in expected), parameters, retain_graph=True)
        for terms in (found, expected)
    )
    for one, other in zip(own, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


# The loss of an anchor, from its cosines.


def nce(positive: Tensor, negatives: Sequence[Tensor], away: Sequence[Tensor], options: dict[str, Any]) -> Tensor:
    """Equation 1 of Ge et al., with what the rivals do to the standard negatives."""
    t, kind = options["temperature"], options.get("hard_negatives")
    extra = sum(torch.exp(options.get("alpha", 0.0) * s / t) for s in away)
    if kind == "ifm":
        epsilon = options["epsilon"]
        mass, moved = (sum(torch.exp((s + e) / t) for s in negatives) for e in (0.0, epsilon))
        one = fraction(torch.exp(positive / t), mass + extra)
        # What is no standard negative moves as the others do.
        return (one + fraction(torch.exp((positive - epsilon) / t), moved + extra * math.exp(epsilon / t))) / 2
    if kind in ("debiased", "hard"):
        weights = [torch.exp(options["concentration"] * s / t) if kind == "hard" else s**0 for s in negatives]
        mass = sum(w * torch.exp(s / t) for w, s in zip(weights, negatives, strict=True)) / mean(weights)
        count, prior = len(negatives), options["prior"]
        mass = (mass - count * prior * torch.exp(positive / t)) / (1 - prior)
        mass = torch.maximum(mass, torch.tensor(count * math.exp(-1 / t), dtype=mass.dtype))
        return fraction(torch.exp(positive / t), mass + extra)
    return fraction(torch.exp(positive / t), sum(torch.exp(s / t) for s in negatives) + extra)


def fraction(own: Tensor, others: Tensor) -> Tensor:
    return -torch.log(own / (own + others))


RIVALS: list[dict[str, Any]] = [
    {},
    {"hard_negatives": "ifm", "epsilon": 0.15},
    {"hard_negatives": "debiased", "prior": 0.2},
    {"hard_negatives": "hard", "prior": 0.05, "concentration": 0.7},
]
AWAY: list[dict[str, Any]] = [{}, {"non_semantic": "patch", "alpha": 1.7, "num_non_semantic": 2}]


# MoCo.


@pytest.mark.parametrize("rival", RIVALS, ids=str)
@pytest.mark.parametrize("away", AWAY, ids=str)
@pytest.mark.parametrize("symmetric", [False, True])
def test_moco_is_its_papers(rival: dict[str, Any], away: dict[str, Any], symmetric: bool) -> None:
    """Losses, gradients, the queue as a list, and the key encoder as an average, over several steps."""
    torch.manual_seed(0)
    options = {"temperature": 0.3, "concentration": 1.0} | rival | away
    capacity = 17
    method = MoCo(net(), capacity=capacity, momentum=0.6, dim=5, symmetric=symmetric, **FACTS, **options).double()
    queue = list(method.queue.embeddings.clone())
    slow = [p.clone() for p in method.key.parameters()]
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    for step in range(5):
        batch = made_batch(step)
        (found,) = method.training_step(batch)
        pairs = [(batch.images, batch.views[:, 0])]
        pairs += [(batch.views[:, 0], batch.images)] if symmetric else []
        surrogates = [embed_keys(method, images) for images in batch.non_semantic.unbind(1)] if away else []
        losses, pushed = [], []
        for ours, theirs in pairs:
            queries, keys = embed(method, ours), embed_keys(method, theirs)
            rows = zip(queries, keys, *surrogates, strict=True)
            losses.append(
                mean(
                    [
                        nce(dot(q, k), [dot(q, n) for n in queue], [dot(q, a) for a in apart], options)
                        for q, k, *apart in rows
                    ]
                )
            )
            pushed += keys
        compare(method, batch, found, {"contrast": sum(losses)})
        queue = [*queue, *pushed][-capacity:]
        held = method.queue.embeddings.roll(-int(method.queue.pointer), dims=0)  # oldest first
        torch.testing.assert_close(held, torch.stack(queue), rtol=1e-10, atol=1e-12)

        optimizer.zero_grad()
        found["contrast"].backward()
        optimizer.step()
        method.after_update()
        fast = [*method.backbone.parameters(), *method.projector.parameters()]
        slow = [0.6 * s + 0.4 * f.detach() for s, f in zip(slow, fast, strict=True)]
        for one, other in zip(method.key.parameters(), slow, strict=True):
            torch.testing.assert_close(one.detach(), other, rtol=1e-12, atol=1e-14)


def test_mixed_negatives_join_after_their_start() -> None:
    torch.manual_seed(0)
    counts = {"num_hardest": 6, "num_mixed": 4, "num_query_mixed": 3}
    options: dict[str, Any] = {"capacity": 20, "dim": 5, **FACTS, "temperature": 0.3}
    method = MoCo(net(), hard_negatives="mochi", mixing_start=0.2, **counts, **options).double()
    plain = MoCo(net(), **options).double()
    for step in range(4):
        plain.load_state_dict(method.state_dict())
        queue = method.queue.embeddings.clone()
        batch, state = made_batch(step), torch.get_rng_state()
        (found,), (without,) = method.training_step(batch), plain.training_step(batch)
        if step < 2:
            torch.testing.assert_close(found["contrast"], without["contrast"], rtol=1e-12, atol=0)
        else:
            torch.set_rng_state(state)
            queries = torch.stack(embed(method, batch.images))
            mixed = mix_hard_negatives(queries, queue, queries @ queue.T, **counts)
            rows = zip(queries, embed_keys(method, batch.views[:, 0]), mixed, strict=True)
            losses = [nce(dot(q, k), [*(queue @ q), *more], [], {"temperature": 0.3}) for q, k, more in rows]
            compare(method, batch, found, {"contrast": mean(losses)})
        method.after_update()


def test_moco_equals_lightly() -> None:
    torch.manual_seed(0)
    method = MoCo(net(), capacity=32, dim=5, temperature=0.07, **FACTS)
    theirs = NTXentLoss(temperature=0.07, memory_bank_size=(32, 5))
    batch = single(made_batch(size=8))
    theirs.memory_bank.bank.copy_(method.queue.embeddings)
    for step in range(6):  # 8 divides 32, which lightly's bank wants
        (found,) = method.training_step(batch)
        queries, keys = method.projector(method.encode(batch.images)), method.key(batch.views[:, 0])
        torch.testing.assert_close(found["contrast"], theirs(queries, keys), rtol=1e-5, atol=1e-5)
        held = theirs.memory_bank.bank
        torch.testing.assert_close(held, method.queue.embeddings, rtol=1e-5, atol=1e-6, msg=f"step {step}")
        with torch.no_grad():
            for parameter in method.backbone.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
        method.after_update()


# The momentum network.


@pytest.mark.parametrize(("start", "end"), [(0.9, 1.0), (0.99, 0.5), (0.996, None)])
def test_momentum_follows_its_schedule(start: float, end: float | None) -> None:
    source = nn.Linear(2, 1).double()
    copy = MomentumNetwork([source], momentum=start, final_momentum=end, num_steps=8)
    expected = source.weight.detach().clone()
    for k in range(11):
        momentum = start if end is None else end - (end - start) * (math.cos(math.pi * min(1, k / 8)) + 1) / 2
        assert float(copy.current_momentum()) == pytest.approx(momentum, abs=1e-6)
        with torch.no_grad():
            source.weight += torch.randn(1, 2, dtype=torch.float64)
        copy.update([source])
        expected = momentum * expected + (1 - momentum) * source.weight.detach()
        torch.testing.assert_close(copy.network[0].weight, expected, rtol=1e-5, atol=1e-6)
    assert int(copy.updates) == 11
    assert not copy.network[0].weight.requires_grad
    assert not copy(torch.ones(1, 2, dtype=torch.float64, requires_grad=True)).requires_grad


# BatchNorm in parts.


@pytest.mark.parametrize("splits", [1, 2, 4])
def test_split_batch_norm_is_several_small_ones(splits: int) -> None:
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(3, momentum=0.3)).double()
    for tensor in (network[0].weight, network[0].running_mean):
        nn.init.uniform_(tensor, 1, 2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    split_batch_norm(network, splits)
    assert isinstance(network[0], SplitBatchNorm) == (splits > 1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    parts = [nn.BatchNorm2d(3, momentum=0.3).double() for _ in range(splits)]
    for _ in range(3):
        for norm in parts:  # the parts go on from what they have in common
            norm.load_state_dict(network[0].state_dict())
        images = torch.randn(8, 3, 4, 4, generator=generator, dtype=torch.float64) * 3 + 1
        expected = torch.cat([norm(part) for norm, part in zip(parts, images.chunk(splits), strict=True)])
        torch.testing.assert_close(network(images), expected, rtol=1e-12, atol=1e-12)
        for name in ("running_mean", "running_var"):
            average = torch.stack([norm.get_buffer(name) for norm in parts]).mean(0)
            torch.testing.assert_close(network[0].get_buffer(name), average, rtol=1e-12, atol=1e-12)
    assert int(network[0].num_batches_tracked) == 3
    plain = nn.BatchNorm2d(3).double()
    plain.load_state_dict(network[0].state_dict())
    torch.testing.assert_close(network.eval()(images), plain.eval()(images), rtol=0, atol=0)


def test_a_shuffled_batch_comes_back_in_order() -> None:
    images = torch.randn(8, 3, 4, 4)
    torch.testing.assert_close(encode_shuffled(lambda x: x.flatten(1), images), images.flatten(1), rtol=0, atol=0)
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten())
    split_batch_norm(network, 4)
    torch.manual_seed(0)
    order = torch.randperm(8)
    torch.manual_seed(0)
    found = encode_shuffled(network, images)
    pairs = torch.cat([(pair - pair.mean((0, 2, 3), keepdim=True)).flatten(1) for pair in images[order].chunk(4)])
    for row, place in zip(pairs, order.tolist(), strict=True):
        assert torch.corrcoef(torch.stack([row[:16], found[place, :16]]))[0, 1] == pytest.approx(1, abs=1e-4)


def test_moco_splits_both_encoders_and_shuffles_the_keys() -> None:
    torch.manual_seed(0)
    method = MoCo(net("batch"), capacity=9, batch_norm_splits=3, **FACTS).double()
    for encoder in (method.backbone, method.key):
        assert [m.splits for m in encoder.modules() if isinstance(m, nn.BatchNorm2d)] == [3, 3]
    batch = made_batch()
    state = torch.get_rng_state()
    next(method.training_step(batch))
    torch.set_rng_state(state)
    expected = encode_shuffled(method.key, batch.views[:, 0])
    torch.testing.assert_close(method.queue.embeddings[:SIZE], nn.functional.normalize(expected), rtol=1e-9, atol=1e-9)
    unshuffled = nn.functional.normalize(method.key(batch.views[:, 0]))
    assert (method.queue.embeddings[:SIZE] - unshuffled).abs().max() > 1e-3


# SimCLR and SupCon.


@pytest.mark.parametrize("rival", RIVALS, ids=str)
@pytest.mark.parametrize("away", AWAY, ids=str)
def test_simclr_is_its_papers(rival: dict[str, Any], away: dict[str, Any]) -> None:
    torch.manual_seed(0)
    options = {"temperature": 0.4, "concentration": 1.0} | rival | away
    method = SimCLR(net(), num_classes=CLASSES, dim=5, **options).double()
    batch = made_batch()
    (found,) = method.training_step(batch)
    views = [embed(method, batch.images), embed(method, batch.views[:, 0])]
    surrogates = [embed(method, images) for images in batch.non_semantic.unbind(1)] if away else []
    losses = []
    for one, other in ((0, 1), (1, 0)):
        for i, anchor in enumerate(views[one]):
            negatives = [dot(anchor, view[j]) for view in views for j in range(SIZE) if j != i]
            apart = [dot(anchor, each[i]) for each in surrogates]
            losses.append(nce(dot(anchor, views[other][i]), negatives, apart, options))
    compare(method, batch, found, {"contrast": mean(losses)})


def test_simclr_equals_lightly() -> None:
    torch.manual_seed(0)
    method, batch = SimCLR(net(), num_classes=CLASSES, dim=5), single(made_batch())
    (found,) = method.training_step(batch)
    both = method.projector(method.encode(torch.cat([batch.images, batch.views[:, 0]])))
    torch.testing.assert_close(found["contrast"], NTXentLoss(temperature=0.5)(*both.chunk(2)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("targets", [[0, 1, 2, 0, 1, 1], [0, -1, -1, 0, 1, 2], [-1] * 6], ids=str)
def test_supcon_is_its_paper(targets: list[int]) -> None:
    torch.manual_seed(0)
    method = SupCon(net(), num_classes=CLASSES, dim=5, temperature=0.3).double()
    batch = replace(made_batch(), targets=torch.tensor(targets))
    (found,) = method.training_step(batch)
    views = embed(method, batch.images) + embed(method, batch.views[:, 0])
    losses = []
    for i, anchor in enumerate(views):
        others = [j for j in range(2 * SIZE) if j != i]
        total = sum(torch.exp(dot(anchor, views[j]) / 0.3) for j in others)
        alike = [j for j in others if j % SIZE == i % SIZE or targets[j % SIZE] == targets[i % SIZE] != -1]
        losses.append(mean([-torch.log(torch.exp(dot(anchor, views[j]) / 0.3) / total) for j in alike]))
    compare(method, batch, found, {"contrast": mean(losses)})


def test_supcon_equals_pytorch_metric_learning() -> None:
    torch.manual_seed(0)
    method, batch = SupCon(net(), num_classes=CLASSES, dim=5), single(made_batch())
    (found,) = method.training_step(batch)
    both = method.projector(method.encode(torch.cat([batch.images, batch.views[:, 0]])))
    theirs = SupConLoss(temperature=0.1)(both, batch.targets.repeat(2))
    torch.testing.assert_close(found["contrast"], theirs, rtol=1e-5, atol=1e-5)


def test_supcon_without_labels_is_simclr() -> None:
    batch = replace(made_batch(), targets=torch.full((SIZE,), -1))
    terms = []
    for method_class in (SupCon, SimCLR):
        torch.manual_seed(0)
        terms.append(next(method_class(net(), num_classes=CLASSES, temperature=0.3).double().training_step(batch)))
    torch.testing.assert_close(terms[0]["contrast"], terms[1]["contrast"], rtol=1e-12, atol=0)


# BYOL.


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.05, 0.8])
def test_byol_is_equation_2(symmetric: bool, alpha: float) -> None:
    method = byol(alpha=alpha, symmetric=symmetric, non_semantic="patch", num_non_semantic=2)
    with torch.no_grad():
        for parameter in method.target.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    batch = made_batch()
    (found,) = method.training_step(batch)
    near, far = [], []
    pairs = [(batch.images, batch.views[:, 0]), (batch.views[:, 0], batch.images)]
    for online, target in pairs[: 1 + symmetric]:
        predictions = unit(method.predictor(method.projector(method.backbone(online))))
        near += [mean([2 - 2 * dot(p, z) for p, z in zip(predictions, unit(method.target(target)), strict=True)])]
        for images in batch.non_semantic.unbind(1):
            rows = zip(predictions, unit(method.target(images)), strict=True)
            far += [-alpha * mean([(p - z).square().sum() for p, z in rows]) / 2]
    expected = {"positive": sum(near)} | ({"non_semantic": sum(far)} if alpha else {})
    assert found.keys() == {*expected, "online_cross_entropy"}
    compare(method, batch, found, expected)

    fast = [*method.backbone.parameters(), *method.projector.parameters()]
    slow = [0.996 * z + 0.004 * f for z, f in zip(method.target.parameters(), fast, strict=True)]  # equation 1
    method.after_update()
    for one, other in zip(method.target.parameters(), slow, strict=True):
        torch.testing.assert_close(one.detach(), other.detach(), rtol=1e-6, atol=1e-9)


def test_byol_equals_lightly() -> None:
    method, batch = byol(), made_batch()
    (found,) = method.training_step(batch)
    theirs = NegativeCosineSimilarity()
    predictions = [method.predictor(method.projector(method.backbone(x))) for x in (batch.images, batch.views[:, 0])]
    targets = [method.target(x) for x in (batch.views[:, 0], batch.images)]
    expected = 4 + 2 * (theirs(predictions[0], targets[0]) + theirs(predictions[1], targets[1]))
    torch.testing.assert_close(found["positive"], expected, rtol=1e-12, atol=1e-12)


def byol(**options: Any) -> BYOL:
    torch.manual_seed(0)
    return BYOL(net(), hidden=12, dim=5, **FACTS, **options).double()


def unit(rows: Tensor) -> Tensor:
    return rows / rows.square().sum(dim=1, keepdim=True).sqrt()


# The memory banks.


def test_insdis_is_its_paper() -> None:
    torch.manual_seed(0)
    method = InsDis(net(), num_classes=CLASSES, num_samples=SAMPLES, num_negatives=30, dim=5, temperature=0.2).double()
    method.bank.embeddings.copy_(unit(method.bank.embeddings))
    bank = [row.clone() for row in method.bank.embeddings]
    for step in range(3):
        batch, state = made_batch(step), torch.get_rng_state()
        (found,) = method.training_step(batch)
        torch.set_rng_state(state)
        candidates = torch.randint(SAMPLES, (30,)).tolist()
        anchors = embed(method, batch.images)
        compare(method, batch, found, {"contrast": instances(anchors, bank, batch.indices.tolist(), candidates, 0.2)})
        remember(bank, anchors, batch.indices.tolist(), 0.5)
        torch.testing.assert_close(method.bank.embeddings, torch.stack(bank), rtol=1e-10, atol=1e-12)


def test_cmc_is_its_paper() -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {"num_samples": SAMPLES, "num_negatives": 30, "dim": 5, "temperature": 0.2}
    method = CMC(net(), net(), num_classes=CLASSES, bank_momentum=0.3, **options).double()
    banks = []
    for bank in (method.bank, method.colour_bank):
        bank.embeddings.copy_(unit(bank.embeddings))
        banks.append([row.clone() for row in bank.embeddings])
    for step in range(3):
        batch, state = made_batch(step), torch.get_rng_state()
        (found,) = method.training_step(batch)
        torch.set_rng_state(state)
        candidates, indices = torch.randint(SAMPLES, (30,)).tolist(), batch.indices.tolist()
        light, colour = luminance_and_colour(batch.images)
        by_light = list(unit(method.luminance_projector(method.backbone(light))))
        by_colour = list(unit(method.colour_projector(method.colour_backbone(colour))))
        expected = {
            "luminance": instances(by_light, banks[1], indices, candidates, 0.2),
            "colour": instances(by_colour, banks[0], indices, candidates, 0.2),
        }
        compare(method, batch, found, expected)
        for bank, anchors in zip(banks, (by_light, by_colour), strict=True):
            remember(bank, anchors, indices, 0.3)
        torch.testing.assert_close(method.bank.embeddings, torch.stack(banks[0]), rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(method.colour_bank.embeddings, torch.stack(banks[1]), rtol=1e-10, atol=1e-12)


def instances(
    anchors: list[Tensor], bank: list[Tensor], indices: list[int], candidates: list[int], temperature: float
) -> Tensor:
    losses = []
    for anchor, own in zip(anchors, indices, strict=True):
        negatives = [dot(anchor, bank[j]) for j in candidates if j != own]
        losses.append(nce(dot(anchor, bank[own]), negatives, [], {"temperature": temperature}))
    return mean(losses)


def remember(bank: list[Tensor], anchors: list[Tensor], indices: list[int], momentum: float) -> None:
    for anchor, own in zip(anchors, indices, strict=True):
        average = momentum * bank[own] + (1 - momentum) * anchor.detach()
        bank[own] = average / average.square().sum().sqrt()


def test_luminance_and_colour_are_those_of_secam() -> None:
    images = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    light, colour = luminance_and_colour(images)
    red, green, blue = images.unbind(1)
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    for channel in light.unbind(1):
        torch.testing.assert_close(channel, y, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(colour[:, 0], 1.505 * (blue - y), rtol=0, atol=2e-3)
    torch.testing.assert_close(colour[:, 1], -1.902 * (red - y), rtol=0, atol=2e-3)
    assert not colour[:, 2].any()


# Non-semantic negatives.

WITH_OPTION: dict[str, dict[str, Any]] = {
    "moco": {"capacity": 20, **FACTS},
    "simclr": {"num_classes": CLASSES},
    "byol": {"hidden": 12, **FACTS},
}


def sgd(name: str, norm: str = "batch", **options: Any) -> tuple[Method, list[dict[str, Tensor]]]:
    torch.manual_seed(0)
    method = METHODS[name](net(norm), **WITH_OPTION[name], **options)
    batches = [single(made_batch(step)) for step in range(3)]
    return method, list(train(method, batches, torch.optim.SGD(method.parameter_groups(0.1), lr=0.1)))


@pytest.mark.parametrize("name", WITH_OPTION)
def test_alpha_zero_is_the_plain_method_bit_for_bit(name: str) -> None:
    (plain, terms), (zero, same) = sgd(name), sgd(name, non_semantic="patch", alpha=0.0)
    assert "non_semantic" not in zero.needs
    assert terms[0].keys() == same[0].keys()
    for one, other in zip(terms, same, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)
    for key, tensor in plain.state_dict().items():
        assert torch.equal(tensor, zero.state_dict()[key]), key
    other, terms = sgd(name, non_semantic="patch", alpha=1.0)
    assert other.needs == {"views", "non_semantic"}
    assert not torch.equal(terms[-1]["loss"], same[-1]["loss"])


@pytest.mark.parametrize("name", ["moco", "simclr"])
def test_a_larger_alpha_weighs_a_similar_image_more(name: str) -> None:
    """And its limit is the distance to that image alone."""
    batch = made_batch()
    batch = replace(batch, views=batch.images[:, None], non_semantic=batch.images[:, None])
    found = []
    for alpha in (0.0, 0.5, 1.0, 2.0, 4.0, 60.0):
        torch.manual_seed(0)
        options = WITH_OPTION[name] | {"non_semantic": "patch", "alpha": alpha, "temperature": 0.2}
        (terms,) = METHODS[name](net(), **options).double().training_step(batch)
        found.append(float(terms["contrast"].detach()))
    assert found == sorted(set(found))
    assert found[-1] == pytest.approx((60 - 1) / 0.2, rel=1e-6)


def test_byol_s_term_is_proportional_to_alpha() -> None:
    terms = [next(byol(alpha=a, non_semantic="patch").training_step(made_batch()))["non_semantic"] for a in (0.1, 0.4)]
    torch.testing.assert_close(terms[1], 4 * terms[0], rtol=1e-12, atol=0)
    assert terms[0] < 0


@pytest.mark.parametrize("name", WITH_OPTION)
def test_evaluation_s_statistics_never_see_a_non_semantic_image(name: str) -> None:
    batch = single(made_batch())
    statistics = []
    for options in ({}, {"non_semantic": "texture", "alpha": 1.0}):
        torch.manual_seed(0)
        method = METHODS[name](net("batch"), **WITH_OPTION[name], **options)
        next(method.training_step(batch))
        statistics.append({k: v for k, v in method.backbone.state_dict().items() if "running" in k})
        assert {m.momentum for m in method.backbone.modules() if isinstance(m, nn.BatchNorm2d)} == {0.1}
    for key, tensor in statistics[0].items():
        assert torch.equal(tensor, statistics[1][key]), key
    assert any((tensor != 0).all() for tensor in statistics[0].values())


def test_gradients_of_moco_s_surrogates_stay_out_of_the_key_encoder() -> None:
    method, _ = sgd("moco", non_semantic="patch")
    assert all(parameter.grad is None for parameter in method.key.parameters())


def single(batch: Batch) -> Batch:
    tensors = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return Batch(**{k: t.float() if t is not None and t.is_floating_point() else t for k, t in tensors.items()})


# Without labels.


def test_a_head_rests_where_nothing_is_labelled() -> None:
    torch.manual_seed(0)
    method = MoCo(net(), capacity=20, num_classes=0, num_steps=10)
    batch = replace(single(made_batch()), targets=torch.full((SIZE,), -1))
    (terms,) = method.training_step(batch)
    terms["online_cross_entropy"].backward()
    assert float(terms["online_cross_entropy"].detach()) == 0
    assert method.head.weight.grad is not None
    assert not method.head.weight.grad.any()
    assert method(batch.images).shape == (SIZE, 1)


@pytest.mark.parametrize("name", ["byol", "cmc", "insdis", "moco", "simclr", "supcon"])
def test_a_flat_folder_can_be_trained_on(name: str) -> None:
    torch.manual_seed(0)
    more: dict[str, Any] = {"insdis": {"num_samples": SAMPLES}, "cmc": {"num_samples": SAMPLES}}.get(name, {})
    options = WITH_OPTION.get(name, {}) | more | {"num_classes": 0}
    method = METHODS[name](*[net() for _ in range(1 + (name == "cmc"))], **options)
    batches = [replace(single(made_batch(step)), targets=torch.full((SIZE,), -1)) for step in range(2)]
    before = [p.detach().clone() for p in method.backbone.parameters()]
    for terms in train(method, batches, torch.optim.SGD(method.parameter_groups(0.1), lr=0.1)):
        assert float(terms["online_cross_entropy"]) == 0
        assert math.isfinite(float(terms["loss"]))
    assert all(not torch.equal(a, b) for a, b in zip(before, method.backbone.parameters(), strict=True))


def test_a_head_learns_from_those_that_are_labelled_and_leaves_the_features_alone() -> None:
    torch.manual_seed(0)
    head, features = OnlineHead(4, 3).double(), torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    loss = head.loss(features, torch.tensor([2, -1, 0, -1, 1]))
    logits = head(features)
    rows = [-logits[i, t] + logits[i].exp().sum().log() for i, t in ((0, 2), (2, 0), (4, 1))]
    torch.testing.assert_close(loss, mean(rows), rtol=1e-12, atol=0)
    loss.backward()
    assert features.grad is None


# What makes no sense.


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("moco", {"alpha": -1.0}, "alpha must be a finite number from 0, not -1.0"),
        ("simclr", {"alpha": math.inf}, "alpha must be a finite number from 0, not inf"),
        ("byol", {"alpha": math.nan}, "alpha must be a finite number from 0, not nan"),
        ("simclr", {"num_non_semantic": 0}, "num_non_semantic must be at least 1, not 0"),
        ("moco", {"temperature": 0.0}, "temperature must be positive, not 0.0"),
        ("simclr", {"temperature": math.nan}, "temperature must be positive, not nan"),
        ("supcon", {"temperature": -1.0}, "temperature must be positive, not -1.0"),
        ("insdis", {"temperature": 0.0}, "temperature must be positive"),
        ("cmc", {"num_negatives": 0}, "num_negatives must be at least 1, not 0"),
        ("insdis", {"dim": 0}, "dim must be at least 1, not 0"),
        ("insdis", {"bank_momentum": 1.0}, "momentum must be at least 0 and below 1, not 1.0"),
        ("moco", {"capacity": 0}, "sizes of at least 1, not 0 x 128"),
        ("moco", {"hidden": 0}, "hidden must be at least 1, not 0"),
        ("moco", {"momentum": 1.5}, "momentum must be from 0 to 1, not 1.5"),
        ("byol", {"final_momentum": -0.1}, "final_momentum must be from 0 to 1, not -0.1"),
        ("byol", {"num_steps": 0}, "num_steps must be at least 1, not 0"),
        ("moco", {"batch_norm_splits": 0}, "batch_norm_splits must be at least 1, not 0"),
        ("moco", {"batch_norm_splits": 2}, "batch_norm_splits=2 needs BatchNorm2d, and SmallConvNet has none"),
        ("moco", {"num_mixed": 0, "num_query_mixed": 0}, "count synthetic negatives: not 0 and 0"),
        ("moco", {"num_mixed": -1}, "count synthetic negatives: not -1 and 128"),
        ("moco", {"num_hardest": 0}, "num_hardest must be at least 1, not 0"),
        ("moco", {"mixing_start": 2.0}, "mixing_start must be from 0 to 1, not 2.0"),
        ("simclr", {"prior": 1.0}, "prior must be a probability below 1, not 1.0"),
        ("simclr", {"concentration": -1.0}, "concentration must be a finite number from 0, not -1.0"),
        ("moco", {"epsilon": math.nan}, "epsilon must be a finite number from 0, not nan"),
    ],
)
def test_options_without_sense_are_refused_in_one_line(name: str, options: dict[str, Any], message: str) -> None:
    facts = {"supcon": {"num_classes": 3}, "simclr": {"num_classes": 3}, "moco": FACTS, "byol": FACTS}
    given = facts.get(name, {"num_classes": 3, "num_samples": SAMPLES}) | options
    with pytest.raises(ValueError, match=message) as refusal:
        METHODS[name](*[net() for _ in range(1 + (name == "cmc"))], **given)
    assert "\n" not in str(refusal.value)


def test_a_batch_without_equal_parts_is_refused() -> None:
    method = MoCo(net("batch"), capacity=9, batch_norm_splits=4, **FACTS).double()
    with pytest.raises(ValueError, match="batch_norm_splits=4 does not divide a batch of 6 images"):
        next(method.training_step(made_batch()))


@pytest.mark.parametrize("name", WITH_OPTION)
def test_a_loader_without_surrogates_is_told(name: str) -> None:
    method = METHODS[name](net(), **WITH_OPTION[name], non_semantic="patch")
    with pytest.raises(ValueError, match="needs batches with non_semantic"):
        next(method.training_step(replace(single(made_batch()), non_semantic=None)))
