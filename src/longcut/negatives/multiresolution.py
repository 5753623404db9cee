"""Compiled kernels of multi-resolution synthesis: each pixel takes the example pixel that fits its surroundings best.

A colour is three fields of ten bits in one word; the canvas holds 255 minus its colour, so that one addition gives the
three differences to an example's pixel, shifted by 255: places in a table of costs. Costs are integers: no order of
summation and no processor changes what is chosen. Random and coherent candidates are compared by the same offsets.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from longcut.negatives.texture_atlas import WEIGHT_STEPS, WHITE, Atlas, Canvas, Offsets, Scratch, Tables

_FIELD = 1023

_compiled = numba.njit(nogil=True, cache=True)
_inlined = numba.njit(nogil=True, cache=True, inline="always")


@_inlined
def random_word(state: NDArray[np.uint64]) -> Any:
    """Next 64 random bits: splitmix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    word = state[0]
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


@_compiled
def shuffle(items: NDArray[np.int32], state: NDArray[np.uint64]) -> None:
    """Fisher-Yates."""
    for last in range(len(items) - 1, 0, -1):
        other = np.int64(((random_word(state) >> np.uint64(32)) * np.uint64(last + 1)) >> np.uint64(32))
        items[last], items[other] = items[other], items[last]


@_inlined
def random_place(atlas: Atlas, state: NDArray[np.uint64]) -> Any:
    """A pixel of an example: the example first, so that small ones are drawn as often as large ones."""
    word = random_word(state)
    example = (word >> np.uint64(48)) * np.uint64(len(atlas.tops)) >> np.uint64(16)
    row = (word >> np.uint64(24) & np.uint64(0xFFFFFF)) * np.uint64(atlas.heights[example]) >> np.uint64(24)
    column = (word & np.uint64(0xFFFFFF)) * np.uint64(atlas.widths[example]) >> np.uint64(24)
    return np.int32(atlas.tops[example] + np.int64(row) * atlas.stride + np.int64(column))


@_compiled
def neighbours_by_offsets(
    at: int,
    wanted: int,
    resolved: NDArray[np.uint8],
    offsets: Offsets,
    near: NDArray[np.int32],
    shift: NDArray[np.int32],
    squares: NDArray[np.int32],
) -> int:
    """The nearest resolved pixels within the offsets' reach; how many were found."""
    count = 0
    for n in range(len(offsets.canvas)):
        shift[count] = n
        count += resolved[np.uintp(at + offsets.canvas[n])]
        if count == wanted:
            break
    for n in range(count):
        offset = shift[n]
        near[n], shift[n], squares[n] = at + offsets.canvas[offset], offsets.atlas[offset], offsets.squares[offset]
    return count


@_compiled
def neighbours_in_list(
    at: int,
    wanted: int,
    places: NDArray[np.int32],
    stride: int,
    atlas: Atlas,
    near: NDArray[np.int32],
    shift: NDArray[np.int32],
    squares: NDArray[np.int32],
) -> int:
    """The nearest of a list of resolved pixels, `at` left out; how many were found."""
    count = 0
    top, left = at // stride, at % stride
    for place in places:
        down, right = place // stride - top, place % stride - left
        square = down * down + right * right
        if square == 0 or abs(down) > atlas.down or abs(right) > atlas.right:
            continue
        if count == wanted and square >= squares[count - 1]:
            continue
        count = min(count + 1, wanted)
        slot = count - 1
        while slot > 0 and squares[slot - 1] > square:
            near[slot], shift[slot], squares[slot] = near[slot - 1], shift[slot - 1], squares[slot - 1]
            slot -= 1
        near[slot], shift[slot], squares[slot] = place, down * atlas.stride + right, square
    return count


@_inlined
def find_neighbours(
    turn: int,
    wanted: int,
    resolved: int,
    order: NDArray[np.int32],
    canvas: Canvas,
    atlas: Atlas,
    offsets: Offsets,
    scratch: Scratch,
) -> Any:
    """The nearest resolved pixels around `order[turn]`: by a list while they are few, then by offsets."""
    known: Any = max(turn, resolved)
    count = 0
    by_offsets = known * known * 3 > wanted * len(order)
    if by_offsets:
        count = neighbours_by_offsets(
            order[turn], wanted, canvas.resolved, offsets, scratch.near, scratch.shift, scratch.squares
        )
    if not by_offsets or (count < wanted and not offsets.complete):
        count = neighbours_in_list(
            order[turn], wanted, order[:known], canvas.stride, atlas, scratch.near, scratch.shift, scratch.squares
        )
    return count


@_compiled
def weigh(
    count: int,
    squares: NDArray[np.int32],
    shift: NDArray[np.int32],
    weights: NDArray[np.int32],
    by_ratio: NDArray[np.int32],
) -> int:
    """Weights exp(-d^2 / mean d^2) of the neighbours, filled up with zeros to whole fours and eight; their sum."""
    scale = WEIGHT_STEPS * count / squares[:count].sum()
    total = 0
    for n in range(count):
        step = np.int64(squares[n] * scale)
        weights[n] = by_ratio[step] if step < len(by_ratio) else 0
        total += weights[n]
    for n in range(count, max((count + 3) // 4 * 4, 8)):
        shift[n], weights[n] = 0, 0
    return total


@_compiled
def coherent_candidates(
    turn: int,
    count: int,
    near: NDArray[np.int32],
    shift: NDArray[np.int32],
    source: NDArray[np.int32],
    stamps: NDArray[np.int32],
    candidates: NDArray[np.int32],
) -> int:
    """Where each neighbour's source goes on, inside the examples and each place once; how many."""
    found = 0
    for n in range(count):
        place = source[np.uintp(near[n])] - shift[n]
        if stamps[np.uintp(place)] < turn:
            stamps[np.uintp(place)] = turn
            candidates[found] = place
            found += 1
    return found


@_inlined
def cost_of_one(
    place: Any,
    n: Any,
    colours: NDArray[np.uint32],
    shift: NDArray[np.int32],
    negative: NDArray[np.uint32],
    weight: NDArray[np.int32],
    cost: NDArray[np.int32],
) -> Any:
    """Weighted cost of a candidate at its n-th neighbour."""
    sums = colours[np.uintp(place + shift[n])] + negative[n]
    of_channels = (
        cost[np.uintp(sums & np.uint32(_FIELD))]
        + cost[np.uintp((sums >> np.uint32(10)) & np.uint32(_FIELD))]
        + cost[np.uintp(sums >> np.uint32(20))]
    )
    return np.int64(of_channels) * np.int64(weight[n])


@_inlined
def cost_of_four(
    place: Any,
    n: Any,
    colours: NDArray[np.uint32],
    shift: NDArray[np.int32],
    negative: NDArray[np.uint32],
    weight: NDArray[np.int32],
    cost: NDArray[np.int32],
) -> Any:
    """Weighted cost at four neighbours; written out, as a loop would be compiled to slower gathers."""
    return (
        cost_of_one(place, n, colours, shift, negative, weight, cost)
        + cost_of_one(place, n + 1, colours, shift, negative, weight, cost)
        + cost_of_one(place, n + 2, colours, shift, negative, weight, cost)
        + cost_of_one(place, n + 3, colours, shift, negative, weight, cost)
    )


@_compiled
def cheapest(
    found: int,
    count: int,
    candidates: NDArray[np.int32],
    costs: NDArray[np.int64],
    colours: NDArray[np.uint32],
    shift: NDArray[np.int32],
    negative: NDArray[np.uint32],
    weight: NDArray[np.int32],
    cost: NDArray[np.int32],
) -> int:
    """Number of the cheapest candidate, whose whole cost is left in `costs`, which holds the guide's share at first.

    The eight nearest neighbours are compared for all candidates at once; the rest for the one that leads, then for
    those that can still win.
    """
    leader = 0
    for n in range(found):
        costs[n] += cost_of_four(candidates[n], 0, colours, shift, negative, weight, cost)
        costs[n] += cost_of_four(candidates[n], 4, colours, shift, negative, weight, cost)
        if costs[n] < costs[leader]:
            leader = n
    for n in range(8, count, 4):
        costs[leader] += cost_of_four(candidates[leader], n, colours, shift, negative, weight, cost)
    best = costs[leader]
    for rival in range(found):
        n = 8
        while n < count and costs[rival] < best and rival != leader:
            costs[rival] += cost_of_four(candidates[rival], n, colours, shift, negative, weight, cost)
            n += 4
        if costs[rival] < best:
            best, leader = costs[rival], rival
    return leader


@_compiled
def resolve(
    first: int,
    last: int,
    resolved: int,
    level: int,
    wanted: int,
    num_random: int,
    order: NDArray[np.int32],
    canvas: Canvas,
    atlas: Atlas,
    offsets: Offsets,
    tables: Tables,
    scratch: Scratch,
    state: NDArray[np.uint64],
) -> None:
    """Give the pixels `order[first:last]` their colours; the first `resolved` of all have one already.

    Stamps must be lower than the number of each pixel plus one.
    """
    colours = atlas.colours[level]
    for turn in range(first, last):
        at = order[turn]
        count = find_neighbours(turn, wanted, resolved, order, canvas, atlas, offsets, scratch)
        place = random_place(atlas, state)
        if count:
            for n in range(count):
                scratch.negative[n] = canvas.negative[scratch.near[n]]
            total = weigh(count, scratch.squares, scratch.shift, scratch.weight, tables.weight)
            found = coherent_candidates(
                turn + 1, count, scratch.near, scratch.shift, canvas.source, scratch.stamps, scratch.candidates
            )
            for _ in range(num_random):
                scratch.candidates[found] = random_place(atlas, state)
                found += 1
            for n in range(found):
                difference = np.int64(canvas.guide[at]) - np.int64(atlas.guide[scratch.candidates[n]])
                scratch.costs[n] = total * tables.guide[abs(difference)]
            near = scratch.shift, scratch.negative, scratch.weight
            n = cheapest(found, count, scratch.candidates, scratch.costs, colours, *near, tables.cost)
            place = scratch.candidates[n]
        canvas.source[at] = place
        canvas.negative[at] = np.uint32(WHITE) - colours[place]
        canvas.resolved[at] = 1


@_compiled
def recolour(places: NDArray[np.int32], colours: NDArray[np.uint32], canvas: Canvas) -> None:
    """Give resolved pixels the colours that their sources have in another level."""
    for place in places:
        canvas.negative[place] = np.uint32(WHITE) - colours[canvas.source[place]]
