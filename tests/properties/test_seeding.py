"""Keyed draws: Philox's published answers, and nothing but the key decides."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longcut.core.seeding import (
    Stream,
    generator_states,
    generators_kept,
    keyed_uniforms,
    philox,
    restore_generators,
    seed_everything,
)

# From the test vectors of the authors' library, Random123.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> np.ndarray:
    return np.array([int(word, 16) for word in text.split()], np.uint64)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_published_answers(counter: str, key: str, answer: str) -> None:
    assert philox(words(counter), words(key)).tolist() == words(answer).tolist()


def test_many_counters_at_once() -> None:
    counters = np.stack([words(counter) for counter, _, _ in KNOWN])
    for row, counter in enumerate(counters):
        assert (philox(counters, words(KNOWN[2][1]))[row] == philox(counter, words(KNOWN[2][1]))).all()


indices_ = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=8)


@settings(max_examples=80)
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), indices_, st.sampled_from(Stream), st.integers(1, 9))
def test_a_row_depends_on_its_key_alone(seed: int, epoch: int, indices: list[int], stream: Stream, count: int) -> None:
    together = keyed_uniforms(seed, epoch, indices, stream, count)
    assert together.shape == (len(indices), count)
    assert ((together >= 0) & (together < 1)).all()
    for row, index in enumerate(indices):
        assert (keyed_uniforms(seed, epoch, [index], stream, count)[0] == together[row]).all()
    assert (keyed_uniforms(seed, epoch, indices[::-1], stream, count) == together[::-1]).all()
    assert (keyed_uniforms(seed, epoch, indices, stream, count + 3)[:, :count] == together).all()


def test_every_part_of_the_key_counts() -> None:
    keys = [(0, 0, 0, Stream.IMAGE), (1, 0, 0, Stream.IMAGE), (2**32, 0, 0, Stream.IMAGE), (0, 1, 0, Stream.IMAGE)]
    keys += [(0, 0, 1, Stream.IMAGE)] + [(0, 0, 0, stream) for stream in Stream if stream is not Stream.IMAGE]
    draws = {tuple(keyed_uniforms(seed, epoch, [index], stream, 4)[0]) for seed, epoch, index, stream in keys}
    assert len(draws) == len(keys)
    assert len({x for row in draws for x in row}) == 4 * len(keys)


def test_they_are_the_words_of_philox() -> None:
    found = keyed_uniforms(0xA4093822 + (0x299F31D0 << 32), 7, [5], Stream.COMPOSITE, 8)[0]
    blocks = [philox(np.array([5, 7, 2, block], np.uint64), words("a4093822 299f31d0")) for block in (0, 1)]
    assert found.tolist() == (np.concatenate(blocks) / 2.0**32).tolist()


def test_uniform_and_uncorrelated() -> None:
    draws = keyed_uniforms(3, 1, np.arange(10_000), Stream.IMAGE, 6)
    counts = np.histogram(draws, bins=100, range=(0, 1))[0]
    chi_square = ((counts - 600) ** 2 / 600).sum()
    assert abs(chi_square - 99) < 4 * np.sqrt(2 * 99)
    lagged = np.corrcoef(np.concatenate([draws.T, np.roll(draws, 1, axis=0).T]))
    assert np.abs(lagged - np.eye(12)).max() < 4.5 / np.sqrt(10_000)


def drawn() -> list[float]:
    """Draws from each global generator, an odd number of those that are made in pairs."""
    return [*torch.rand(3).tolist(), *np.random.randn(3), np.random.rand(), random.gauss(0, 1), random.random()]  # noqa: NPY002


def test_global_generators_are_seeded_and_restored(tmp_path: Path) -> None:
    with generators_kept():
        seed_everything(2**40 + 5)
        first = drawn()
        torch.save(generator_states(), tmp_path / "states.pt")
        rest = drawn()
        seed_everything(2**40 + 5)
        assert drawn() == first
        drawn()
        restore_generators(torch.load(tmp_path / "states.pt", weights_only=True))
        assert drawn() == rest


def test_generators_are_kept_through_what_draws_and_fails() -> None:
    @generators_kept()
    def fail() -> None:
        seed_everything(4)
        raise KeyError

    with generators_kept():
        seed_everything(3)
        expected = drawn()
        seed_everything(3)
        with pytest.raises(KeyError):
            fail()
        assert drawn() == expected
