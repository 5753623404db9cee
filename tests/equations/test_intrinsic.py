"""Intrinsic feature enhancement against its equations and Algorithm 1, written one sample at a time in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from longcut.attribution import class_activation
from longcut.core import Batch
from longcut.methods.guidance import (
    Guidance,
    common_feature_score,
    compare,
    intrinsic_weight,
    relative_exploitation,
)
from longcut.methods.intrinsic import Intrinsic

SAMPLES, CLASSES, SIZE, DIM = 12, 3, 8, 4
B, D, Y, X = 12, 5, 2, 3
TERMS = (
    "biased_cross_entropy",
    "weighted_cross_entropy",
    "similarity",
    "guided_cross_entropy",
    "partner_cross_entropy",
)


# Equations 4 to 6.


def made_maps(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z, noise = (torch.randn(B, D, Y, X, generator=generator, dtype=torch.float64).relu() for _ in range(2))
    partner = z.roll((1, 2), (2, 3)) + 0.4 * noise  # the partner has something in common, at other places
    return z, partner, torch.randn(3, D, generator=generator, dtype=torch.float64), torch.arange(B) % 3


def see(z: Tensor, partner: Tensor, weight: Tensor, targets: Tensor, tau: float = 1.0) -> Guidance:
    """The guidance of pairs, where a linear head reads the mean over the map."""
    own, others = (class_activation(each, weight, targets) for each in (z, partner))
    return compare(z, partner, own, others, tau)


def places(z: Tensor) -> list[list[list[float]]]:
    """The feature of each place of each map."""
    return z.flatten(2).transpose(1, 2).tolist()


def dot(first: list[float], second: list[float]) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True))


def common_by_loops(z: list[list[float]], partner: list[list[float]]) -> tuple[list[float], list[int]]:
    products = [[dot(p, n) for p in partner] for n in z]
    top = max(max(row) for row in products)
    return [max(row) / top if top > 0 else 0.0 for row in products], [row.index(max(row)) for row in products]


def relative_by_loops(own: list[float], partner: list[float], matches: list[int], tau: float) -> list[float]:
    values = []
    for e, i in zip(own, matches, strict=True):
        total = partner[i] + e
        values.append((2 * partner[i] / total) ** tau if total > 0 else 1.0)
    return values


def exploitation_by_loops(z: list[list[float]], weight: list[float]) -> list[float]:
    evidence = [max(0.0, dot(weight, n)) for n in z]
    return [e / max(evidence) if max(evidence) > 0 else 0.0 for e in evidence]


@pytest.mark.parametrize("tau", [0.5, 1.0, 3.0])
def test_guidance_is_equations_4_to_6(tau: float) -> None:
    z, partner, weight, targets = made_maps()
    found = see(z, partner, weight, targets, tau)
    enhanced = 0
    for b, (own, other) in enumerate(zip(places(z), places(partner), strict=True)):
        head = weight[targets[b]].tolist()
        common, matches = common_by_loops(own, other)
        e, e_partner = exploitation_by_loops(own, head), exploitation_by_loops(other, head)
        relative = relative_by_loops(e, e_partner, matches, tau)
        expected = [max(c * r, 1.0) for c, r in zip(common, relative, strict=True)]
        enhanced += sum(value > 1 for value in expected)
        for name, values in {
            "exploitation": e,
            "partner_exploitation": e_partner,
            "common": common,
            "relative": relative,
            "weight": expected,
        }.items():
            assert getattr(found, name)[b].flatten().tolist() == pytest.approx(values, rel=1e-12), name
    assert enhanced > 1
    assert all(map.shape == (B, Y, X) for map in found)


def test_matches_are_the_most_similar_places() -> None:
    z, partner, *_ = made_maps(1)
    _, matches = common_feature_score(z, partner)
    for b in range(B):
        products = [[dot(p, n) for p in places(partner)[b]] for n in places(z)[b]]
        for n, match in enumerate(matches[b].tolist()):
            assert products[n][match] == pytest.approx(max(products[n]), rel=1e-12)


def test_scores_are_within_their_bounds() -> None:
    for seed in range(20):
        z, partner, weight, targets = made_maps(seed)
        found = see(z - 0.3, partner - 0.3, weight, targets, tau=2.0)  # also without a ReLU before the map
        assert found.common.max() <= 1
        assert found.relative.min() >= 0
        assert found.relative.max() <= 4
        assert found.weight.min() >= 1


def test_nothing_divides_zero_by_zero() -> None:
    z, partner, weight, targets = made_maps()
    z[0], partner[1] = 0, 0
    weight[2] = -1  # no evidence for class 2 on either side
    found = see(z, partner, weight, targets)
    assert all(map.isfinite().all() for map in found)
    assert (found.common[:2] == 0).all()
    assert (found.weight[:2] == 1).all()
    assert (found.relative[2] == 1).all()
    assert (found.weight[2] == 1).all()
    both = torch.tensor([[0.0, 0.0, 0.5]]), torch.tensor([[0.0, 0.5, 0.0]])
    assert relative_exploitation(*both).tolist() == [[1.0, 2.0, 0.0]]


def test_a_partner_of_opposite_features_has_nothing_in_common() -> None:
    z, *_ = made_maps()
    common, _ = common_feature_score(z, -z)
    assert (common == 0).all()


def test_guidance_is_a_constant() -> None:
    z, partner, weight, targets = made_maps()
    leaves = [each.requires_grad_() for each in (z, partner, weight)]
    assert not any(map.requires_grad for map in see(*leaves, targets))  # type: ignore[arg-type]
    assert intrinsic_weight(torch.tensor([0.5, 1.0, 1.0]), torch.tensor([1.9, 1.5, 0.2])).tolist() == [1.0, 1.5, 1.0]


# Algorithm 1.


class Tiny(nn.Module):
    """One convolution and a ReLU, pooled by the mean, or by what `after` makes of it."""

    num_features = DIM

    def __init__(self, after: nn.Module | None = None) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, DIM, 4, 4)
        self.after = nn.Identity() if after is None else after

    def forward_features(self, images: Tensor) -> Tensor:
        return self.layer(images).relu()

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        return self.after(features.mean((2, 3)))

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(images))


def images_of(indices: Tensor, step: int) -> Tensor:
    """A sample's image: the pattern of its class, or of the next where it is conflicting, and noise."""
    made = []
    for index in indices.tolist():
        generator = torch.Generator().manual_seed(100 * step + index)
        kind = (index + (index in (7, 8, 10))) % CLASSES
        pattern = torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(10_000 + kind))
        made.append(pattern + torch.randn(3, SIZE, SIZE, generator=generator))
    return torch.stack(made).double()


def made_batch(step: int, *, candidates: bool = True) -> Batch:
    """Two thirds of the samples. Of class 0 none is a candidate; 11 is one, and not conflicting."""
    indices = (torch.arange(8) + 4 * (step % 2)) % SAMPLES
    candidate = (indices >= 6) & (indices % CLASSES != 0)
    return Batch(
        images=images_of(indices, 1000 + step),
        targets=indices % CLASSES,
        indices=indices,
        amplified=~candidate,
        candidates=candidate & candidates,
    )


OPTIONS: dict[str, Any] = {"reference_step": 1, "guidance_step": 3, "loss_rate": 0.4, "score_rate": 0.8}


def made_method(after: Callable[[], nn.Module | None] = lambda: None, **options: Any) -> Intrinsic:
    torch.manual_seed(0)
    facts = {"num_classes": CLASSES, "num_samples": SAMPLES, "num_steps": 9}
    method = Intrinsic(Tiny(after()), Tiny(), **facts, **OPTIONS | options).double()
    method.fetch = images_of
    return method


class Loop:
    """Algorithm 1, one sample after the other, on copies of the networks; plain gradient descent."""

    def __init__(self, method: Intrinsic, options: dict[str, Any]) -> None:
        names = ("backbone", "head", "biased_backbone", "biased_head")
        self.nets = nn.ModuleDict({name: copy.deepcopy(getattr(method, name)) for name in names})
        self.backbone = self.nets["backbone"]
        self.options = {
            "momentum": 0.7,
            "tau": 1.0,
            "similarity_weight": 0.1,
            "score_limit": 0.0,
            "partners": "negatives",
            "weigh_by_score": True,
            "guide": True,
            "enhance": True,
            "partner_loss": True,
        }
        self.options |= OPTIONS | options
        self.loss: dict[int, float] = {}
        self.reference: dict[int, float] = {}
        self.score: dict[int, float] = {}
        self.candidate: dict[int, bool] = {}
        self.tables: tuple[dict[int, float], dict[int, float]] = ({}, {})
        self.enhanced = self.without_partner = 0

    def members(self, target: int) -> list[int]:
        seen = [i for i in self.loss if i % CLASSES == target]
        if self.options["partners"] == "all":
            return seen
        seen = [i for i in seen if self.candidate[i]]
        return seen if self.options["partners"] == "candidates" else [i for i in seen if self.score.get(i, 0) > 0]

    def weights(self, batch: Batch, biased: list[Tensor], debiased: list[Tensor]) -> list[float]:
        """LfF's relative difficulty."""
        m = self.options["momentum"]
        for table, losses in zip(self.tables, (biased, debiased), strict=True):
            for i, loss in zip(batch.indices.tolist(), losses, strict=True):
                table[i] = m * table[i] + (1 - m) * loss.item() if i in table else loss.item()
        weights = []
        for i in batch.indices.tolist():
            b, d = (t[i] / max(v for j, v in t.items() if j % CLASSES == i % CLASSES) for t in self.tables)
            weights.append(b / (b + d + 1e-8))
        return weights

    def step(self, batch: Batch, t: int, drawn: list[int]) -> dict[str, Tensor]:
        assert batch.amplified is not None
        assert batch.candidates is not None
        o, rows = self.options, range(len(batch))
        targets = batch.targets.tolist()
        biased = [self.cross_entropy(self.biased_logits(batch.images[k : k + 1])[0], targets[k]) for k in rows]
        for k, i in enumerate(batch.indices.tolist()):
            new, rate = biased[k].item(), o["loss_rate"]
            self.loss[i] = rate * new + (1 - rate) * self.loss[i] if i in self.loss else new  # eq. 1
            self.candidate[i] = bool(batch.candidates[k])
            if t >= o["reference_step"]:
                self.reference.setdefault(i, self.loss[i])
                rise, rate = self.loss[i] - self.reference[i], o["score_rate"]
                self.score[i] = rate * rise + (1 - rate) * self.score.get(i, 0.0)  # eq. 2
        members = [k for k in rows if batch.amplified[k]]
        zero = torch.zeros((), dtype=torch.float64)
        terms = dict.fromkeys(TERMS, zero)
        terms["biased_cross_entropy"] = sum((biased[k] for k in members), zero) / max(1, len(members))

        maps = [self.backbone.forward_features(batch.images[k : k + 1])[0] for k in rows]
        debiased = [self.cross_entropy(self.logits(maps[k]), targets[k]) for k in rows]
        weights = self.weights(batch, biased, debiased)
        main = sum((weights[k] * debiased[k] for k in rows), zero) / len(batch)
        if t < o["guidance_step"]:
            return terms | {"weighted_cross_entropy": main}  # eq. 8
        terms["weighted_cross_entropy"] = main * (t - o["guidance_step"]) / (9 - 1 - o["guidance_step"])
        for k in rows:
            eligible = self.members(targets[k])
            if not eligible:
                self.without_partner += 1
                terms["guided_cross_entropy"] = terms["guided_cross_entropy"] + weights[k] * debiased[k]
                continue
            assert drawn[k] in eligible
            limit = o["score_limit"] or float("inf")
            score = min(max(self.score.get(drawn[k], 0.0), 0.0), limit) if o["weigh_by_score"] else 1.0
            partner = self.backbone.forward_features(images_of(torch.tensor([drawn[k]]), t))[0]
            guided = self.guided(maps[k], partner, targets[k])  # eq. 7
            gap = (self.pooled(maps[k]) - self.pooled(guided).detach()).abs().mean()
            guided_loss = self.cross_entropy(self.logits(guided), targets[k])
            partner_loss = self.cross_entropy(self.logits(partner), targets[k])
            terms["similarity"] = terms["similarity"] + o["similarity_weight"] * score * gap  # eq. 9, 11
            terms["guided_cross_entropy"] = terms["guided_cross_entropy"] + weights[k] * guided_loss  # eq. 10
            terms["partner_cross_entropy"] = terms["partner_cross_entropy"] + score * partner_loss  # eq. 12
        for name, wanted in (
            ("similarity", o["guide"]),
            ("guided_cross_entropy", o["guide"]),
            ("partner_cross_entropy", o["partner_loss"]),
        ):
            terms[name] = terms[name] / len(batch) if wanted else zero
        return terms

    def cross_entropy(self, logits: Tensor, target: int) -> Tensor:
        return logits.exp().sum().log() - logits[target]

    def pooled(self, z: Tensor) -> Tensor:
        return self.backbone.after(sum(z[:, y, x] for y in range(z.shape[1]) for x in range(z.shape[2]))[None] / 4)[0]

    def logits(self, z: Tensor) -> Tensor:
        return self.nets["head"](self.pooled(z)[None])[0]

    def biased_logits(self, images: Tensor) -> Tensor:
        return self.nets["biased_head"](self.nets["biased_backbone"](images))

    def exploitation(self, z: Tensor, target: int) -> list[float]:
        """Grad-CAM by its definition: gradients of the logit, averaged over the places."""
        leaf = z.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.logits(leaf)[target], leaf)
        return exploitation_by_loops(places(z[None].detach())[0], gradient.mean((1, 2)).tolist())

    def guided(self, z: Tensor, partner: Tensor, target: int) -> Tensor:
        if not self.options["enhance"]:
            return z
        common, matches = common_by_loops(places(z[None].detach())[0], places(partner[None].detach())[0])
        own, other = self.exploitation(z, target), self.exploitation(partner, target)
        relative = relative_by_loops(own, other, matches, self.options["tau"])
        weights = [max(c * r, 1.0) for c, r in zip(common, relative, strict=True)]
        self.enhanced += sum(w > 1 for w in weights)
        return z * torch.tensor(weights, dtype=torch.float64).reshape(1, *z.shape[1:])


CASES: list[dict[str, Any]] = [
    {},
    {"tau": 2.5, "similarity_weight": 3.0, "score_limit": 1.0, "momentum": 0.2},
    {"score_limit": 0.01, "joint_forward": False},
    {"partners": "candidates", "weigh_by_score": False},
    {"partners": "all", "tau": 3.0},
    {"guide": False},
    {"partner_loss": False},
    {"enhance": False},
    {"after": lambda: nn.Sequential(nn.Linear(DIM, 7), nn.Tanh(), nn.Linear(7, DIM)), "weigh_by_score": False},
]


def gradients_of(module: nn.Module, terms: dict[str, Tensor]) -> dict[str, Tensor]:
    parameters = dict(module.named_parameters())
    total = torch.stack([*terms.values()]).sum()
    found = torch.autograd.grad(total, [*parameters.values()], allow_unused=True, materialize_grads=True)
    return dict(zip(parameters, found, strict=True))


@torch.no_grad()
def descend(module: nn.Module, gradients: dict[str, Tensor], rate: float = 0.5) -> None:
    for name, parameter in module.named_parameters():
        parameter -= rate * gradients[name]


@pytest.mark.parametrize("options", CASES, ids=lambda options: "-".join(options) or "defaults")
def test_steps_are_algorithm_1(options: dict[str, Any]) -> None:
    """Terms, gradients and the state of each sample, over nine steps of which six are guided."""
    method = made_method(**options)
    loop = Loop(method, {name: value for name, value in options.items() if name not in ("after", "joint_forward")})
    drawn: list[int] = []

    def fetch(indices: Tensor, step: int) -> Tensor:
        assert step == t
        drawn[:] = indices.tolist()
        return images_of(indices, step)

    method.fetch = fetch
    for t in range(9):
        (terms,) = method.training_step(made_batch(t))
        expected = loop.step(made_batch(t), t, drawn)
        assert [*terms] == [*TERMS]
        for name, term in terms.items():
            assert term.item() == pytest.approx(expected[name].item(), rel=1e-9, abs=1e-12), f"{name} of step {t}"
            assert term.requires_grad, name
        gradients = gradients_of(method, terms)
        for name, gradient in gradients_of(loop.nets, expected).items():
            torch.testing.assert_close(gradients[name], gradient, rtol=1e-8, atol=1e-11, msg=f"{name} of step {t}")
        for module in (method, loop.nets):
            descend(module, gradients)
    state = method.sample_state()
    for name, values in {
        "score": loop.score,
        "loss": loop.loss,
        "reference": loop.reference,
        "candidate": loop.candidate,
    }.items():
        assert state[name].tolist() == pytest.approx([float(values[i]) for i in range(SAMPLES)], rel=1e-9), name
    assert loop.enhanced > 5 or not options.get("enhance", True)
    assert (loop.without_partner > 5) == (options.get("partners") != "all")


# What the terms do.


def guided_method(**options: Any) -> Intrinsic:
    """At the first step with guidance, with scores."""
    method = made_method(**options)
    for t in range(3):
        (terms,) = method.training_step(made_batch(t))
        descend(method, gradients_of(method, terms))
    return method


def test_similarity_makes_enhanced_features_grow() -> None:
    """Its gradient is -1 / (places x features) on each active feature, and never positive."""
    method = guided_method(guidance_step=3, partners="all", weigh_by_score=False, similarity_weight=1.0, tau=3.0)
    maps: list[Tensor] = []
    forward = method.backbone.forward_features

    def kept(images: Tensor) -> Tensor:
        maps.append(forward(images))
        return maps[-1]

    method.backbone.forward_features = kept  # type: ignore[method-assign, assignment]
    batch = made_batch(3)
    (terms,) = method.training_step(batch)
    (gradient,) = torch.autograd.grad(terms["similarity"], maps)
    own, partners = gradient.chunk(2)
    assert (partners == 0).all()
    assert (own <= 0).all()
    places, b = maps[0][0].numel(), len(batch)
    assert set((own * places * b).round(decimals=9).unique().tolist()) == {-1.0, 0.0}
    grown = maps[0].chunk(2)[0] - own
    assert grown.mean() > maps[0].chunk(2)[0].mean()


def test_ie_of_one_turns_the_guidance_off() -> None:
    """No similarity, and the guided cross-entropy is the plain one."""
    method = guided_method(enhance=False)
    (terms,) = method.training_step(made_batch(3))
    assert terms["similarity"] == 0
    plain = guided_method(guide=False, partner_loss=False, guidance_step=100)
    (expected,) = plain.training_step(made_batch(3))
    torch.testing.assert_close(terms["guided_cross_entropy"], expected["weighted_cross_entropy"])
    gradients = gradients_of(method, {"similarity": terms["similarity"]})
    assert all((gradient == 0).all() for gradient in gradients.values())


def test_explanations_are_of_one_image_and_leave_the_head_alone() -> None:
    """Neither BatchNorm's statistics of a batch nor dropout are in E, and to look at maps is no pass of training."""
    method = guided_method(after=lambda: nn.Sequential(nn.BatchNorm1d(DIM), nn.Dropout(0.5)), partners="all")
    maps = method.backbone.forward_features(images_of(torch.arange(4), 0))
    targets, state = torch.arange(4) % CLASSES, copy.deepcopy(method.backbone.state_dict())
    method.backbone.after[1].eval()  # as a part that is kept out of training: it stays so
    modes = [module.training for module in method.modules()]
    torch.manual_seed(0)
    found, drawn = method._exploitation(maps, targets), torch.get_rng_state()
    alone = torch.cat([method._exploitation(maps[k : k + 1], targets[k : k + 1]) for k in range(4)])
    torch.testing.assert_close(found, alone)
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert [module.training for module in method.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in method.backbone.state_dict().items())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_what_is_not_enhanced_has_no_similarity(layout: torch.memory_format) -> None:
    """Not even by rounding: the gradient of an absolute value does not know small from large."""
    method = guided_method(partners="all", weigh_by_score=False, joint_forward=False).float()
    method.fetch = lambda indices, step: images_of(indices, step).float()
    batch = made_batch(3)
    batch = replace(batch, images=batch.images.float().to(memory_format=layout))
    method._enhancement = lambda features, *_: torch.ones_like(features[:, 0])  # type: ignore[method-assign]
    (terms,) = method.training_step(batch)
    assert terms["similarity"] == 0
    gradients = gradients_of(method, {"similarity": terms["similarity"]})
    assert all((gradient == 0).all() for gradient in gradients.values())


def test_a_run_without_a_candidate_keeps_to_cross_entropy() -> None:
    method = made_method()
    for t in range(6):
        (terms,) = method.training_step(made_batch(t, candidates=False))
        assert all(term.isfinite() for term in terms.values())
        if t >= 3:
            assert terms["similarity"] == terms["partner_cross_entropy"] == 0
            assert terms["guided_cross_entropy"] > 0
        gradients = gradients_of(method, terms)
        assert all(gradient.isfinite().all() for gradient in gradients.values())
        descend(method, gradients)


def test_a_batch_without_an_amplified_sample_is_no_fault() -> None:
    method = guided_method()
    batch = made_batch(3)
    (terms,) = method.training_step(replace(batch, amplified=torch.zeros_like(batch.amplified)))  # type: ignore[arg-type]
    assert terms["biased_cross_entropy"] == 0
    gradients = gradients_of(method, terms)
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert all((gradients[name] == 0).all() for name in gradients if name.startswith("biased"))


def test_the_main_loss_rests_at_the_start_of_the_guidance_and_is_whole_at_the_end() -> None:
    method = made_method()
    assert [round(method._main_weight(step), 9) for step in range(3, 10)] == [0, 0.2, 0.4, 0.6, 0.8, 1, 1]
    assert made_method(guidance_step=8)._main_weight(8) == 0


def test_remarks_tell_of_phases_that_do_not_come() -> None:
    assert made_method().remarks() == ()
    assert made_method(guidance_step=8).remarks() == ()
    (line,) = made_method(guidance_step=9).remarks()
    assert line == "guidance_step 9 lies beyond the run's 9 steps: no guidance will happen"
    both = made_method(reference_step=1000, guidance_step=10_000).remarks()
    assert both[0] == "reference_step 1000 lies beyond the run's 9 steps: no sample will have a score"
    assert len(both) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"reference_step": 4}, "reference_step=4 must be from 0 to guidance_step=3"),
        ({"reference_step": -1}, "reference_step=-1 must be"),
        ({"tau": -1.0}, "tau must be 0 or more, not -1.0"),
        ({"similarity_weight": float("inf")}, "similarity_weight must be 0 or more, not inf"),
        ({"score_limit": -0.5}, "score_limit must be 0 or more"),
        ({"score_rate": 0.0}, "score_rate must be above 0"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1"),
        ({"partners": "candidate"}, "partners must be one of negatives, candidates, all, not 'candidate'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made_method(**options)


def test_a_network_without_a_map_is_refused() -> None:
    network = nn.Linear(3, 3)
    network.num_features = 3  # type: ignore[assignment]
    with pytest.raises(ValueError, match="intrinsic reads a spatial map of features, and Linear has none"):
        Intrinsic(network, Tiny(), num_classes=2, num_samples=2, num_steps=2)


def test_partners_cannot_come_from_nowhere() -> None:
    method = guided_method()
    method.fetch = None
    with pytest.raises(ValueError, match="set its fetch"):
        next(method.training_step(made_batch(3)))


def test_a_full_score_is_the_paper_s() -> None:
    """Scores weigh as they are where there is no limit."""
    losses = {}
    for limit in (0.0, 0.02, 1e6):
        method = guided_method(score_limit=limit)
        torch.manual_seed(1)
        (terms,) = method.training_step(made_batch(3))
        losses[limit] = terms["partner_cross_entropy"].item()
    assert losses[0.0] == losses[1e6]
    assert losses[0.02] < losses[0.0]


# Scores tell samples apart.


def planted(samples: int = 200, share: float = 0.05) -> tuple[Tensor, Tensor, Tensor]:
    """Images whose colour predicts the class for 95 %, while a faint pattern always does."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(samples) % 2
    conflicting = torch.rand(samples, generator=generator) < share
    colour = torch.where(conflicting, 1 - targets, targets).float() * 2 - 1
    images = 0.6 * torch.randn(samples, 3, SIZE, SIZE, generator=generator)
    images[:, 0] += colour[:, None, None]
    stripes = torch.arange(SIZE) % 2 * 2.0 - 1
    images[:, 1] += 0.4 * (targets.float() * 2 - 1)[:, None, None] * stripes
    return images, targets, conflicting


def test_scores_separate_planted_conflicting_from_aligned() -> None:
    images, targets, conflicting = planted()
    torch.manual_seed(0)
    facts = {"num_classes": 2, "num_samples": len(images), "num_steps": 300}
    method = Intrinsic(Tiny(), Tiny(), **facts, reference_step=20, guidance_step=10_000)
    for _ in range(200):
        rows = torch.randperm(len(images))[:32]
        batch = Batch(
            images=images[rows],
            targets=targets[rows],
            indices=rows,
            amplified=~conflicting[rows] & (rows % 5 > 0),
            candidates=torch.ones(32, dtype=torch.bool),
        )
        (terms,) = method.training_step(batch)
        descend(method, gradients_of(method, terms), rate=0.2)
    score = method.sample_state()["score"]
    wins = (score[conflicting][:, None] > score[~conflicting]).float().mean()
    assert wins > 0.9, f"AUROC {wins:.3f}"
    members = method.negatives.members()
    assert members[conflicting].float().mean() > 0.8
    assert members[~conflicting].float().mean() < 0.2
