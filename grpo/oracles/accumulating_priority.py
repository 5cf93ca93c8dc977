"""The exact mean waits of the accumulating priority queue with one server."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from grpo.errors import InputError, ShapeError

Float64 = NDArray[np.float64]


def accumulating_priority_waits(
    arrival_rates: Float64, service_rate: float, slopes: Float64
) -> Float64:
    """Return the mean waits [K] of an M/M/1 queue that serves the largest ``slope * wait`` next.

    ``W_p = [W_f - Σ_{b_i<b_p} ρ_i W_i (1 - b_i / b_p)] / [1 - Σ_{b_i>b_p} ρ_i (1 - b_p / b_i)]``
    with ``W_f = (ρ / μ) / (1 - ρ)``, the wait under FCFS.

    Args:
        arrival_rates: [K] λ > 0.
        service_rate: μ > 0 of every class, with Σ λ < μ.
        slopes: [K] b > 0, priority per unit of waiting.

    Raises:
        ShapeError: the two differ in shape.
        InputError: a rate out of range, or a load that the server cannot carry.

    Source: Kleinrock, A delay dependent queue discipline, Naval Research Logistics Quarterly 11,
        1964, equation 10.
    """
    if arrival_rates.ndim != 1 or arrival_rates.shape != slopes.shape:
        raise ShapeError(f"expected two arrays [K], got {arrival_rates.shape}, {slopes.shape}")
    if not service_rate > 0 or (arrival_rates <= 0).any() or (slopes <= 0).any():
        raise InputError.single("/slopes", "out of range", given=slopes, allowed="rates above 0")
    loads = arrival_rates / service_rate
    if loads.sum() >= 1:
        raise InputError.single(
            "/arrival_rates", "unstable", given=loads.sum(), allowed="a load below 1"
        )
    fcfs = loads.sum() / service_rate / (1 - loads.sum())
    waits = np.zeros_like(loads)
    for p in np.argsort(slopes):
        below, above = slopes < slopes[p], slopes > slopes[p]
        taken = (loads * waits * (1 - slopes / slopes[p]))[below].sum()
        given = (loads * (1 - slopes[p] / slopes))[above].sum()
        waits[p] = (fcfs - taken) / (1 - given)
    return waits
