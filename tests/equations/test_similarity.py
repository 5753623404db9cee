"""Cosines of pairs against their definition, and which other samples are drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from longcut.evaluation.similarity import draw_others, pair_similarities


def test_cosines_are_those_of_the_definition():
    draw = np.random.default_rng(0)
    first, second = draw.normal(size=(4, 5)) * 10, draw.normal(size=(4, 3, 5))
    expected = [
        [float(a @ b) / (math.sqrt(a @ a) * math.sqrt(b @ b)) for b in rows]
        for a, rows in zip(first, second, strict=True)
    ]
    a, b = torch.from_numpy(first), torch.from_numpy(second)
    np.testing.assert_allclose(pair_similarities(a, b).numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(pair_similarities(a, b[:, 0]).numpy(), np.array(expected)[:, 0], rtol=1e-5)


def test_the_cosine_with_oneself_is_one_and_with_zero_is_zero():
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).half()
    torch.testing.assert_close(pair_similarities(x, 2 * x), torch.ones(6), rtol=0, atol=1e-6)
    assert pair_similarities(x, -x).min() >= -1
    assert pair_similarities(x, torch.zeros_like(x)).tolist() == [0.0] * 6


def test_no_sample_is_its_own_negative_and_the_others_are_equally_likely():
    others = draw_others(5, 4000, seed=1)
    assert others.shape == (5, 4000)
    for sample, drawn in enumerate(others):
        shares = np.bincount(drawn, minlength=5) / 4000
        assert shares[sample] == 0
        np.testing.assert_allclose(np.delete(shares, sample), 0.25, atol=0.03)
    assert (others == draw_others(5, 4000, seed=1)).all()
    assert (others != draw_others(5, 4000, seed=2)).any()
    with pytest.raises(ValueError, match="give at least 2 images"):
        draw_others(1, 4)
