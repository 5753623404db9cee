"""Weighted, moved and mixed negatives against their formulas, written with plain loops, and in their limits."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from longcut.losses import (
    contrast,
    contrast_with,
    debiased_mass,
    hard_mass,
    log_mass,
    mix_hard_negatives,
    modified_contrast,
)

SETTINGS = [(0.5, 0.1, 1.0), (0.2, 0.1, 0.5), (0.2, 0.7, 2.0), (1.0, 0.0, 6.0)]
"""Temperature, prior, concentration. With the second to last prior some anchors reach the floor."""


def similarities(b: int = 6, k: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    positive = torch.rand(b, generator=generator, dtype=torch.float64) * 2 - 1
    negatives = torch.rand(b, k, generator=generator, dtype=torch.float64) * 2 - 1
    return positive, negatives, torch.rand(b, k, generator=generator) < 0.6


def kept(negatives: Tensor, mask: Tensor) -> list[list[float]]:
    return [[s for s, m in zip(*row, strict=True) if m] for row in zip(negatives.tolist(), mask.tolist(), strict=True)]


def estimate(positive: float, total: float, count: int, temperature: float, prior: float) -> float:
    own = math.exp(positive / temperature)
    floor = count * math.exp(-1 / temperature)
    return math.log(max((total - count * prior * own) / (1 - prior), floor))


def debiased_by_loop(positive: float, negatives: list[float], temperature: float, prior: float) -> float:
    total = sum(math.exp(s / temperature) for s in negatives)
    return estimate(positive, total, len(negatives), temperature, prior)


def hard_by_loop(positive: float, negatives: list[float], temperature: float, prior: float, beta: float) -> float:
    terms = [math.exp(s / temperature) for s in negatives]
    weights = [term**beta for term in terms]
    mean = sum(weights) / len(weights)
    total = sum(w * term for w, term in zip(weights, terms, strict=True)) / mean
    return estimate(positive, total, len(negatives), temperature, prior)


@pytest.mark.parametrize(("temperature", "prior", "concentration"), SETTINGS)
def test_masses_are_their_formulas(temperature: float, prior: float, concentration: float) -> None:
    positive, negatives, mask = similarities()
    pairs = list(zip(positive.tolist(), kept(negatives, mask), strict=True))
    found = debiased_mass(positive, negatives, mask, temperature=temperature, prior=prior)
    expected = [debiased_by_loop(p, n, temperature, prior) for p, n in pairs]
    assert found.tolist() == pytest.approx(expected, rel=1e-10)
    found = hard_mass(positive, negatives, mask, temperature=temperature, prior=prior, concentration=concentration)
    expected = [hard_by_loop(p, n, temperature, prior, concentration) for p, n in pairs]
    assert found.tolist() == pytest.approx(expected, rel=1e-10)


def test_some_anchors_reach_the_floor_and_some_do_not() -> None:
    positive, negatives, mask = similarities()
    found = debiased_mass(positive, negatives, mask, temperature=0.2, prior=0.7)
    floor = mask.sum(dim=1).double().log() - 5
    assert 0 < (found == floor).sum() < len(found)
    nearly_all = (log_mass(negatives, mask, temperature=0.2) - mask.sum(dim=1).log() - math.log(0.7)) * 0.2 - 1e-9
    assert torch.equal(debiased_mass(nearly_all, negatives, mask, temperature=0.2, prior=0.7), floor)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_without_a_prior_nothing_is_taken_out(temperature: float) -> None:
    positive, negatives, mask = similarities()
    found = debiased_mass(positive, negatives, mask, temperature=temperature, prior=0.0)
    torch.testing.assert_close(found, log_mass(negatives, mask, temperature=temperature), rtol=1e-14, atol=0)


@pytest.mark.parametrize("prior", [0.0, 0.1, 0.7])
def test_without_concentration_all_negatives_weigh_the_same(prior: float) -> None:
    positive, negatives, mask = similarities()
    found = hard_mass(positive, negatives, mask, temperature=0.2, prior=prior, concentration=0.0)
    torch.testing.assert_close(found, debiased_mass(positive, negatives, mask, temperature=0.2, prior=prior))


def test_a_great_concentration_leaves_the_hardest_negative() -> None:
    positive, negatives, _ = similarities()
    found = hard_mass(positive, negatives, temperature=0.2, prior=0.0, concentration=1e4)
    torch.testing.assert_close(found, negatives.amax(dim=1) / 0.2 + math.log(7))


def test_epsilon_moves_the_positive_and_every_negative() -> None:
    positive, negatives, mask = similarities()
    plain = contrast(positive, negatives, mask)
    moved = contrast(positive - 0.15, negatives + 0.15, mask)
    found = modified_contrast(positive, negatives, temperature=0.2, epsilon=0.15, weight=0.5, mask=mask)
    torch.testing.assert_close(found, (plain + 0.5 * moved) / 1.5)
    still = modified_contrast(positive, negatives, temperature=0.2, epsilon=0.0, mask=mask)
    torch.testing.assert_close(still, plain)


def test_further_groups_are_moved_too() -> None:
    positive, negatives, _ = similarities()
    others = log_mass(negatives[:, 4:], temperature=0.2)
    found = modified_contrast(positive, negatives[:, :4], others, temperature=0.2)
    torch.testing.assert_close(found, modified_contrast(positive, negatives, temperature=0.2))


@pytest.mark.parametrize(("temperature", "prior", "concentration"), SETTINGS)
def test_gradients(temperature: float, prior: float, concentration: float) -> None:
    positive, negatives, mask = similarities()
    positive.requires_grad_(), negatives.requires_grad_()

    def debiased(p: Tensor, n: Tensor) -> Tensor:
        return debiased_mass(p, n, mask, temperature=temperature, prior=prior)

    def hard(p: Tensor, n: Tensor) -> Tensor:
        return hard_mass(p, n, mask, temperature=temperature, prior=prior, concentration=concentration)

    def modified(p: Tensor, n: Tensor) -> Tensor:
        return modified_contrast(p, n, temperature=temperature, mask=mask)

    for function in (debiased, hard, modified):
        assert torch.autograd.gradcheck(function, (positive, negatives))


@pytest.mark.parametrize("concentration", [0.0, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_small_temperature_does_not_overflow(concentration: float, dtype: torch.dtype) -> None:
    positive = torch.tensor([-1.0, 1.0, 0.3, 0.3], dtype=dtype, requires_grad=True)
    negatives = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [0.3, 0.3], [0.5, -0.5]], dtype=dtype, requires_grad=True)
    found = hard_mass(positive, negatives, temperature=1e-3, concentration=concentration)
    assert found.dtype == torch.float32
    lower = 1000 + math.log(2 / 0.9)
    assert found[:2].tolist() == pytest.approx([lower, math.log(2) - 1000])
    contrast_with(positive, found, temperature=1e-3).sum().backward()
    assert positive.grad.isfinite().all()
    assert negatives.grad.isfinite().all()


def test_an_anchor_without_negatives_has_no_loss_and_no_gradient() -> None:
    positive, negatives, _ = similarities()
    positive.requires_grad_(), negatives.requires_grad_()
    nothing = torch.zeros(6, 7, dtype=torch.bool)
    for mass in (debiased_mass, hard_mass):
        found = contrast_with(positive, mass(positive, negatives, nothing, temperature=0.2), temperature=0.2)
        assert found.tolist() == [0.0] * 6
        found.sum().backward()
    assert modified_contrast(positive, negatives, temperature=0.2, mask=nothing).tolist() == [0.0] * 6
    assert (positive.grad == 0).all()
    assert (negatives.grad == 0).all()


@pytest.mark.parametrize("prior", [-0.1, 1.0])
def test_a_prior_that_is_no_probability_is_refused(prior: float) -> None:
    positive, negatives, _ = similarities()
    with pytest.raises(ValueError, match="prior must be a probability below 1, not"):
        debiased_mass(positive, negatives, temperature=0.2, prior=prior)


def embeddings(b: int = 4, k: int = 30, d: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, a bank and their cosines."""
    generator = torch.Generator().manual_seed(1)
    queries = torch.randn(b, d, generator=generator, dtype=torch.float64) * 3
    bank = functional.normalize(torch.randn(k, d, generator=generator, dtype=torch.float64), dim=1)
    return queries, bank, functional.normalize(queries, dim=1) @ bank.T


def mixed(
    queries: Tensor, bank: Tensor, table: Tensor, hardest: int = 6, plain: int = 8, with_query: int = 5, seed: int = 3
) -> Tensor:
    return mix_hard_negatives(
        queries,
        bank,
        table,
        num_hardest=hardest,
        num_mixed=plain,
        num_query_mixed=with_query,
        generator=torch.Generator().manual_seed(seed),
    )


def test_mixed_negatives_are_their_formula() -> None:
    queries, bank, table = embeddings()
    found = mixed(queries, bank, table)
    drawn = torch.rand(3, 4, 13, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert found.shape == (4, 13)
    for row in range(4):
        nearest = sorted(range(30), key=lambda k: -table[row, k].item())[:6]
        query = queries[row] / queries[row].norm()
        for column in range(13):
            first, second, share = drawn[:, row, column].tolist()
            partner = bank[nearest[int(second * 6)]]
            other, share = (bank[nearest[int(first * 6)]], share) if column < 8 else (query, share / 2)
            made = share * other + (1 - share) * partner
            assert found[row, column].item() == pytest.approx((query @ made / made.norm()).item(), rel=1e-10)


def test_a_negative_mixed_with_the_query_is_closer_than_its_partner() -> None:
    queries, bank, table = embeddings()
    found = mixed(queries, bank, table, hardest=1, plain=0, with_query=9)
    assert (found > table.amax(dim=1, keepdim=True)).all()
    torch.testing.assert_close(
        mixed(queries, bank, table, hardest=1, plain=4, with_query=0), table.amax(dim=1)[:, None].expand(4, 4)
    )


def test_only_the_queries_get_a_gradient_and_it_is_that_of_constants() -> None:
    queries, bank, table = embeddings()
    leaves = [t.clone().requires_grad_() for t in (queries, bank, table)]
    mixed(*leaves).sum().backward()
    assert leaves[1].grad is None
    assert leaves[2].grad is None
    rows = []
    for column in range(5):
        moved = queries.clone()
        moved[:, column] += 1e-6
        rows.append((cosines_with_constants(moved) - cosines_with_constants(queries)) / 1e-6)
    torch.testing.assert_close(leaves[0].grad, torch.stack(rows, dim=1), rtol=1e-4, atol=1e-5)


def cosines_with_constants(moved: Tensor) -> Tensor:
    """Sum of each moved query's cosines to what is mixed for the queries where they were."""
    queries, bank, table = embeddings()
    drawn = torch.rand(3, 4, 13, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    nearest = table.argsort(dim=1, descending=True)[:, :6]
    first, second = (nearest.gather(1, (d * 6).long()) for d in drawn[:2])
    other = torch.cat([bank[first[:, :8]], functional.normalize(queries, dim=1)[:, None].expand(4, 5, 5)], dim=1)
    share = drawn[2, :, :, None] * torch.tensor([1.0] * 8 + [0.5] * 5)[:, None]
    made = functional.normalize(share * other + (1 - share) * bank[second], dim=2)
    return (functional.normalize(moved, dim=1)[:, None] * made).sum(dim=(1, 2))


def test_what_is_kept_out_is_no_partner() -> None:
    queries, bank, table = embeddings()
    out = torch.rand(4, 30, generator=torch.Generator().manual_seed(5)) < 0.9
    out[:, 0] = False
    out[1, 1:] = True
    poisoned = bank.where(~out.all(dim=0)[:, None], torch.nan)
    found = mixed(queries, poisoned, table.masked_fill(out, -torch.inf), hardest=20)
    assert found.isfinite().all()
    assert torch.allclose(found[1, :8], table[1, 0]), "what is left is mixed with itself"


def test_a_bank_smaller_than_the_number_of_partners() -> None:
    queries, bank, table = embeddings(k=3)
    assert torch.equal(mixed(queries, bank, table, hardest=1024), mixed(queries, bank, table, hardest=3))
    assert mixed(queries, bank, table, plain=0, with_query=0).shape == (4, 0)


def test_mixing_follows_its_generator() -> None:
    parts = embeddings()
    assert torch.equal(mixed(*parts, seed=1), mixed(*parts, seed=1))
    assert not torch.equal(mixed(*parts, seed=1), mixed(*parts, seed=2))


def test_mixing_is_float32_under_autocast() -> None:
    queries, bank, table = (t.float() for t in embeddings())
    with torch.autocast("cpu", torch.bfloat16):
        found = mixed(queries.bfloat16(), bank, table)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, mixed(queries.bfloat16().float(), bank, table))
