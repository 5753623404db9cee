"""Variants of images against plain loops in float64, and what they must keep and what they may touch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from longcut.evaluation.audit.variants import NUM_UNIFORMS, SWAPS, VARIANTS, Donors, Views
from longcut.evaluation.audit.variants.textures import find_patches, patch_sides

B, H, W = 4, 36, 32
Array = NDArray[np.float64]
MEAN, STD = (0.45, 0.5, 0.55), (0.1, 0.12, 0.08)


def pictures(seed: int, low: float = 0.3, high: float = 0.7, size: tuple[int, int] = (H, W)) -> Tensor:
    """Noise on patches of its own colours, away from 0 and 1 unless it is asked for."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(B, 3, 3, 4, generator=generator)
    fine = torch.rand(B, 3, *size, generator=generator)
    spread = 0.6 * torch.nn.functional.interpolate(coarse, size) + 0.4 * fine
    return (low + (high - low) * spread).clamp(0, 1)


def ellipses(seed: int, size: tuple[int, int] = (H, W)) -> Tensor:
    """A soft-edged ellipse on each image, of which some reach into the frame."""
    uniforms = torch.rand(5, B, 1, 1, generator=torch.Generator().manual_seed(seed))
    y, x = torch.meshgrid(*(torch.linspace(0, 1, n) for n in size), indexing="ij")
    across = ((y - 0.3 - 0.4 * uniforms[0]) / (0.2 + 0.3 * uniforms[1])) ** 2
    distance = (across + ((x - 0.3 - 0.4 * uniforms[2]) / (0.2 + 0.3 * uniforms[3])) ** 2).sqrt()
    return (6 * (1 - distance) + 0.5).clamp(0, 1)[:, None]


def donors(seed: int, **made: Any) -> Donors:
    return Donors(pictures(seed, **made), ellipses(seed), pictures(seed + 100, **made))


def views(**made: Any) -> Views:
    uniforms = torch.rand(B, NUM_UNIFORMS, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    own = donors(1, **made)
    lenders = donors(2, **made), donors(3, **made)
    return Views(own.images, own.masks, own.backgrounds, *lenders, uniforms, torch.tensor(MEAN), torch.tensor(STD))


def of_themselves(given: Views) -> Views:
    own = Donors(given.images, given.masks, given.images)
    return replace(given, same=own, other=own)


# Plain loops: one image `[3, h, w]` and its mask `[h, w]` at a time.


def weighted(image: Array, mask: Array) -> tuple[list[float], list[float]]:
    means, stds = [], []
    for channel in image:
        total = sum(mask.flat)
        mean = sum(m * v for m, v in zip(mask.flat, channel.flat, strict=True)) / total
        means.append(mean)
        stds.append((sum(m * (v - mean) ** 2 for m, v in zip(mask.flat, channel.flat, strict=True)) / total) ** 0.5)
    return means, stds


def moved(image: Array, found: tuple[list[float], list[float]], wanted: tuple[list[float], list[float]]) -> Array:
    out = np.empty_like(image)
    for c in range(3):
        gain = max(wanted[1][c], 1 / 255) / max(found[1][c], 1 / 255)
        out[c] = np.clip((image[c] - found[0][c]) * gain + wanted[0][c], 0, 1)
    return out


def pasted(front: Array, mask: Array, back: Array) -> Array:
    out = np.empty_like(front)
    for c, y, x in np.ndindex(*front.shape):
        out[c, y, x] = mask[y, x] * front[c, y, x] + (1 - mask[y, x]) * back[c, y, x]
    return out


def flat(shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(np.array(MEAN, np.float32).astype(np.float64)[:, None, None], shape)


def framed(image: Array, frame: Array) -> Array:
    height, width = image.shape[1:]
    edge = max(1, min(height, width) // 16)
    out = image.copy()
    for y in range(height):
        for x in range(width):
            if min(y, x, height - 1 - y, width - 1 - x) < edge:
                out[:, y, x] = frame[:, y, x]
    return out


def squares(mask: Array, side: int) -> list[tuple[int, int, int]]:
    """Distance from the centre, and corner, of every square of a side that lies in the mask."""
    on = [(y, x) for y, x in np.ndindex(*mask.shape) if mask[y, x] >= 0.5]
    if not on:
        return []
    centre = [int(np.floor(sum(place[axis] for place in on) / len(on) + 0.5)) for axis in (0, 1)]
    found = []
    for top in range(mask.shape[0] - side + 1):
        for left in range(mask.shape[1] - side + 1):
            if (mask[top : top + side, left : left + side] >= 0.5).all():
                y, x = top + (side - 1) // 2 - centre[0], left + (side - 1) // 2 - centre[1]
                found.append((y * y + x * x, top, left))
    return found


def retextured(image: Array, mask: Array, donor: tuple[Array, Array], rival: tuple[Array, Array]) -> Array:
    for side in (16, 10, 8, 5, 4):
        here, there = squares(donor[1], side), squares(rival[1], side)
        if here and there:
            break
    else:
        return image
    _, top, left = min(here)
    tile = np.empty_like(image)
    for y in range(image.shape[1]):
        for x in range(image.shape[2]):
            # A patch, its mirror image, the patch again.
            row = y % side if y // side % 2 == 0 else side - 1 - y % side
            column = x % side if x // side % 2 == 0 else side - 1 - x % side
            tile[:, y, x] = donor[0][:, top + row, left + column]
    return pasted(moved(tile, weighted(tile, mask), weighted(image, mask)), mask, image)


def shuffled(image: Array, uniforms: Array, grid: int) -> Array:
    tall, wide = image.shape[1] // grid, image.shape[2] // grid
    top, left = (image.shape[1] - grid * tall) // 2, (image.shape[2] - grid * wide) // 2
    order = sorted(range(grid**2), key=lambda place: uniforms[place])
    out = image.copy()
    for place, source in enumerate(order):
        for y in range(tall):
            for x in range(wide):
                there = image[:, top + source // grid * tall + y, left + source % grid * wide + x]
                out[:, top + place // grid * tall + y, left + place % grid * wide + x] = there
    return out


def blurred(image: Array) -> Array:
    sigma = max(1.0, min(image.shape[1:]) / 32)
    radius = int(4 * sigma + 0.5)
    taps = [np.exp(-0.5 * (offset / sigma) ** 2) for offset in range(-radius, radius + 1)]
    for axis in (1, 2):
        length = image.shape[axis]
        out = np.zeros_like(image)
        for place in range(length):
            for offset, tap in zip(range(-radius, radius + 1), taps, strict=True):
                source = abs(place + offset)
                source = source if source < length else 2 * (length - 1) - source
                where = [slice(None)] * 3
                at, there = where.copy(), where.copy()
                at[axis], there[axis] = place, source
                out[tuple(at)] += tap / sum(taps) * image[tuple(there)]
        image = out
    return image


def grey(image: Array) -> Array:
    luma = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
    return np.stack([luma, luma, luma])


class One:
    """A row of views in float64."""

    def __init__(self, given: Views, row: int, which: str) -> None:
        def part(held: Any) -> tuple[Array, Array, Array]:
            image, mask, background = (t[row].double().numpy() for t in (held.images, held.masks, held.backgrounds))
            return image, mask[0], background

        self.image, self.mask, self.background = part(given)
        self.donor = part(given.same if which == "same" else given.other)
        self.rival = part(given.other if which == "same" else given.same)
        self.uniforms = given.uniforms[row].numpy()


LOOPS: dict[str, Callable[[One], Array]] = {
    "background": lambda one: pasted(one.image, one.mask, one.donor[2]),
    "border": lambda one: framed(one.image, one.donor[0]),
    "colour": lambda one: pasted(
        moved(one.image, weighted(one.image, one.mask), weighted(*one.donor[:2])), one.mask, one.image
    ),
    "texture": lambda one: retextured(one.image, one.mask, one.donor[:2], one.rival[:2]),
    "only_foreground": lambda one: pasted(one.image, one.mask, flat(one.image.shape)),
    "only_background": lambda one: one.background,
    "shuffle_2": lambda one: shuffled(one.image, one.uniforms, 2),
    "shuffle_4": lambda one: shuffled(one.image, one.uniforms, 4),
    "shuffle_8": lambda one: shuffled(one.image, one.uniforms, 8),
    "greyscale": lambda one: grey(one.image),
    "low_pass": lambda one: blurred(one.image),
    "high_pass": lambda one: np.clip(one.image - blurred(one.image) + flat(one.image.shape), 0, 1),
}


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("clipped", [False, True])
def test_a_variant_is_what_plain_loops_make(name: str, clipped: bool) -> None:
    given = views(low=-0.2, high=1.2) if clipped else views()
    cue, _, which = name.rpartition("_")
    loop = LOOPS[cue if which in ("same", "other") else name]
    found = VARIANTS[name].make(given).double().numpy()
    for row in range(B):
        np.testing.assert_allclose(found[row], loop(One(given, row, which)).clip(0, 1), atol=2e-5)


@pytest.mark.parametrize(("height", "width"), [(37, 42), (70, 83)])
@pytest.mark.parametrize("name", ["shuffle_4", "shuffle_8", "low_pass", "high_pass"])
def test_sizes_that_no_grid_divides(name: str, height: int, width: int) -> None:
    given = replace(views(), images=pictures(4, size=(height, width)))
    found = VARIANTS[name].make(given).double().numpy()
    one = One(views(), 1, "same")
    one.image = given.images[1].double().numpy()
    np.testing.assert_allclose(found[1], LOOPS[name](one), atol=2e-5)


def test_colours_of_whole_images_where_there_are_no_masks() -> None:
    given = views()
    assert given.other is not None
    given = replace(given, masks=None, other=replace(given.other, masks=None))
    found = VARIANTS["colour_other"].make(given).double().numpy()
    everywhere = np.ones((H, W))
    for row in range(B):
        image, donor = (part.images[row].double().numpy() for part in (given, given.other))
        expected = moved(image, weighted(image, everywhere), weighted(donor, everywhere))
        np.testing.assert_allclose(found[row], expected, atol=2e-5)
    assert SWAPS["colour"].usable(replace(given, same=None)).all()


@pytest.mark.parametrize("cue", ["background", "border", "colour"])
def test_an_image_lends_itself_nothing_new(cue: str) -> None:
    given = of_themselves(views(low=0.0, high=1.0))
    torch.testing.assert_close(VARIANTS[f"{cue}_same"].make(given), given.images, atol=1e-5, rtol=0)


def test_a_flat_foreground_does_not_become_noise() -> None:
    given = views()
    images = 0.5 + 1e-4 * pictures(7)
    found = VARIANTS["colour_other"].make(replace(given, images=images))
    inside = (given.masks == 1).expand_as(found)
    centred = found - (found * inside).sum((2, 3), True) / inside.sum((2, 3), True)
    assert (centred * inside).abs().max() < 0.01


@pytest.mark.parametrize("cue", SWAPS)
@pytest.mark.parametrize("which", ["same", "other"])
def test_a_swap_touches_its_region_alone(cue: str, which: str) -> None:
    given = views()
    assert given.masks is not None
    found = VARIANTS[f"{cue}_{which}"].make(given)
    edge = torch.ones(H, W, dtype=torch.bool)
    edge[2:-2, 2:-2] = False
    region = {"background": given.masks < 1, "border": edge.expand(B, 1, H, W)}.get(cue, given.masks > 0)
    touched = (found - given.images).abs().amax(1, keepdim=True) > 1e-6
    assert not (touched & ~region).any()
    assert (touched & region).sum() > 0.9 * region.sum()


def test_a_texture_keeps_the_foregrounds_colours() -> None:
    given = views()
    assert given.masks is not None
    hard = replace(given, masks=(given.masks >= 0.5).float())
    found = VARIANTS["texture_other"].make(hard)
    for row in range(B):
        mask = hard.masks[row, 0].double().numpy()  # type: ignore[index]
        (mean, std), (before, spread) = (weighted(i[row].double().numpy(), mask) for i in (found, given.images))
        assert mean == pytest.approx(before, abs=2e-3)  # a little is clipped
        assert std == pytest.approx(spread, abs=5e-3)


def parts(given: Views) -> list[Any]:
    return [given, given.same, given.other]


@pytest.mark.parametrize("cue", SWAPS)
def test_a_neutral_cue_cannot_be_swapped(cue: str) -> None:
    swap, given = SWAPS[cue], views()
    neutral = swap.neutral(given)
    same, other = (VARIANTS[name].make(neutral) for name in (swap.same, swap.other))
    # Soft edges are part of a foreground's colours and keep some of what is behind them.
    torch.testing.assert_close(same, other, atol=0.02 if cue == "colour" else 1e-4, rtol=0)
    before, after = (VARIANTS[name].make(given) for name in (swap.same, swap.other))
    assert (before - after).abs().amax((1, 2, 3)).min() > 0.05


def test_neutral_colours_are_alike_within_hard_masks() -> None:
    hard = [replace(part, masks=part.masks.round()) for part in parts(views())]
    neutral = SWAPS["colour"].neutral(replace(hard[0], same=hard[1], other=hard[2]))
    same, other = (VARIANTS[f"colour_{which}"].make(neutral) for which in ("same", "other"))
    torch.testing.assert_close(same, other, atol=1e-5, rtol=0)


def test_neutral_forms_keep_the_rest_of_an_image() -> None:
    given = views()
    mean = torch.tensor(MEAN).view(1, 3, 1, 1)
    flat_back, no_frame, one_colour, smooth = (
        SWAPS[c].neutral(given) for c in ("background", "border", "colour", "texture")
    )
    inner = slice(2, -2)
    for place, part in enumerate(parts(given)):
        on, off = (part.masks == 1).expand(-1, 3, -1, -1), (part.masks == 0).expand(-1, 3, -1, -1)
        colour = mean.expand(B, 3, H, W)
        found = parts(flat_back)[place]
        torch.testing.assert_close(found.images[on], part.images[on])
        torch.testing.assert_close(found.images[off], colour[off])
        torch.testing.assert_close(found.backgrounds, colour)
        found = parts(no_frame)[place]
        for name, frame in (("images", colour), ("backgrounds", colour), ("masks", torch.zeros(B, 1, H, W))):
            held, before = getattr(found, name), getattr(part, name)
            assert torch.equal(held[..., inner, inner], before[..., inner, inner])
            assert torch.equal(held[:, :, :2], frame[:, :, :2])
            assert torch.equal(held[..., -2:], frame[..., -2:])
        for found in (parts(one_colour)[place], parts(smooth)[place]):
            assert torch.equal(found.images[off], part.images[off])
            assert found.masks is part.masks
        for row in range(B):
            mask = part.masks[row, 0].double().numpy()
            before = weighted(part.images[row].double().numpy(), mask)
            left = parts(smooth)[place].images[row][on[row]].view(3, -1)
            assert left.std(1).max() < 1e-6
            assert left.mean(1).tolist() == pytest.approx(before[0], abs=1e-5)
            hard = np.where(mask == 1, 1.0, 0.0)
            found_mean, found_std = weighted(parts(one_colour)[place].images[row].double().numpy(), hard)
            aimed = moved(part.images[row].double().numpy(), before, (list(MEAN), list(STD)))
            expected_mean, expected_std = weighted(aimed, hard)
            assert found_mean == pytest.approx(expected_mean, abs=1e-5)
            assert found_std == pytest.approx(expected_std, abs=1e-5)


def test_neutral_forms_without_masks() -> None:
    """A frame and whole images' colours need none, and donors may be missing."""
    given = replace(views(), masks=None, backgrounds=None, same=None, other=Donors(pictures(2)))
    plain = SWAPS["colour"].neutral(given)
    for part in (plain, plain.other):
        assert part is not None
        torch.testing.assert_close(part.images.mean((2, 3)), torch.tensor(MEAN).expand(B, 3), atol=2e-3, rtol=0)
    framed_ = SWAPS["border"].neutral(given)
    assert framed_.same is None
    assert framed_.masks is None
    torch.testing.assert_close(VARIANTS["border_other"].make(framed_), framed_.images)


def test_which_images_are_usable() -> None:
    given = views()
    assert given.same is not None
    assert all(variant.usable(given).all() for variant in VARIANTS.values())
    assert all(swap.usable(given).all() for swap in SWAPS.values())
    own, lent = given.masks.clone(), given.same.masks.clone()  # type: ignore[union-attr]
    own[0], own[1] = 0, 1
    lent[2] = 0
    lent[3] = 0
    lent[3, :, ::3, :] = 1  # a foreground so thin that no patch lies in it
    poor = replace(given, masks=own, same=replace(given.same, masks=lent))
    assert SWAPS["background"].usable(poor).tolist() == [False, False, True, True]
    assert SWAPS["border"].usable(poor).tolist() == [True] * 4
    assert SWAPS["colour"].usable(poor).tolist() == [False, True, False, True]
    assert SWAPS["texture"].usable(poor).tolist() == [False, True, False, False]
    assert VARIANTS["only_foreground"].usable(poor).tolist() == [False, False, True, True]
    for which in ("same", "other"):  # neither of a pair changes where one of them has nothing to show
        found = VARIANTS[f"texture_{which}"].make(poor)
        assert torch.equal(found[[0, 2, 3]], poor.images[[0, 2, 3]])
        assert not torch.equal(found[1], poor.images[1])
    assert torch.equal(VARIANTS["colour_same"].make(poor)[[0, 2]], poor.images[[0, 2]])


def test_patches_lie_inside_masks_of_large_images() -> None:
    size = 132, 140
    masks = ellipses(5, size)
    masks[:, :, 7::29, 3::31] = 0  # a pixel is enough to keep a square out
    sides = patch_sides(*size)
    assert sides == (66, 44, 33, 22, 16, 8)
    found = find_patches(masks, sides)
    for row in (0, 1):
        mask = masks[row, 0].double().numpy()
        for place, side in enumerate(sides):
            every = squares(mask, side)
            fits, top, left = (column[row, place].item() for column in found)
            if fits:
                ours = [s for s in every if s[1:] == (top, left)]
                assert ours
                assert ours[0][0] ** 0.5 <= min(every)[0] ** 0.5 + 2 * 2**0.5
            else:  # places are two pixels apart: only what barely fits is missed
                assert not squares(mask, side + 2)
        assert found.fits[row].any()


@pytest.mark.parametrize(
    ("size", "sides"), [((32, 40), (16, 10, 8, 5, 4)), ((12, 9), (4,)), ((5, 30), (2,)), ((1, 1), (1,))]
)
def test_sides_of_patches(size: tuple[int, int], sides: tuple[int, ...]) -> None:
    assert patch_sides(*size) == sides


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_plain(name: str) -> None:
    """In range, without gradient, the same again, in another memory format, row by row, and in low precision."""
    given, variant = views(low=0.0, high=1.0), VARIANTS[name]
    kept = [tensor.clone() for part in parts(given) for tensor in (part.images, part.masks, part.backgrounds)]
    found = variant.make(replace(given, images=given.images.clone().requires_grad_()))
    assert variant.name == name
    assert found.dtype == torch.float32
    assert found.shape == given.images.shape
    assert not found.requires_grad
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(found, variant.make(given))
    last = [part.images.contiguous(memory_format=torch.channels_last) for part in parts(given)]
    same, other = replace(given.same, images=last[1]), replace(given.other, images=last[2])  # type: ignore[type-var]
    torch.testing.assert_close(variant.make(replace(given, images=last[0], same=same, other=other)), found)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(variant.make(given), found)
    one = [Donors(p.images[2:3], p.masks[2:3], p.backgrounds[2:3]) for p in parts(given)]
    alone = replace(
        given,
        images=one[0].images,
        masks=one[0].masks,
        backgrounds=one[0].backgrounds,
        same=one[1],
        other=one[2],
        uniforms=given.uniforms[2:3],
    )
    torch.testing.assert_close(variant.make(alone), found[2:3])
    held = [tensor for part in parts(given) for tensor in (part.images, part.masks, part.backgrounds)]
    assert all(torch.equal(a, b) for a, b in zip(kept, held, strict=True))


def test_the_registry_agrees_with_itself() -> None:
    assert all(name == variant.name for name, variant in VARIANTS.items())
    for cue, swap in SWAPS.items():
        assert (swap.cue, swap.same, swap.other) == (cue, f"{cue}_same", f"{cue}_other")
        assert {VARIANTS[swap.same].needs_masks, VARIANTS[swap.other].needs_masks} == {swap.needs_masks}
    without = replace(views(), masks=None, backgrounds=None, same=Donors(pictures(2)), other=Donors(pictures(3)))
    for variant in VARIANTS.values():
        if not variant.needs_masks:
            assert variant.make(without).shape == (B, 3, H, W)
            assert variant.usable(without).all()


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("background_same", {"same": None}, "views.same is None: draw them first"),
        ("texture_other", {"other": None}, "views.other is None"),
        ("only_foreground", {"masks": None}, "Views.masks is None: give masks"),
        ("background_other", {"other": Donors(pictures(2))}, "Donors.backgrounds is None: read composites"),
        ("only_background", {"backgrounds": None}, "Views.backgrounds is None"),
        ("shuffle_8", {"images": torch.zeros(B, 3, 7, 9)}, "images of 7 x 9 have no grid of 8 x 8 patches"),
        ("shuffle_4", {"uniforms": torch.zeros(B, 15)}, "needs 16 uniforms, not 15"),
    ],
)
def test_what_cannot_be_made_is_refused(name: str, change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as error:
        VARIANTS[name].make(replace(views(), **change))
    assert "\n" not in str(error.value)
