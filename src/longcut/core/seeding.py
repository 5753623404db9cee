"""Randomness that depends on what it is for, and on nothing else.

Draws that are keyed by (seed, epoch, index) are the same whatever process makes them and in whatever order, so results
do not depend on the number of workers and a run resumes anywhere. They come from Philox4x32-10, the counter-based
generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): the key is the seed, the counter is
what the draw is for, and a whole batch is drawn at once.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


class Stream(IntEnum):
    """What a keyed draw is for: draws of different streams are independent."""

    ORDER = 0
    IMAGE = 1
    COMPOSITE = 2
    BACKGROUND = 3
    BUILDER = 4
    MIXED = 5
    VIEW = 6
    NON_SEMANTIC = 7
    PARTNER = 8
    FETCHED = 9
    SHIFT = 10
    BIAS = 11
    CORRUPTION = 12
    LENDER = 13


def philox(counter: NDArray[np.uint64], key: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Philox4x32 with ten rounds.

    Args:
        counter: `[..., 4]` words of 32 bits, held in 64.
        key: `[2]` words of 32 bits, held in 64.

    Returns:
        `[..., 4]` random words of 32 bits, held in 64.
    """
    c0, c1, c2, c3 = (counter[..., i] for i in range(4))
    k0, k1 = key
    for _ in range(10):
        p0, p1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _LOW, (p0 >> _HALF) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return np.stack([c0, c1, c2, c3], axis=-1)


def keyed_uniforms(seed: int, epoch: int, indices: ArrayLike, stream: Stream, count: int) -> NDArray[np.float64]:
    """Uniform draws in [0, 1) keyed by (seed, epoch, index, stream).

    Args:
        seed: the run's seed, 64 bits.
        epoch: 0 to 2**32 - 1.
        indices: `[b]` positions in the dataset, 0 to 2**32 - 1.
        stream: what the draws are for.
        count: how many draws each index gets.

    Returns:
        `[b, count]`; a row depends on its own key alone.
    """
    indices = np.atleast_1d(np.asarray(indices, dtype=np.uint64))
    blocks = -(-count // 4)
    counter = np.empty((len(indices), blocks, 4), np.uint64)
    counter[..., 0] = indices[:, None]
    counter[..., 1] = epoch
    counter[..., 2] = int(stream)
    counter[..., 3] = np.arange(blocks)
    key = np.array([seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF], np.uint64)
    words = philox(counter, key).reshape(len(indices), blocks * 4)
    return words[:, :count] / 2.0**32


def keyed_seed(key: str, seed: int) -> int:
    """A seed of 64 bits for what is named by `key`, under another seed."""
    return zlib.crc32(key.encode()) << 32 | seed & 0xFFFFFFFF


def seed_everything(seed: int) -> None:
    """Seed torch's, numpy's and Python's global generators (networks' starting weights, dropout)."""
    import torch

    torch.manual_seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)  # noqa: NPY002 - what strangers' code draws from
    random.seed(seed)


def generator_states() -> dict[str, Any]:
    """State of torch's, numpy's and Python's global generators, in types that `torch.load(weights_only=True)` reads."""
    import torch

    state: Any = np.random.get_state()  # noqa: NPY002
    _, words, *rest = state
    return {
        "cpu": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [torch.from_numpy(words.astype(np.int64)), *rest],
        "python": random.getstate(),
    }


def restore_generators(states: dict[str, Any]) -> None:
    """Put back what `generator_states` took; numpy's and Python's stay as they are where a file has none of theirs."""
    import torch

    torch.set_rng_state(states["cpu"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
    if "numpy" in states:
        words, *rest = states["numpy"]
        np.random.set_state(("MT19937", words.numpy(), *rest))  # noqa: NPY002
        random.setstate(states["python"])


@contextmanager
def generators_kept() -> Iterator[None]:
    """Leave the global generators as they were before the block."""
    states = generator_states()
    try:
        yield
    finally:
        restore_generators(states)
