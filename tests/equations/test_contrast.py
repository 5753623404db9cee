"""The contrastive losses against their formulas, written with plain loops, and against other libraries."""

from __future__ import annotations

import math
import warnings
from types import ModuleType

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from longcut.losses import bank_mass, contrast, contrast_with, cosine, info_nce, log_mass, mass, supervised_contrast

TEMPERATURES = (0.07, 0.2, 1.0)


def similarities(b: int = 5, k: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    positive = torch.rand(b, generator=generator, dtype=torch.float64) * 2 - 1
    negatives = torch.rand(b, k, generator=generator, dtype=torch.float64) * 2 - 1
    return positive, negatives, torch.rand(b, k, generator=generator) < 0.6


def embeddings(b: int = 4, k: int = 6, d: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = (b, d), (b, d), (b, k, d)
    first, second, third = (torch.randn(s, generator=generator, dtype=torch.float64) * 3 for s in shapes)
    return first, second, third


def loop(positive: float, negatives: list[float], temperature: float, scale: float = 1.0) -> float:
    own = math.exp(positive / temperature)
    return -math.log(own / (own + sum(math.exp(scale * s / temperature) for s in negatives)))


def cosine_by_loop(first: Tensor, second: Tensor) -> float:
    dot = sum(x * y for x, y in zip(first.tolist(), second.tolist(), strict=True))
    return dot / math.sqrt(sum(x * x for x in first.tolist())) / math.sqrt(sum(y * y for y in second.tolist()))


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("scale", [1.0, 0.0, 2.5])
def test_contrast_is_its_formula(temperature: float, scale: float) -> None:
    positive, negatives, mask = similarities()
    kept = [
        [s for s, m in zip(*pair, strict=True) if m] for pair in zip(negatives.tolist(), mask.tolist(), strict=True)
    ]
    expected = [loop(p, n, temperature, scale) for p, n in zip(positive.tolist(), kept, strict=True)]
    found = contrast(positive, negatives, mask, temperature=temperature, negative_scale=scale)
    assert found.tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_info_nce_is_equation_1(temperature: float) -> None:
    anchors, positives, negatives = embeddings()
    expected = [
        loop(cosine_by_loop(a, p), [cosine_by_loop(a, n) for n in ns], temperature, 1.5)
        for a, p, ns in zip(anchors, positives, negatives, strict=True)
    ]
    found = info_nce(anchors, positives, negatives, temperature=temperature, negative_scale=1.5)
    assert found.tolist() == pytest.approx(expected, rel=1e-12)


def test_cosine_is_its_formula() -> None:
    first, second, _ = embeddings()
    expected = [cosine_by_loop(a, b) for a, b in zip(first, second, strict=True)]
    assert cosine(first, second).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("k", [1, 8, 255])
def test_equal_similarities_give_the_log_of_their_number(k: int) -> None:
    found = contrast(torch.full((3,), 0.4, dtype=torch.float64), torch.full((3, k), 0.4, dtype=torch.float64))
    assert found.tolist() == pytest.approx([math.log(k + 1)] * 3, rel=1e-12)


def test_a_high_temperature_forgets_the_similarities() -> None:
    positive, negatives, _ = similarities(k=7)
    assert contrast(positive, negatives, temperature=1e9).tolist() == pytest.approx([math.log(8)] * 5, rel=1e-8)


def test_a_low_temperature_leaves_the_hardest_negative() -> None:
    positive, negatives, _ = similarities()
    found = contrast(positive, negatives, temperature=1e-4) * 1e-4
    expected = (negatives.max(dim=1).values - positive).clamp(min=0)
    assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_mask_leaves_negatives_out() -> None:
    positive, negatives, mask = similarities()
    found = contrast(positive, negatives, mask)
    for row in range(len(positive)):
        alone = contrast(positive[row : row + 1], negatives[row : row + 1, mask[row]])
        assert found[row].item() == pytest.approx(alone.item(), rel=1e-14)


def test_info_nce_passes_its_mask_on() -> None:
    anchors, positives, negatives = embeddings()
    mask = torch.tensor([True, False, True, True, False, False]).expand(4, 6)
    found = info_nce(anchors, positives, negatives, mask=mask)
    torch.testing.assert_close(found, info_nce(anchors, positives, negatives[:, mask[0]]))


def test_an_anchor_without_negatives_has_no_loss_and_no_gradient() -> None:
    positive, negatives, _ = similarities()
    positive.requires_grad_(), negatives.requires_grad_()
    found = contrast(positive, negatives, torch.zeros(5, 7, dtype=torch.bool))
    assert found.tolist() == [0.0] * 5
    found.sum().backward()
    assert (positive.grad == 0).all()
    assert (negatives.grad == 0).all()
    assert contrast(positive, negatives[:, :0]).tolist() == [0.0] * 5


def test_each_negative_can_have_its_own_scale() -> None:
    positive, negatives, mask = similarities()
    scales = torch.linspace(0.5, 2, 7, dtype=torch.float64)
    found = contrast(positive, negatives, mask, negative_scale=scales)
    torch.testing.assert_close(found, contrast(positive, negatives * scales, mask), rtol=1e-14, atol=0)


def test_the_scale_of_negatives_leaves_the_positive_alone() -> None:
    anchors, positives, negatives = embeddings()
    none = info_nce(anchors, positives, negatives, negative_scale=0.0)
    expected = [loop(cosine_by_loop(a, p), [0.0] * 6, 0.2) for a, p in zip(anchors, positives, strict=True)]
    assert none.tolist() == pytest.approx(expected, rel=1e-12)


def test_lengths_do_not_matter() -> None:
    anchors, positives, negatives = embeddings()
    found = info_nce(anchors * 1e4, positives * 1e-4, negatives * 7)
    torch.testing.assert_close(found, info_nce(anchors, positives, negatives), rtol=1e-10, atol=0)


def test_gradients() -> None:
    positive, negatives, mask = similarities()
    positive.requires_grad_(), negatives.requires_grad_()
    assert torch.autograd.gradcheck(lambda p, n: contrast(p, n, mask, negative_scale=1.3), (positive, negatives))
    parts = embeddings(b=2, k=3)
    assert torch.autograd.gradcheck(lambda *x: info_nce(*x, negative_scale=0.7), [p.requires_grad_() for p in parts])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_small_temperature_does_not_overflow(dtype: torch.dtype) -> None:
    positive = torch.tensor([-1.0, 1.0], dtype=dtype)
    negatives = torch.tensor([[1.0, 1.0], [-1.0, -1.0]], dtype=dtype)
    positive.requires_grad_()
    found = contrast(positive, negatives, temperature=1e-3)
    assert found.tolist() == pytest.approx([2000 + math.log(2), 0.0])
    found.sum().backward()
    assert positive.grad.isfinite().all()


def test_half_precision_is_computed_in_float32() -> None:
    anchors, positives, negatives = (t.bfloat16() for t in embeddings())
    exact = info_nce(anchors.double(), positives.double(), negatives.double(), temperature=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        found = info_nce(anchors, positives, negatives, temperature=0.05)
        close = cosine(anchors, positives)
        core = contrast(close.bfloat16(), torch.zeros(4, 2, dtype=torch.bfloat16))
        shared = bank_mass(anchors, negatives[0], temperature=0.05)
    assert found.dtype == close.dtype == core.dtype == shared.dtype == torch.float32
    exact_shared = bank_mass(anchors.double(), negatives[0].double(), temperature=0.05)
    torch.testing.assert_close(shared.double(), exact_shared, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(close.double(), cosine(anchors.double(), positives.double()), rtol=1e-5, atol=1e-6)


def masses(similarities: Tensor, mask: Tensor, temperature: float, scales: list[float]) -> list[float]:
    return [
        math.log(sum(math.exp(a * s / temperature) for s, m, a in zip(*row, scales, strict=True) if m))
        for row in zip(similarities.tolist(), mask.tolist(), strict=True)
    ]


@pytest.mark.parametrize("cached", [1, 10, mass.CACHED])
@pytest.mark.parametrize("t", TEMPERATURES)
@pytest.mark.parametrize("scale", [1.7, 0.0, torch.linspace(0.5, 2, 7, dtype=torch.float64)])
def test_log_mass_is_its_formula(cached: int, t: float, scale: float | Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mass, "CACHED", cached)
    _, negatives, mask = similarities()
    expected = masses(negatives, mask, t, scale.tolist() if isinstance(scale, Tensor) else [scale] * 7)
    found = log_mass(negatives, mask, temperature=t, scale=scale)
    assert found.tolist() == pytest.approx(expected, rel=1e-12)
    negatives.requires_grad_()
    assert torch.autograd.gradcheck(lambda n: log_mass(n, mask, temperature=t, scale=scale), negatives)
    assert torch.autograd.gradcheck(lambda n: log_mass(n, temperature=t, scale=scale), negatives)


def test_what_does_not_count_has_no_mass_however_close_it_is() -> None:
    negatives = torch.tensor([[1.0, -0.9, -1.0], [1.0, 1.0, 1.0]], requires_grad=True)
    mask = torch.tensor([[False, True, True], [False, False, False]])
    found = log_mass(negatives, mask, temperature=1e-3)
    assert found.tolist() == [pytest.approx(-900.0), -math.inf]
    contrast_with(torch.zeros(2), found, temperature=1e-3).sum().backward()
    assert negatives.grad.isfinite().all()
    assert (negatives.grad[~mask] == 0).all()
    assert log_mass(negatives[:, :0], temperature=1.0).tolist() == [-math.inf] * 2
    assert log_mass(negatives[:0], temperature=1.0).shape == (0,)


def test_groups_join_as_if_they_were_one() -> None:
    positive, negatives, mask = similarities()
    scales = torch.tensor([1.0] * 4 + [2.5] * 3, dtype=torch.float64)
    first = log_mass(negatives[:, :4], mask[:, :4], temperature=0.2)
    second = log_mass(negatives[:, 4:], mask[:, 4:], temperature=0.2, scale=2.5)
    found = contrast_with(positive, first, second, temperature=0.2)
    torch.testing.assert_close(found, contrast(positive, negatives, mask, negative_scale=scales), rtol=1e-12, atol=0)


def test_groups_without_any_negative_change_nothing() -> None:
    positive, negatives, _ = similarities()
    nothing = torch.full((5,), -torch.inf, dtype=torch.float64, requires_grad=True)
    some = log_mass(negatives, temperature=0.2)
    torch.testing.assert_close(contrast_with(positive, some, nothing, temperature=0.2), contrast(positive, negatives))
    none = contrast_with(positive, nothing, nothing, temperature=0.2)
    assert none.tolist() == [0.0] * 5
    none.sum().backward()
    assert (nothing.grad == 0).all()
    with pytest.raises(ValueError, match="at least one log mass"):
        contrast_with(positive, temperature=0.2)


@pytest.mark.parametrize("cached", [1, 9, mass.CACHED])
@pytest.mark.parametrize("temperature", [*TEMPERATURES, 1e-3])
def test_bank_mass_is_the_log_mass_of_cosines(cached: int, temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mass, "CACHED", cached)
    queries, _, negatives = embeddings()
    bank = functional.normalize(negatives[0], dim=1)
    table = torch.tensor([[cosine_by_loop(q, n) for n in bank] for q in queries], dtype=torch.float64)
    expected = log_mass(table, temperature=temperature, scale=0.5)
    found = bank_mass(queries, bank, temperature=temperature, scale=0.5)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    queries.requires_grad_()
    assert torch.autograd.gradcheck(lambda q: bank_mass(q, bank, temperature=max(temperature, 0.07)), queries)


LABELS = torch.tensor([0, 1, 0, 2, 1, 0])
PARTNERS = torch.eye(6, dtype=torch.bool).roll(3, dims=1)


def labelled() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Embeddings, their cosines, and masks of positives and candidates."""
    vectors = torch.randn(6, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    units = functional.normalize(vectors, dim=1)
    others = ~torch.eye(6, dtype=torch.bool)
    return vectors, units @ units.T, (LABELS[:, None] == LABELS) & others, others


def test_supervised_contrast_is_its_formula() -> None:
    _, table, positives, candidates = labelled()
    expected = []
    for row in range(6):
        total = sum(math.exp(table[row, c].item() / 0.1) for c in range(6) if candidates[row, c])
        logs = [-math.log(math.exp(table[row, p].item() / 0.1) / total) for p in range(6) if positives[row, p]]
        expected.append(sum(logs) / len(logs) if logs else 0.0)
    found = supervised_contrast(table, positives, candidates, temperature=0.1)
    assert found.tolist() == pytest.approx(expected, rel=1e-12)
    assert expected[3] == found[3] == 0.0
    table.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: supervised_contrast(s, positives, candidates, temperature=0.1), table)


def test_with_one_positive_supervised_contrast_is_the_plain_one_and_with_nobody_zero() -> None:
    _, table, _, candidates = labelled()
    nobody = torch.zeros(6, 6, dtype=torch.bool)
    assert supervised_contrast(table, nobody, nobody, temperature=0.2).tolist() == [0.0] * 6
    found = supervised_contrast(table, PARTNERS, candidates, temperature=0.2)
    torch.testing.assert_close(found, contrast(table[PARTNERS], table, candidates & ~PARTNERS))


def library(name: str) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


def test_it_equals_the_losses_of_pytorch_metric_learning() -> None:
    losses = library("pytorch_metric_learning.losses")
    vectors, table, positives, candidates = labelled()
    found = supervised_contrast(table, positives, candidates, temperature=0.1)[LABELS != 2].mean()
    torch.testing.assert_close(found, losses.SupConLoss(temperature=0.1)(vectors, LABELS))
    pairs = torch.arange(3).repeat(2)
    found = contrast(table[PARTNERS], table, candidates & ~PARTNERS, temperature=0.1).mean()
    torch.testing.assert_close(found, losses.NTXentLoss(temperature=0.1)(vectors, pairs))


def test_it_equals_the_losses_of_lightly() -> None:
    lightly = library("lightly.loss")
    vectors, table, _, candidates = labelled()
    found = contrast(table[PARTNERS], table, candidates & ~PARTNERS, temperature=0.1).mean()
    torch.testing.assert_close(found, lightly.NTXentLoss(temperature=0.1)(*vectors.chunk(2)))
    with_bank = lightly.NTXentLoss(temperature=0.1, memory_bank_size=(16, 5))
    queries, keys = vectors.float().chunk(2)
    with_bank(queries, keys)
    bank = functional.normalize(with_bank.memory_bank.bank.clone(), dim=1)
    found = contrast_with(cosine(queries, keys), bank_mass(queries, bank, temperature=0.1), temperature=0.1).mean()
    torch.testing.assert_close(found, with_bank(queries, keys))
