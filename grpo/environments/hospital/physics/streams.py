"""Random numbers inside kernels, all of them functions of explicit states.

A hospital has one xoshiro256++ generator per cause; the states [N, C, 4] can be saved, restored
and compared. Arrivals draw the times between them and, for every patient, a key of 64 bits. All
that concerns the patient is a function of his key and of what is asked (``subkey``), never of
when it is asked: so two policies face the same patients.

Sources: Blackman and Vigna, Scrambled linear pseudorandom number generators, 2021; Steele, Lea and
Flood, Fast splittable pseudorandom number generators, 2014 (the finaliser of ``scramble``).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.laws import (
    LAW_CONSTANT,
    LAW_EMPIRICAL,
    LAW_EXPONENTIAL,
    LAW_LOGNORMAL,
    LAW_NONE,
    LAW_WEIBULL,
)
from grpo.environments.hospital.physics.kernel import inlined, internal
from grpo.environments.hospital.physics.ziggurat import (
    EXPONENTIAL_EDGES,
    EXPONENTIAL_TAIL,
    NORMAL_EDGES,
    NORMAL_TAIL,
)

Key = np.uint64
TWO_TO_MINUS_53 = 1.0 / 9007199254740992.0
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
SECOND_FACTOR = np.uint64(0x94D049BB133111EB)
LAYER_BITS = np.uint64(255)
SIGN_BIT = np.uint64(256)
# What the subkey that gives a patient's type is for.
TYPE_KEY = 0
APART = np.uint64(0xD1B54A32D192ED03)


@inlined
def draw_key(streams: NDArray[np.uint64], i: int, cause: int) -> Key:
    """Draw 64 bits and advance the generator of a cause."""
    s0, s1 = streams[i, cause, 0], streams[i, cause, 1]
    s2, s3 = streams[i, cause, 2], streams[i, cause, 3]
    mixed = s0 + s3
    result = ((mixed << np.uint64(23)) | (mixed >> np.uint64(41))) + s0
    shifted = s1 << np.uint64(17)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= shifted
    s3 = (s3 << np.uint64(45)) | (s3 >> np.uint64(19))
    streams[i, cause, 0], streams[i, cause, 1] = s0, s1
    streams[i, cause, 2], streams[i, cause, 3] = s2, s3
    return np.uint64(result)


@inlined
def draw_uniform(streams: NDArray[np.uint64], i: int, cause: int) -> float:
    """Draw from the uniform law on [0, 1), 53 bits, and advance the generator."""
    return uniform_of(draw_key(streams, i, cause))


@inlined
def scramble(key: Key) -> Key:
    """Return the successor of a key: every bit depends on every bit."""
    z = key + GOLDEN
    z = (z ^ (z >> np.uint64(30))) * FIRST_FACTOR
    z = (z ^ (z >> np.uint64(27))) * SECOND_FACTOR
    return np.uint64(z ^ (z >> np.uint64(31)))


@inlined
def subkey(key: Key, purpose: int) -> Key:
    """Return the key of one of a patient's facts; other purposes give independent ones."""
    return scramble(np.uint64(key + np.uint64(purpose) * GOLDEN))


@inlined
def step_aside(key: Key) -> Key:
    """Return another key, off the chain of successors that a rejection goes along."""
    return scramble(np.uint64(key ^ APART))


@inlined
def uniform_of(key: Key) -> float:
    """Return a number of the uniform law on [0, 1), 53 bits."""
    return np.float64(key >> np.uint64(11)) * TWO_TO_MINUS_53


@internal
def exponential_of(key: Key) -> float:
    """Return a number of the exponential law with mean 1."""
    start = 0.0
    while True:
        layer = np.int64(key & LAYER_BITS)
        x = uniform_of(key) * EXPONENTIAL_EDGES[layer]
        if x < EXPONENTIAL_EDGES[layer + 1]:
            return float(start + x)
        key = scramble(key)
        if layer == 0:
            # Beyond the last edge the law begins anew.
            start += EXPONENTIAL_TAIL
            continue
        lower = math.exp(x - EXPONENTIAL_EDGES[layer])
        upper = math.exp(x - EXPONENTIAL_EDGES[layer + 1])
        if lower + uniform_of(key) * (upper - lower) < 1.0:
            return float(start + x)
        key = scramble(key)


@internal
def normal_of(key: Key) -> float:
    """Return a number of the standard normal law."""
    while True:
        layer = np.int64(key & LAYER_BITS)
        sign = 1.0 if (key & SIGN_BIT) > np.uint64(0) else -1.0
        x = uniform_of(key) * NORMAL_EDGES[layer]
        if x < NORMAL_EDGES[layer + 1]:
            return float(sign * x)
        key = scramble(key)
        if layer == 0:
            # The tail, by rejection from an exponential (Marsaglia 1964).
            while True:
                beyond = exponential_of(key) / NORMAL_TAIL
                key = step_aside(key)
                height = exponential_of(key)
                key = step_aside(key)
                if 2.0 * height > beyond * beyond:
                    return float(sign * (NORMAL_TAIL + beyond))
        lower = math.exp(0.5 * (x * x - NORMAL_EDGES[layer] ** 2))
        upper = math.exp(0.5 * (x * x - NORMAL_EDGES[layer + 1] ** 2))
        if lower + uniform_of(key) * (upper - lower) < 1.0:
            return float(sign * x)
        key = scramble(key)


@internal
def gamma_of(key: Key, shape: float) -> float:
    """Return a number of the gamma law with scale 1 (Marsaglia and Tsang 2000)."""
    factor = 1.0
    if shape < 1.0:
        factor = math.exp(-exponential_of(key) / shape)
        key = step_aside(key)
        shape += 1.0
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = normal_of(key)
        key = step_aside(key)
        v = (1.0 + c * x) ** 3
        if v > 0.0:
            height = exponential_of(key)
            if -height < 0.5 * x * x + d - d * v + d * math.log(v):
                return float(factor * d * v)
        key = step_aside(key)


@internal
def time_of(  # noqa: PLR0911 - one return for each law
    key: Key, laws: NDArray[np.float64], row: int, quantiles: NDArray[np.float64]
) -> float:
    """Return hours of the law ``laws[row]`` (see ``laws.law_row``); infinity without a law."""
    law = laws[row, 0]
    first, second = float(laws[row, 1]), float(laws[row, 2])
    if law == LAW_NONE:
        return math.inf
    if law == LAW_EXPONENTIAL:
        return first * exponential_of(key)
    if law == LAW_LOGNORMAL:
        return math.exp(first + second * normal_of(key))
    if law == LAW_CONSTANT:
        return first
    if law == LAW_WEIBULL:
        return float(first * exponential_of(key) ** second)
    if law == LAW_EMPIRICAL:
        start, last = int(first), int(second) - 1
        place = uniform_of(key) * last
        below = min(int(place), last - 1)
        low, high = quantiles[start + below], quantiles[start + below + 1]
        return float(laws[row, 3] * (low + (place - below) * (high - low)))
    return first * gamma_of(key, second)


@inlined
def type_of(aliases: NDArray[np.float64], source: int, key: Key) -> int:
    """Return the type that a key means among the arrivals of a source."""
    place = uniform_of(subkey(key, TYPE_KEY)) * aliases.shape[1]
    column = int(place)
    if place - column < aliases[source, column, 0]:
        return column
    return int(aliases[source, column, 1])
