"""A paste shows the foreground where the mask is on and the background where it is off."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from longcut.data.pasting import blend
from longcut.negatives import paste


def pictures(seed: int, b: int = 2, h: int = 4, w: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = (b, 3, h, w), (b, 1, h, w), (b, 3, h, w)
    first, second, third = (torch.randint(0, 256, s, generator=generator, dtype=torch.uint8) for s in shapes)
    return first, second, third


def by_loops(foregrounds: Tensor, weights: Tensor, backgrounds: Tensor) -> Tensor:
    out = torch.empty(foregrounds.shape, dtype=torch.float64)
    for n, c, y, x in np.ndindex(*foregrounds.shape):
        weight = weights[n, 0, y, x].item()
        out[n, c, y, x] = weight * foregrounds[n, c, y, x].item() + (1 - weight) * backgrounds[n, c, y, x].item()
    return out


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_it_is_its_formula(seed: int) -> None:
    foregrounds, masks, backgrounds = pictures(seed)
    expected = by_loops(foregrounds, masks.double() / 255, backgrounds)
    for kind in (masks, masks.float() / 255):
        whole = paste(foregrounds, kind, backgrounds)
        assert whole.dtype == torch.uint8
        assert (whole.double() - expected).abs().max() < 0.5 + 1e-4
        fine = paste(foregrounds / 255, kind, backgrounds / 255)
        assert fine.dtype == torch.float32
        torch.testing.assert_close(fine.double() * 255, expected, rtol=0, atol=1e-3)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.booleans())
def test_on_is_foreground_and_off_is_background_exactly(seed: int, floats: bool) -> None:
    foregrounds, masks, backgrounds = pictures(seed)
    masks = (masks > 127).to(torch.uint8) * 255
    on = (masks == 255).expand_as(foregrounds)
    found = paste(foregrounds, masks.float() / 255 if floats else masks, backgrounds)
    assert torch.equal(found[on], foregrounds[on])
    assert torch.equal(found[~on], backgrounds[~on])


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_it_agrees_with_the_paste_of_one_image(seed: int) -> None:
    foregrounds, masks, backgrounds = pictures(seed)
    found = paste(foregrounds, masks, backgrounds).permute(0, 2, 3, 1).numpy().astype(int)
    for row in range(len(found)):
        one = blend(
            foregrounds[row].permute(1, 2, 0).numpy(), masks[row, 0].numpy(), backgrounds[row].permute(1, 2, 0).numpy()
        )
        assert np.abs(found[row] - one).max() <= 1


def test_gradients_follow_the_mask() -> None:
    foregrounds, masks, backgrounds = (t.double() / 255 for t in pictures(0, b=1, h=2, w=2))
    assert torch.autograd.gradcheck(paste, tuple(t.requires_grad_() for t in (foregrounds, masks, backgrounds)))


def test_what_does_not_fit_is_refused() -> None:
    foregrounds, masks, backgrounds = pictures(0)
    with pytest.raises(ValueError, match="must agree"):
        paste(foregrounds, masks, backgrounds.float())
    with pytest.raises(ValueError, match="must agree"):
        paste(foregrounds, masks, backgrounds[:1])
    with pytest.raises(ValueError, match=r"masks \(2, 1, 3, 5\) must have the size"):
        paste(foregrounds, masks[:, :, :3], backgrounds)
