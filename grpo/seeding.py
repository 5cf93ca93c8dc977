"""One seed, spawned into named generators: nothing in the library draws from global randomness."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray


def make_seed_sequence(seed: int, name: str) -> np.random.SeedSequence:
    """Return the seed sequence of a named purpose; other names give independent streams."""
    return np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()),))


def make_generator(seed: int, name: str) -> np.random.Generator:
    """Return a NumPy generator for a named purpose, e.g. ``make_generator(1, "minibatches")``."""
    return np.random.Generator(np.random.PCG64(make_seed_sequence(seed, name)))


def derive_seed(seed: int, name: str) -> int:
    """Return a seed below 2**63 for a named purpose, for code that wants an integer."""
    return int(make_seed_sequence(seed, name).generate_state(1, np.uint64)[0] >> np.uint64(1))


def make_stream_states(seed: int, first: int, count: int, num_causes: int) -> NDArray[np.uint64]:
    """Return initial states of the simulator's generators.

    The state of hospital i depends on (seed, i) only, so results do not depend on how many
    hospitals run beside it.

    Args:
        seed: 0 <= seed < 2**63.
        first: index of the first hospital.
        count: number of hospitals, N.
        num_causes: streams per hospital, C.

    Returns:
        [N, C, 4] uint64, a 256-bit state for every hospital and cause of randomness.
    """
    states = np.empty((count, num_causes, 4), dtype=np.uint64)
    for i in range(count):
        sequence = np.random.SeedSequence(seed, spawn_key=(1, first + i))
        states[i] = sequence.generate_state(4 * num_causes, np.uint64).reshape(num_causes, 4)
    return states
