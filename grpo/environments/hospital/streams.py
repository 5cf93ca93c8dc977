"""Random numbers inside kernels: one xoshiro256++ generator per hospital and cause.

States are explicit arrays [N, C, 4] uint64, so that they can be saved, restored and compared.
Source: Blackman and Vigna, Scrambled linear pseudorandom number generators, 2021.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.kernel import kernel
from grpo.environments.hospital.laws import LAW_EXPONENTIAL, LAW_LOGNORMAL, LAW_NONE

TWO_TO_MINUS_53 = 1.0 / 9007199254740992.0


@kernel
def draw_uniform(streams: NDArray[np.uint64], i: int, cause: int) -> float:
    """Draw from the uniform law on [0, 1), 53 bits, and advance the generator."""
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
    return np.float64(result >> np.uint64(11)) * TWO_TO_MINUS_53


@kernel
def draw_exponential(streams: NDArray[np.uint64], i: int, cause: int) -> float:
    """Draw from the exponential law with mean 1."""
    return -math.log(1.0 - draw_uniform(streams, i, cause))


@kernel
def draw_normal(streams: NDArray[np.uint64], i: int, cause: int) -> float:
    """Draw from the standard normal law (Box and Muller, one of the pair: always two uniforms)."""
    radius = math.sqrt(-2.0 * math.log(1.0 - draw_uniform(streams, i, cause)))
    return radius * math.cos(2.0 * math.pi * draw_uniform(streams, i, cause))


@kernel
def draw_time(
    table: NDArray[np.float64],
    row: int,
    column: int,
    streams: NDArray[np.uint64],
    i: int,
    cause: int,
) -> float:
    """Draw hours from the law in ``table[row, column : column + 3]``; infinity without one."""
    law = table[row, column]
    first, second = float(table[row, column + 1]), float(table[row, column + 2])
    if law == LAW_NONE:
        return math.inf
    if law == LAW_EXPONENTIAL:
        return first * draw_exponential(streams, i, cause)
    if law == LAW_LOGNORMAL:
        return math.exp(first + second * draw_normal(streams, i, cause))
    return first
