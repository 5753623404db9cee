"""The contrastive loss against its formula, written with plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from longcut.losses import contrast, cosine, info_nce

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
    assert found.dtype == close.dtype == core.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(close.double(), cosine(anchors.double(), positives.double()), rtol=1e-5, atol=1e-6)
