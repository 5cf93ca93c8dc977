"""``tanh`` and ``exp`` in single precision, written so that loops over them are vectorised.

The processor's compiler makes 16 at a time of these, and one at a time of the C library's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from grpo.jit import NO_WRAPPERS, jit

f32 = np.float32

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract"},
    "_nrt": False,
}
compiled = jit(**OPTIONS)
"""IEEE arithmetic, but products are added unrounded where the processor can; IEEE's division."""
internal = jit(**OPTIONS, **NO_WRAPPERS)
"""The same for what only compiled functions call."""
merged = jit(**OPTIONS, inline="always")
"""The same, merged into the only caller before that is compiled; never compiled alone."""

TANH_LIMIT = f32(7.9053111)
"""Beyond this, tanh is 1 in single precision."""
EXP_LIMIT = f32(-87.0)
"""Below this, exp is hardly a normal number, and taken as 0."""
LOG2_E = f32(1.44269504)
LN_2_HIGH, LN_2_LOW = f32(0.693359375), f32(-2.12194440e-4)
"""Logarithm of 2 in two parts; multiples of the first have no rounding error."""
EXPONENT_BIAS, MANTISSA_BITS = np.int32(127), np.int32(23)


@internal
def tanh(x: np.float32) -> np.float32:  # pragma: no cover - compiled
    """Return the hyperbolic tangent in single precision, to 3e-7 of its value; nan for nan.

    Source: a ratio of polynomials of degrees 13 and 6, minimax on the range where tanh is not 1,
    with the coefficients that the Eigen library publishes.
    """
    x = TANH_LIMIT if x > TANH_LIMIT else x
    x = -TANH_LIMIT if x < -TANH_LIMIT else x
    s = x * x
    top = f32(-2.76076847742355e-16) * s + f32(2.00018790482477e-13)
    top = top * s + f32(-8.60467152213735e-11)
    top = top * s + f32(5.12229709037114e-08)
    top = top * s + f32(1.48572235717979e-05)
    top = top * s + f32(6.37261928875436e-04)
    top = top * s + f32(4.89352455891786e-03)
    bottom = f32(1.19825839466702e-06) * s + f32(1.18534705686654e-04)
    bottom = bottom * s + f32(2.26843463243900e-03)
    bottom = bottom * s + f32(4.89352518554385e-03)
    return x * top / bottom


@internal
def exp_of_negative(x: np.float32) -> np.float32:  # pragma: no cover - compiled
    """Return exp(x) for x <= 0 in single precision, to 2e-7 of its value; 0 below -87.

    ``x = n ln 2 + r``: a polynomial in r, times 2 to the n, which is put together from its bits.
    Source: Cephes library, expf.
    """
    bounded = EXP_LIMIT if x < EXP_LIMIT else x
    n = np.floor(bounded * LOG2_E + f32(0.5))
    r = bounded - n * LN_2_HIGH - n * LN_2_LOW
    p = f32(1.9875691500e-4) * r + f32(1.3981999507e-3)
    p = p * r + f32(8.3334519073e-3)
    p = p * r + f32(4.1665795894e-2)
    p = p * r + f32(1.6666665459e-1)
    p = p * r + f32(5.0000001201e-1)
    p = p * r * r + r + f32(1.0)
    power = np.int32((np.int32(n) + EXPONENT_BIAS) << MANTISSA_BITS).view(np.float32)
    return f32(0.0) if x < EXP_LIMIT else p * power
