"""Methods that know the bias or its kind: the contract, their papers written with loops, and two processes as one."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from made_batches import CLASSES, FACTS, made_batch, made_method, small_net
from torch import Tensor, nn
from torch.nn import functional
from two_processes import check_pair, in_pair, over_processes, part_of

from longcut.core import Batch, Method
from longcut.engine import train
from longcut.losses.entanglement import disentangling, entangling
from longcut.losses.hsic import hsic
from longcut.losses.projection import project_out
from longcut.methods import ERM
from longcut.methods.bias_labels import WITHOUT_LABELS, count_groups
from longcut.methods.co_occurrence import CoOccurrence
from longcut.methods.end import EnD
from longcut.methods.group_dro import GroupDRO
from longcut.methods.hex import HEX
from longcut.methods.jtt import JTT
from longcut.methods.lnl import LNL, sort_colours
from longcut.methods.rebias import ReBias
from longcut.methods.reweighting import Reweighting
from longcut.testing import check_method

KINDS: dict[str, type[Method]] = {
    "rebias": ReBias,
    "end": EnD,
    "hex": HEX,
    "lnl": LNL,
    "group_dro": GroupDRO,
    "jtt": JTT,
    "reweighting": Reweighting,
}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("rebias", "group", {}),
    ("rebias", "batch", {"sigma": "median", "weight": 0.5, "biased_weight": 2.0}),
    ("end", "batch", {}),
    ("end", "group", {"alpha": 1.0, "beta": 1.0, "authors_pairs": True}),
    ("end", "batch", {"authors_bottleneck": True}),
    ("hex", "batch", {}),
    ("hex", "group", {"levels": 4, "dim": 8, "ridge": 1e-2}),
    ("lnl", "batch", {}),
    ("lnl", "group", {"two_steps": True, "bins": 3}),
    ("group_dro", "batch", {}),
    ("group_dro", "group", {"adjustment": 2.0, "step_size": 0.1}),
    ("jtt", "batch", {}),
    ("jtt", "none", {"upweight": 3.0}),
    ("reweighting", "group", {}),
    ("reweighting", "batch", {"by": "class"}),
]
STEPS = 4
COUNTS = [[90, 5, 5], [5, 90, 5], [5, 5, 90]]


@pytest.mark.parametrize(("name", "norm", "options"), CASES, ids=lambda case: str(case))
def test_method_keeps_to_the_contract(name: str, norm: str, options: dict[str, Any]) -> None:
    check_method(lambda: made_method(KINDS[name], norm, options), made_batch(), num_classes=CLASSES, lr=1e-2)


# Without weight, each is ERM.


def trained(method: Method, batches: list[Batch], optimizer: str) -> Method:
    kinds = {"sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), "adam": lambda p: torch.optim.Adam(p, lr=1e-2)}
    list(train(method, batches, kinds[optimizer](method.parameters())))
    return method


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rebias", {"weight": 0.0}),
        ("end", {"alpha": 0.0, "beta": 0.0}),
        ("lnl", {"weight": 0.0, "entropy_weight": 0.0}),
        ("jtt", {"upweight": 1.0}),
        ("reweighting", {"group_counts": [[7] * CLASSES] * CLASSES}),
    ],
)
def test_without_weight_it_is_erm_bit_for_bit(name: str, options: dict[str, Any], optimizer: str) -> None:
    batches = [made_batch(seed=step) for step in range(STEPS)]
    torch.manual_seed(0)
    erm = ERM(small_net("batch"), num_classes=CLASSES)
    known = {key: value for key, value in FACTS.items() if key not in options}
    facts = {key: value for key, value in known.items() if key in KINDS[name].__init__.__annotations__}
    nets = [small_net("batch") for _ in range(2 if name == "rebias" else 1)]
    method = KINDS[name](*nets, **facts, **options)
    method.load_state_dict(erm.state_dict(), strict=False)
    trained(erm, batches, optimizer)
    trained(method, batches, optimizer)
    found = method.state_dict()
    for key, tensor in erm.state_dict().items():
        assert torch.equal(tensor, found[key]), key


# ReBias: two steps, each of its own network.


def song(one: Tensor, two: Tensor, sigma: float) -> Tensor:
    """HSIC with matrices, as Song writes it."""
    m = len(one)
    hollow = 1 - torch.eye(m, dtype=one.dtype)
    k, other = (torch.exp(-torch.cdist(x, x).square() / (2 * sigma**2)) * hollow for x in (one, two))
    ones = torch.ones(m, dtype=one.dtype)
    chain = ones @ k @ other @ ones
    sums = (ones @ k @ ones) * (ones @ other @ ones)
    return ((k @ other).trace() + sums / ((m - 1) * (m - 2)) - 2 * chain / (m - 2)) / (m * (m - 3))


def test_rebias_is_its_two_steps_written_out() -> None:
    """The biased network first, the other against what it has become; neither gives the other a gradient."""
    torch.manual_seed(0)
    method = ReBias(small_net(), small_net(), num_classes=CLASSES, weight=0.7, biased_weight=1.3, sigma=0.8).double()
    mine = copy.deepcopy(method)
    batches = [double(made_batch(7, seed=step)) for step in range(STEPS)]
    logs = list(train(method, batches, torch.optim.SGD(method.parameters(), lr=0.1)))
    for batch, found in zip(batches, logs, strict=True):
        f, g = mine.backbone(batch.images), mine.biased_backbone(batch.images)
        dependence = -1.3 * song(g, f.detach(), 0.8)
        loss = functional.cross_entropy(mine.biased_head(g), batch.targets)
        torch.testing.assert_close(found["biased_dependence"], dependence.detach(), rtol=1e-7, atol=1e-12)
        descend([mine.biased_backbone, mine.biased_head], loss + dependence)
        g = mine.biased_backbone(batch.images).detach()
        dependence, loss = 0.7 * song(f, g, 0.8), functional.cross_entropy(mine.head(f), batch.targets)
        torch.testing.assert_close(found["dependence"], dependence.detach(), rtol=1e-7, atol=1e-12)
        torch.testing.assert_close(found["cross_entropy"], loss.detach(), rtol=1e-7, atol=1e-12)
        descend([mine.backbone, mine.head], loss + dependence)
    for name, parameter in mine.named_parameters():
        torch.testing.assert_close(method.get_parameter(name), parameter, rtol=1e-6, atol=1e-9)


def descend(modules: list[nn.Module], loss: Tensor) -> None:
    parameters = [parameter for module in modules for parameter in module.parameters()]
    gradients = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter -= 0.1 * gradient


def double(batch: Batch) -> Batch:
    return replace(batch, images=batch.images.double())


def test_rebias_passes_each_batch_through_the_debiased_network_once() -> None:
    method = made_method(ReBias, "batch", {})
    trained(method, [made_batch()], "sgd")
    state = method.state_dict()
    assert state["backbone.layers.1.num_batches_tracked"] == 1
    assert state["biased_backbone.layers.1.num_batches_tracked"] == 2


@pytest.mark.parametrize("sigma", [0.0, -1.0, "mean"])
def test_rebias_refuses_a_width_that_is_none(sigma: Any) -> None:
    with pytest.raises(ValueError, match="sigma must be positive or 'median', not"):
        ReBias(small_net(), small_net(), num_classes=CLASSES, sigma=sigma)


def test_rebias_takes_each_networks_median() -> None:
    method = made_method(ReBias, "group", {"sigma": "median"})
    batch = made_batch()
    first = next(iter(method.training_step(batch)))
    with torch.no_grad():
        one, two = method.biased_backbone(batch.images), method.backbone(batch.images)
    widths = [float(torch.pdist(features).median()) for features in (one, two)]
    torch.testing.assert_close(first["biased_dependence"].detach(), -hsic(one, two, *widths))


# EnD.


def gradients_of(method: Method, batch: Batch) -> list[Tensor]:
    (terms,) = method.training_step(batch)
    shared = [p for name, p in method.named_parameters() if name.startswith(("backbone", "head"))]
    return list(torch.autograd.grad(torch.stack([*terms.values()]).sum(), shared))


@pytest.mark.parametrize("options", [{"beta": 0.0}, {"alpha": 0.0}, {"authors_pairs": True}], ids=str)
def test_the_gradient_of_end_is_not_that_of_erm(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    erm, batch = ERM(small_net(), num_classes=CLASSES), made_batch(24)
    end = made_method(EnD, "group", options)
    end.load_state_dict(erm.state_dict())
    one, other = gradients_of(erm, batch)[0], gradients_of(end, batch)[0]
    assert float((one - other).abs().max()) > 1e-3 * float(one.abs().max())


def test_the_terms_of_end_are_of_normalised_features() -> None:
    method, batch = made_method(EnD, "group", {"alpha": 2.0, "beta": 3.0}), made_batch(12)
    assert batch.bias is not None
    (terms,) = method.training_step(batch)
    units = functional.normalize(method.encode(batch.images), dim=1)
    expected = 2 * disentangling(units @ units.T, batch.bias)
    torch.testing.assert_close(terms["disentangling"], expected)
    expected = 3 * entangling(units @ units.T, batch.targets, batch.bias)
    torch.testing.assert_close(terms["entangling"], expected)


# HEX.


def test_hex_trains_on_what_is_orthogonal_and_predicts_without_the_texture() -> None:
    """One matrix on [h, g], [0, g] and [h, 0], as the paper writes it."""
    torch.manual_seed(0)
    method, batch = made_method(HEX, "group", {"ridge": 1e-3}), made_batch()
    assert isinstance(method, HEX)
    h, g = method.backbone(batch.images), method.texture(batch.images)
    matrix = torch.cat([method.head.weight, method.texture_head.weight], dim=1)
    every, bias, plain = (
        torch.cat(parts, dim=1) @ matrix.T for parts in ([h, g], [0 * h, g], [h, 0 * g])
    )  # F_A, F_G, F_P
    (terms,) = method.training_step(batch)
    expected = functional.cross_entropy(project_out(every, bias, 1e-3), batch.targets)
    torch.testing.assert_close(terms["projected_cross_entropy"], expected)
    torch.testing.assert_close(method(batch.images), plain)


def test_the_descriptor_of_texture_is_its_formula_written_with_loops() -> None:
    torch.manual_seed(0)
    texture = CoOccurrence(3, 5).double()
    with torch.no_grad():
        texture.thresholds += 0.3 * torch.randn(3)
        texture.neighbour_thresholds += 0.3 * torch.randn(3)
    images = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    for image, found in zip(images, texture(images), strict=True):
        grey = image.mean(0)
        levels = ((grey - grey.min()) / (grey.max() - grey.min()) * 3).tolist()
        pairs = [(row[x], row[x + 1]) for row in levels for x in range(4)]
        first, second = texture.thresholds.tolist(), texture.neighbour_thresholds.tolist()
        passed = [
            sum(min(max(p - a, 0), 1) * min(max(n - b, 0), 1) for p, n in pairs) / len(pairs)
            for a in first
            for b in second
        ]
        expected = functional.relu(texture.layer(torch.tensor(passed, dtype=torch.float64)))
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_a_plain_image_has_a_texture_too() -> None:
    images = torch.ones(2, 3, 8, 8)
    assert CoOccurrence(4, 6)(images).isfinite().all()


class NoMap(nn.Module):
    """What an MLP is to a method: features, and no map of them."""

    has_feature_map = False
    num_features = 4

    def forward_features(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :4]


@pytest.mark.parametrize("name", ["hex", "lnl"])
def test_a_network_without_a_map_of_features_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} reads a spatial map of features, and NoMap has none"):
        KINDS[name](NoMap(), num_classes=CLASSES)


def test_hex_refuses_what_is_no_ridge() -> None:
    with pytest.raises(ValueError, match="ridge must be positive, not 0"):
        HEX(small_net(), num_classes=CLASSES, ridge=0.0)


# LNL.


def test_colours_are_sorted_as_by_loops_and_black_is_left_out() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, 6, 8, generator=generator).clamp(min=-0.5)
    found = sort_colours(images, 3, 4, 5)
    assert (found == -1).any()
    for channel in range(3):
        low, high = float(images[:, channel].min()), float(images[:, channel].max())
        for sample in range(2):
            for y in range(3):
                for x in range(4):
                    value = float(images[sample, channel, 2 * y + 1, 2 * x + 1])  # the middle of 2 x 2
                    expected = -1 if value == low else min(int((value - low) / (high - low) * 5), 4)
                    assert found[sample, channel, y, x] == expected


def test_the_adversary_reads_colours_and_its_gradient_comes_back_reversed() -> None:
    torch.manual_seed(0)
    method, batch = made_method(LNL, "group", {"weight": 0.3, "entropy_weight": 0.0, "bins": 4}), made_batch()
    assert isinstance(method, LNL)
    (terms,) = method.training_step(batch)
    features = method.backbone.forward_features(batch.images)
    colours = sort_colours(batch.images, *features.shape[2:], 4)
    logits = method.bias_head(features)
    expected = torch.zeros(())
    for channel in range(3):
        own = logits[:, 4 * channel : 4 * channel + 4].movedim(1, -1).reshape(-1, 4)
        bins = colours[:, channel].flatten()
        expected = expected + functional.cross_entropy(own[bins >= 0], bins[bins >= 0])
    torch.testing.assert_close(terms["bias_cross_entropy"], expected)
    first = next(method.backbone.parameters())
    found = torch.autograd.grad(terms["bias_cross_entropy"], (first, method.bias_head.weight))
    plain = torch.autograd.grad(expected, (first, method.bias_head.weight))
    torch.testing.assert_close(found[0], -0.3 * plain[0])
    torch.testing.assert_close(found[1], plain[1])


def test_the_entropy_moves_the_features_and_not_the_adversary() -> None:
    torch.manual_seed(0)
    method, batch = made_method(LNL, "group", {"entropy_weight": 2.0, "two_steps": True}), made_batch()
    assert isinstance(method, LNL)
    first, second = method.training_step(batch)
    assert second.keys() == {"bias_cross_entropy"}
    logits = method.bias_head(method.backbone.forward_features(batch.images))
    shares = logits.unflatten(1, (3, 8)).softmax(dim=2)
    torch.testing.assert_close(first["negative_entropy"], 2 * (shares * shares.log()).sum(dim=2).mean())
    parameters = [next(method.backbone.parameters()), method.bias_head.weight]
    moved, still = torch.autograd.grad(first["negative_entropy"], parameters, allow_unused=True)
    assert moved.abs().max() > 0
    assert still is None


def test_a_certain_adversary_and_black_images_give_numbers() -> None:
    method = made_method(LNL, "group", {})
    assert isinstance(method, LNL)
    with torch.no_grad():
        method.bias_head.weight *= 1e6
    for batch in (made_batch(), replace(made_batch(), images=torch.zeros(8, 3, 16, 16))):
        (terms,) = method.training_step(batch)
        sum(terms.values()).backward()
        assert all(parameter.grad.isfinite().all() for parameter in method.parameters())
    assert terms["bias_cross_entropy"] == 0


# GroupDRO.


def test_group_dro_is_algorithm_1_written_with_loops() -> None:
    """Losses, gradients and group weights over several steps in float64; groups are often absent."""
    torch.manual_seed(0)
    counts = [[90, 5, 5], [5, 90, 5], [0, 5, 90]]
    options = {"group_counts": counts, "num_bias": 3, "step_size": 0.3, "adjustment": 1.5}
    method = GroupDRO(small_net(), num_classes=CLASSES, **options).double()
    weights = {(c, b): 1 / 8 for c in range(3) for b in range(3) if counts[c][b]}
    for step in range(STEPS):
        batch = double(made_batch(7, seed=step))
        assert batch.bias is not None
        (terms,) = method.training_step(batch)
        found = torch.autograd.grad(terms["robust_cross_entropy"], list(method.parameters()))
        members: dict[tuple[int, int], list[Tensor]] = {}
        logits = method(batch.images)
        for row, c, b in zip(logits, batch.targets.tolist(), batch.bias.tolist(), strict=True):
            members.setdefault((c, b), []).append(row.exp().sum().log() - row[c])
        means = {group: sum(losses) / len(losses) for group, losses in members.items()}
        for (c, b), mean in means.items():
            weights[c, b] *= (0.3 * (mean.detach() + 1.5 / counts[c][b] ** 0.5)).exp().item()
        total = sum(weights.values())
        weights = {group: weight / total for group, weight in weights.items()}
        expected = sum(weights[group] * mean for group, mean in means.items())
        torch.testing.assert_close(terms["robust_cross_entropy"], expected, rtol=1e-6, atol=1e-9)
        for one, other in zip(found, torch.autograd.grad(expected, list(method.parameters())), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-9)
        table = method.log_weights.exp().view(3, 3)
        assert all(table[group].item() == pytest.approx(weight, rel=1e-5) for group, weight in weights.items())
        assert table[2, 0] == 0
        with torch.no_grad():
            for parameter, gradient in zip(method.parameters(), found, strict=True):
                parameter -= 0.1 * gradient


def test_the_worst_group_gains_weight_and_absent_ones_keep_their_shares() -> None:
    method = made_method(GroupDRO, "group", {"step_size": 0.5})
    assert isinstance(method, GroupDRO)
    batch = replace(made_batch(), bias=torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]), targets=torch.zeros(8, dtype=torch.long))
    with torch.no_grad():
        losses = functional.cross_entropy(method(batch.images), batch.targets, reduction="none").view(2, 4).mean(1)
    for _ in range(3):
        next(iter(method.training_step(batch)))
    weights = method.log_weights.exp()
    worst, better = int(losses.argmax()), int(losses.argmin())
    assert weights[worst] > weights[better] > weights[2]
    torch.testing.assert_close(weights[2:], weights[2].expand(7))
    assert weights.sum().item() == pytest.approx(1)


def test_the_adjustment_favours_small_groups() -> None:
    method = made_method(GroupDRO, "none", {"adjustment": 5.0})
    assert isinstance(method, GroupDRO)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.zero_()  # so that all losses are equal
    bias = torch.tensor([0, 1] * 4)
    next(iter(method.training_step(replace(made_batch(), bias=bias, targets=torch.zeros(8, dtype=torch.long)))))
    assert method.log_weights[1] > method.log_weights[0]


# JTT and reweighting.


@pytest.mark.parametrize("share", ["none", "some", "all"])
def test_jtt_is_the_mean_of_repeated_errors(share: str) -> None:
    """As if each error were in the batch as often as its weight says."""
    torch.manual_seed(0)
    method, batch = made_method(JTT, "group", {"upweight": 4.0}), made_batch()
    assert batch.candidates is not None
    chosen = {"none": torch.zeros(8, dtype=torch.bool), "all": torch.ones(8, dtype=torch.bool)}
    batch = replace(batch, candidates=chosen.get(share, batch.candidates))
    (terms,) = method.training_step(batch)
    places = [i for i, wrong in enumerate(batch.candidates.tolist()) for _ in range(4 if wrong else 1)]
    expected = functional.cross_entropy(method(batch.images[places]), batch.targets[places])
    torch.testing.assert_close(terms["weighted_cross_entropy"], expected)


def test_jtt_refuses_a_weight_of_zero() -> None:
    with pytest.raises(ValueError, match="upweight must be positive, not 0"):
        JTT(small_net(), num_classes=CLASSES, upweight=0.0)


@pytest.mark.parametrize(("by", "num_bias"), [("group", 3), ("class", 3), ("class", 0)])
def test_reweighting_makes_groups_equal(by: str, num_bias: int) -> None:
    """Every group, or class, has the same sum of weights over the training set, and the mean of all weights is 1."""
    torch.manual_seed(0)
    counts, classes = [[60, 8, 2], [5, 30, 5], [0, 10, 80]], [75, 135, 90]  # of 100 images the bias is not known
    facts = {"num_classes": 3, "num_bias": num_bias, "class_counts": classes, "group_counts": counts}
    method = Reweighting(small_net(), by=by, **facts)  # type: ignore[arg-type]
    rows = counts if by == "group" else [[count] for count in classes]
    groups = [(c, b, count) for c, row in enumerate(rows) for b, count in enumerate(row) if count]
    total = sum(count for *_, count in groups)
    expected = {(c, b): total / len(groups) / count for c, b, count in groups}
    assert sum(expected[c, b] * count for c, b, count in groups) == pytest.approx(total)
    batch = made_batch()
    assert batch.bias is not None
    batch = replace(batch, bias=torch.where(batch.targets == 2, 2, batch.bias))
    (terms,) = method.training_step(batch if num_bias else replace(batch, bias=None))
    losses = functional.cross_entropy(method(batch.images), batch.targets, reduction="none")
    columns = batch.bias.tolist() if by == "group" else [0] * 8
    weights = torch.tensor([expected[c, b] for c, b in zip(batch.targets.tolist(), columns, strict=True)])
    torch.testing.assert_close(terms["weighted_cross_entropy"], (weights * losses).mean())


@pytest.mark.parametrize("name", ["group_dro", "reweighting"])
@pytest.mark.parametrize("unknown", [(2, 5), tuple(range(8))], ids=["some", "all"])
def test_images_of_no_known_bias_take_no_part(name: str, unknown: tuple[int, ...]) -> None:
    """Neither the loss nor what the method keeps changes with them; a step without any other leaves all as it is."""
    torch.manual_seed(0)
    one, batch = made_method(KINDS[name], "group", {}), made_batch()
    other = copy.deepcopy(one)
    assert batch.bias is not None
    known = [i for i in range(8) if i not in unknown]
    bias = torch.tensor([-1 if i in unknown else b for i, b in enumerate(batch.bias.tolist())])
    (terms,) = one.training_step(replace(batch, bias=bias))
    (found,) = terms.values()
    if known:
        rest = Batch(batch.images[known], batch.targets[known], batch.indices[known], bias=batch.bias[known])
        (expected,) = next(iter(other.training_step(rest))).values()
        # Reweighting's is the mean over all images of the batch.
        torch.testing.assert_close(found, expected * (len(known) / 8 if name == "reweighting" else 1))
    else:
        assert found == 0
    found.backward()
    assert all(parameter.grad.isfinite().all() for parameter in one.parameters())
    for key, tensor in other.state_dict().items():
        torch.testing.assert_close(one.state_dict()[key], tensor, msg=key)


def test_by_class_the_bias_may_be_unknown() -> None:
    method, batch = made_method(Reweighting, "group", {"by": "class"}), made_batch()
    assert batch.bias is not None
    (one,), (other,) = (
        method.training_step(replace(batch, bias=bias)) for bias in (batch.bias, torch.full_like(batch.bias, -1))
    )
    assert torch.equal(one["weighted_cross_entropy"], other["weighted_cross_entropy"])


# What is refused.


@pytest.mark.parametrize("name", ["end", "group_dro", "reweighting"])
def test_without_bias_labels_it_names_methods_that_need_none(name: str) -> None:
    facts = {"num_classes": CLASSES, "num_bias": 0}
    if name != "end":
        facts |= {"group_counts": [[1]] * CLASSES}  # type: ignore[dict-item]
    with pytest.raises(ValueError, match=r"needs bias labels, .* `bias` column, .* erm, gce, lff") as refusal:
        KINDS[name](small_net(), **facts)
    assert KINDS[name].__name__ in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_methods_that_are_named_need_no_bias_labels() -> None:
    without = {name for name, kind in KINDS.items() if "bias" not in made_method(kind, "group", {}).needs}
    assert without == set(KINDS) & set(WITHOUT_LABELS)


@pytest.mark.parametrize("counts", [[[1, 2]], [[1, 2, 3], [1, 2]], []], ids=str)
def test_counts_of_another_size_are_refused(counts: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="the counts must have 2 rows of 2, one for each class and bias: not"):
        count_groups(counts, 2, 2)


def test_counts_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="the counts count no sample"):
        count_groups([[0, 0]], 1, 2)


def test_reweighting_refuses_an_unknown_kind_of_group() -> None:
    with pytest.raises(ValueError, match="by must be 'class' or 'group', not 'colour'"):
        Reweighting(small_net(), num_classes=3, num_bias=3, group_counts=COUNTS, by="colour")  # type: ignore[arg-type]


# Two processes, each with half of the batch, take the steps of one.

PARALLEL: dict[str, tuple[str, dict[str, Any]]] = {
    "rebias": ("rebias", {}),
    "rebias_median": ("rebias", {"sigma": "median"}),
    "end": ("end", {"alpha": 1.0, "beta": 1.0}),
    "end_authors": ("end", {"authors_pairs": True, "authors_bottleneck": True}),
    "hex": ("hex", {}),
    "lnl": ("lnl", {"weight": 1.0, "entropy_weight": 1.0}),
    "lnl_two_steps": ("lnl", {"two_steps": True}),
    "group_dro": ("group_dro", {"step_size": 0.5}),
    "jtt": ("jtt", {}),
    "reweighting": ("reweighting", {}),
}


def run(case: str) -> dict[str, Any]:
    """This process's share of a few steps: the state afterwards, and the losses as means over the processes."""
    name, options = PARALLEL[case]
    torch.manual_seed(0)
    method = made_method(KINDS[name], "group", options)
    mine = [part_of(made_batch(8, seed=step)) for step in range(STEPS)]
    optimizer = torch.optim.SGD(method.parameter_groups(0.05), lr=0.05, momentum=0.9)
    losses = torch.stack([terms["loss"] for terms in train(method, mine, optimizer)])
    return {"losses": over_processes(losses), "state": method.state_dict()}


def parallel() -> dict[str, Any]:
    return {case: run(case) for case in PARALLEL}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return in_pair(parallel, tmp_path_factory.mktemp("pair"))


@pytest.mark.parametrize("case", PARALLEL)
def test_two_processes_equal_one(case: str, pair: list[dict[str, Any]]) -> None:
    check_pair(case, pair, run(case), tolerance=1e-4)
