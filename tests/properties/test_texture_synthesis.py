"""A texture is made of its examples' pixels, fits them, and depends on the arguments alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, product

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from longcut.negatives import quilting
from longcut.negatives.multiresolution import (
    cheapest,
    coherent_candidates,
    neighbours_by_offsets,
    neighbours_in_list,
    recolour,
    resolve,
    weigh,
)
from longcut.negatives.quality import texture_quality
from longcut.negatives.texture_atlas import (
    NUM_LEVELS,
    OUTSIDE,
    Atlas,
    Canvas,
    make_atlas,
    make_canvas,
    make_offsets,
    make_scratch,
    make_tables,
    reset_stamps,
    unpack,
)
from longcut.negatives.texture_synthesis import synthesize_texture, texture_examples

Image = NDArray[np.uint8]
LAST = NUM_LEVELS - 1


def sawtooth(height: int, width: int) -> Image:
    """Tilted ramps that fall steeply: no mirror image of themselves."""
    y, x = np.mgrid[:height, :width]
    return np.stack([(x * 23 + y * 9) % 256, (x * 5 + y * 31) % 256, (x * 11 - y * 7) % 256], -1).astype(np.uint8)


def blots(height: int, width: int, seed: int = 0) -> Image:
    """Reddish noise with bluish bars."""
    draw = np.random.default_rng(seed)
    image = draw.integers(0, 60, (height, width, 3)) + np.array([140, 60, 20])
    image[(np.arange(height) // 4) % 3 == 0] = [20, 40, 200]
    return image.astype(np.uint8)


def colours(*images: Image) -> set[tuple[int, ...]]:
    return {tuple(pixel) for image in images for pixel in image.reshape(-1, 3).tolist()}


def copied(example: Image) -> tuple[Canvas, Atlas, NDArray[np.int32]]:
    """A canvas that is a copy of an example, with the places of its pixels."""
    height, width = example.shape[:2]
    canvas, atlas = make_canvas(height, width, None), make_atlas([example], None)
    order = np.flatnonzero(canvas.inside).astype(np.int32)
    rows, columns = np.divmod(np.arange(len(order)), width)
    canvas.source[order] = atlas.tops[0] + rows * atlas.stride + columns
    canvas.resolved[order] = 1
    recolour(order, atlas.colours[LAST], canvas)
    return canvas, atlas, order


def shown(canvas: Canvas, atlas: Atlas, place: int) -> tuple[int, ...]:
    return tuple(unpack(atlas.colours[LAST][canvas.source[place : place + 1]])[0].tolist())


def resolve_again(
    canvas: Canvas, atlas: Atlas, order: NDArray[np.int32], *, wanted: int, num_random: int, coherent: bool = True
) -> None:
    """Resolve the first pixel of an order of resolved ones."""
    offsets = make_offsets(canvas.stride, atlas.stride, atlas.down, atlas.right)
    scratch = make_scratch(atlas, wanted, num_random)
    reset_stamps(scratch, atlas)
    if not coherent:
        scratch.stamps[:] = 2**31 - 1
    tables = make_tables(1.0, 0.25, 0.0)
    state = np.array([3], np.uint64)
    resolve(0, 1, len(order), LAST, wanted, num_random, order, canvas, atlas, offsets, tables, scratch, state)


@pytest.mark.parametrize("share", [0.02, 0.4, 1.0])
def test_neighbours_are_the_nearest_resolved_ones_and_never_the_pixel_itself(share: float) -> None:
    height, width, wanted = 30, 41, 20
    canvas, atlas = make_canvas(height, width, None), make_atlas([sawtooth(90, 70)], None)
    offsets = make_offsets(canvas.stride, atlas.stride, atlas.down, atlas.right)
    inside = np.flatnonzero(canvas.inside).astype(np.int32)
    places = np.random.default_rng(0).permutation(inside)[: max(int(share * len(inside)), 25)]
    canvas.resolved[places] = 1
    rows, columns = np.divmod(places, canvas.stride)
    for at in places[:10]:
        squares = np.sort((rows - at // canvas.stride) ** 2 + (columns - at % canvas.stride) ** 2)
        by_offsets, in_list = make_scratch(atlas, wanted, 1), make_scratch(atlas, wanted, 1)
        parts = by_offsets.near, by_offsets.shift, by_offsets.squares
        assert neighbours_by_offsets(at, wanted, canvas.resolved, offsets, *parts) == wanted
        parts = in_list.near, in_list.shift, in_list.squares
        assert neighbours_in_list(at, wanted, places, canvas.stride, atlas, *parts) == wanted
        for found in (by_offsets, in_list):
            assert found.squares[:wanted].tolist() == squares[squares > 0][:wanted].tolist()
            assert at not in found.near[:wanted]
            assert len(set(found.near[:wanted].tolist())) == wanted
            down, right = (
                found.near // canvas.stride - at // canvas.stride,
                found.near % canvas.stride - at % canvas.stride,
            )
            assert (found.shift == down * atlas.stride + right)[:wanted].all()


def test_the_cheapest_candidate_is_that_of_the_formula() -> None:
    draw = np.random.default_rng(1)
    example = draw.integers(0, 256, (12, 9, 3), dtype=np.uint8)
    atlas, tables, wanted = make_atlas([example], None), make_tables(1.0, 0.25, 0.0), 13
    for _ in range(20):
        offsets = draw.permutation([o for o in product(range(-6, 7), repeat=2) if o != (0, 0)])[:wanted]
        offsets = offsets[np.argsort((offsets**2).sum(1), kind="stable")]
        around = draw.integers(0, 256, (wanted, 3))
        places = draw.permutation(list(np.ndindex(12, 9)))[:40]
        squares = (offsets**2).sum(1)
        expected = [by_loops(example, place, offsets, around, np.exp(-squares / squares.mean())) for place in places]
        scratch = make_scratch(atlas, wanted, 40)
        scratch.squares[:wanted], scratch.shift[:wanted] = squares, offsets @ [atlas.stride, 1]
        scratch.negative[:wanted] = (255 - around) @ [1, 1 << 10, 1 << 20]
        weigh(wanted, scratch.squares, scratch.shift, scratch.weight, tables.weight)
        scratch.candidates[:40] = atlas.tops[0] + places @ [atlas.stride, 1]
        parts = scratch.shift, scratch.negative, scratch.weight
        best = cheapest(40, wanted, scratch.candidates, scratch.costs, atlas.colours[LAST], *parts, tables.cost)
        assert scratch.costs[best] / 2**26 == pytest.approx(expected[best], rel=0.02)
        assert expected[best] <= min(expected) * 1.02


def by_loops(example: Image, place: Image, offsets: Image, around: Image, weights: NDArray[np.float64]) -> float:
    cost = 0.0
    for offset, colour, weight in zip(offsets, around, weights, strict=True):
        y, x = place + offset
        there = 0 <= y < example.shape[0] and 0 <= x < example.shape[1]
        for channel in range(3):
            difference = (float(example[y, x, channel]) - colour[channel]) / 255 if there else 0.25
            cost += weight * np.log(1 + difference**2)
    return cost


def test_candidates_carry_on_what_the_neighbours_were_copied_from_once_each() -> None:
    canvas, atlas, order = copied(sawtooth(10, 10))
    scratch = make_scratch(atlas, 50, 1)
    offsets = make_offsets(canvas.stride, atlas.stride, atlas.down, atlas.right)
    middle = order[5 * 10 + 4]
    count = neighbours_by_offsets(middle, 50, canvas.resolved, offsets, scratch.near, scratch.shift, scratch.squares)
    reset_stamps(scratch, atlas)
    parts = scratch.near, scratch.shift, canvas.source, scratch.stamps, scratch.candidates
    assert coherent_candidates(1, count, *parts) == 1
    assert scratch.candidates[0] == canvas.source[middle]
    canvas.source[order] = atlas.tops[0]  # nothing goes on up or left of a corner
    found = coherent_candidates(2, count, *parts)
    assert 0 < found < count
    assert (atlas.colours[LAST][scratch.candidates[:found]] != OUTSIDE).all()


@pytest.mark.parametrize("number", [6 * 24 + 17, 12 * 24 + 12, 17 * 24 + 6])
def test_random_candidates_are_compared_as_they_lie_not_mirrored(number: int) -> None:
    example = sawtooth(24, 24)
    canvas, atlas, order = copied(example)
    order = np.roll(order, -number)
    canvas.source[order[0]] = atlas.tops[0]
    resolve_again(canvas, atlas, order, wanted=20, num_random=6000, coherent=False)
    assert shown(canvas, atlas, order[0]) == tuple(example.reshape(-1, 3)[number].tolist())


def test_a_pixel_has_no_say_in_its_own_renewal() -> None:
    example = sawtooth(24, 24)
    canvas, atlas, order = copied(example)
    number = 12 * 24 + 12
    wrong, beside = order[number], order[number + 1]
    canvas.source[wrong] = canvas.source[order[3 * 24 + 20]]
    recolour(np.array([wrong]), atlas.colours[LAST], canvas)
    canvas.resolved[:] = 0
    canvas.resolved[[wrong, beside]] = 1
    resolve_again(canvas, atlas, np.array([wrong, beside], np.int32), wanted=2, num_random=0)
    assert shown(canvas, atlas, wrong) == tuple(example.reshape(-1, 3)[number].tolist())


@pytest.mark.parametrize("mode", ["multiresolution", "quilting"])
def test_the_bytes_depend_on_the_arguments_alone(mode: str) -> None:
    examples = [blots(24, 24), blots(20, 30, 1)]

    def make(seed: int) -> Image:
        return synthesize_texture(examples, size=(31, 40), seed=seed, mode=mode)

    first, other = make(5), make(6)
    assert first.shape == (31, 40, 3)
    assert first.dtype == np.uint8
    assert (first != other).any()
    with ThreadPoolExecutor(2) as pool:
        again = list(pool.map(make, [5, 6, 5, 6]))
    assert all((image == expected).all() for image, expected in zip(again, [first, other] * 2, strict=True))


@pytest.mark.parametrize("mode", ["multiresolution", "quilting"])
@pytest.mark.parametrize("size", [1, 2, (3, 17), (40, 5), 48])
def test_every_pixel_is_an_example_s(mode: str, size: int | tuple[int, int]) -> None:
    for examples in ([blots(1, 1)], [blots(2, 3)], [blots(30, 9), blots(5, 41, 1)], [blots(70, 200)]):
        texture = synthesize_texture(examples, size=size, seed=0, mode=mode)
        assert texture.shape == ((size, size) if isinstance(size, int) else size) + (3,)
        assert colours(texture) <= colours(*examples)


@pytest.mark.parametrize("mode", ["multiresolution", "quilting"])
def test_an_example_of_one_colour_gives_that_colour(mode: str) -> None:
    for colour in ([0, 0, 0], [255, 255, 255], [7, 90, 200]):
        example = np.full((16, 16, 3), colour, np.uint8)
        assert colours(synthesize_texture([example], size=20, seed=0, mode=mode)) == {tuple(colour)}


@pytest.mark.parametrize("mode", ["multiresolution", "quilting"])
def test_a_texture_fits_its_examples(mode: str) -> None:
    examples = [blots(40, 40), blots(40, 40, 1)]
    quality = texture_quality(synthesize_texture(examples, size=64, seed=0, mode=mode), examples)
    assert quality.relative_distance < 0.3
    assert quality.colour_distance < 0.1
    stripes = [sawtooth(40, 40)]
    assert texture_quality(synthesize_texture(stripes, size=64, seed=0, mode=mode), stripes).relative_distance < 0.3


def test_both_examples_are_used() -> None:
    examples = [blots(20, 20) // 2, blots(20, 20, 1) // 2 + 128]
    seen = colours(synthesize_texture(examples, size=96, seed=1))
    assert all(len(seen & colours(example)) > 40 for example in examples)


def test_a_guide_steers_light_and_dark() -> None:
    y, x = np.mgrid[:64, :64]
    disc = (y - 31) ** 2 + (x - 33) ** 2 < 25**2
    guide = np.where(disc, 230, 20)[..., None].repeat(3, 2).astype(np.uint8)
    examples = [np.hstack([blots(40, 20) // 3, blots(40, 20, 1) // 3 + 150])]
    light = {
        s: synthesize_texture(examples, size=64, seed=0, guide=guide, guide_strength=s).mean(2) for s in (0.0, 0.8)
    }
    plain = synthesize_texture(examples, size=64, seed=0)
    assert (light[0.0] == plain.mean(2)).all()
    likeness = {s: abs(np.corrcoef(light[s].ravel(), disc.ravel())[0, 1]) for s in light}
    assert likeness[0.8] > 0.8 > 2 * likeness[0.0]


def test_two_examples_are_cut_from_an_image() -> None:
    y, x = np.mgrid[:150, :256]
    image = np.stack([y, x, y * 0], -1).astype(np.uint8)
    for (height, width), side in {
        (150, 256): 96,
        (96, 97): 96,
        (95, 256): 48,
        (48, 60): 48,
        (47, 60): 47,
        (1, 9): 1,
    }.items():
        corners = []
        for uniforms in ([0.0, 0.0], [1 - 2**-32, 1 - 2**-32]):
            centre, part = texture_examples(image[:height, :width], uniforms)
            assert centre.shape == part.shape == (side, side, 3)
            assert centre[0, 0].tolist() == [(height - side) // 2, (width - side) // 2, 0]
            corners.append(part[0, 0, :2].tolist())
        assert corners == [[0, 0], [height - side, width - side]]
    with pytest.raises(ValueError, match="no pixels"):
        texture_examples(image[:0], [0.5, 0.5])


def test_what_cannot_be_is_refused() -> None:
    example = blots(8, 8)
    bad = {
        "at least one example": {"examples": []},
        r"example 1 must be uint8 \[h, w, 3\].*not float64": {"examples": [example, example / 255]},
        r"example 0 must be .*not uint8 \[8, 8\]": {"examples": [example[..., 0]]},
        r"example 0 must be .*not uint8 \[0, 8, 3\]": {"examples": [example[:0]]},
        "size of at least 1, not 0 x 0": {"size": 0},
        "size of at least 1, not 5 x -1": {"size": (5, -1)},
        r"guide uint8 \[8, 8, 3\] must have the texture's size 9 x 9": {"guide": example, "size": 9},
        "guide must be uint8": {"guide": example[..., :1]},
        "guide_strength is from 0 to 1, not 1.5": {"guide": example, "guide_strength": 1.5},
        "takes no guide": {"guide": example, "mode": "quilting"},
        "not 'patches'": {"mode": "patches"},
    }
    for message, arguments in bad.items():
        with pytest.raises(ValueError, match=message) as error:
            synthesize_texture(**{"examples": [example], "size": 8, "seed": 0, **arguments})
        assert "\n" not in str(error.value)


def test_the_seam_is_the_cheapest_path() -> None:
    difference = np.random.default_rng(0).integers(0, 100, (6, 4))
    seam = quilting._before_seam(difference).sum(1)
    assert all(abs(a - b) <= 1 for a, b in pairwise(seam.tolist()))
    paths = (p for p in product(range(4), repeat=6) if all(abs(a - b) <= 1 for a, b in pairwise(p)))
    assert difference[range(6), seam].sum() == min(difference[range(6), p].sum() for p in paths)


def test_overlap_errors_are_squared_differences() -> None:
    example, there = blots(11, 9), blots(6, 6, 1)
    for above, left in ((0, 0), (2, 0), (0, 3), (2, 3)):
        found = quilting._overlap_errors(example, there, above, left)
        counted = np.zeros((6, 6, 1), bool)
        counted[:above], counted[:, :left] = True, True
        for y, x in np.ndindex(6, 4):
            squares = (example[y : y + 6, x : x + 6].astype(int) - there) ** 2
            assert found[y, x] == pytest.approx((squares * counted).sum(), rel=1e-4, abs=1)


def test_a_block_is_drawn_where_it_fits() -> None:
    examples, draw = [blots(20, 20), blots(20, 20, 1)], np.random.default_rng(0)
    part = examples[1][5:13, 9:17]
    for above, left in ((2, 0), (0, 2), (2, 2)):
        there = np.zeros_like(part)
        there[:above], there[:, :left] = part[:above], part[:, :left]
        assert (quilting._draw_patch(examples, there, above, left, draw) == part).all()


def test_quality_is_zero_for_the_example_itself_and_its_formula_elsewhere() -> None:
    example, texture = blots(15, 17), sawtooth(14, 13)
    same = texture_quality(example, [example])
    assert same.patch_distance == same.coverage_distance == same.colour_distance == same.histogram_distance == 0
    found = texture_quality(texture, [example, texture[:3]], patch_size=5)
    made, given = (
        [image[y : y + 5, x : x + 5] / 255 for y, x in np.ndindex(image.shape[0] - 4, image.shape[1] - 4)]
        for image in (texture, example)
    )
    distances = np.array([[np.sqrt(((a - b) ** 2).mean()) for b in given] for a in made])
    assert found.patch_distance == pytest.approx(distances.min(1).mean(), rel=1e-4)
    assert found.coverage_distance == pytest.approx(distances.min(0).mean(), rel=1e-4)
    values = np.concatenate([example.reshape(-1, 3), texture[:3].reshape(-1, 3)])
    moved = [scipy.stats.wasserstein_distance(texture[..., c].ravel(), values[:, c]) / 255 for c in range(3)]
    assert found.colour_distance == pytest.approx(np.mean(moved))
    bins = [
        [np.bincount(v[:, c] // 8, minlength=32) / len(v) for c in range(3)] for v in (texture.reshape(-1, 3), values)
    ]
    chi2 = [0.5 * ((a - b) ** 2 / (a + b + 1e-30)).sum() for a, b in zip(*bins, strict=True)]
    assert found.histogram_distance == pytest.approx(np.mean(chi2))


def test_baselines_bracket_a_texture() -> None:
    quality = texture_quality(sawtooth(40, 40), [sawtooth(60, 60)])
    assert quality.patch_distance < 1e-3 < quality.shuffled_distance
    assert 0 < quality.held_out_distance < quality.shuffled_distance
    assert np.isnan(texture_quality(blots(9, 9), [blots(9, 9)]).held_out_distance)
    assert texture_quality(np.zeros((9, 9, 3), np.uint8), [np.zeros((9, 9, 3), np.uint8)]).relative_distance == 0


def test_quality_needs_a_patch() -> None:
    for texture, example in ((blots(6, 9), blots(9, 9)), (blots(9, 9), blots(9, 6))):
        with pytest.raises(ValueError, match="patches of 7 px"):
            texture_quality(texture, [example])
