"""What delay costs, and to whom: rates between events, lumps at events.

Between events the cost rate of every head is constant, so costs and their discounting are
integrated exactly: a rate c over [t, t + s] costs c * exp(-beta t) * (1 - exp(-beta s)) / beta.
"""

from __future__ import annotations

import math

from grpo.environments.hospital.compiling.parameters import (
    EXTRA_RATE,
    RATE,
    TARGET,
)
from grpo.environments.hospital.physics.kernel import inlined
from grpo.environments.hospital.physics.state import (
    BOARDING,
    COST_RATE,
    NOW,
    REWARD,
    TOTAL,
    WAITING,
    Float64,
    Int64,
)


@inlined
def add_cost_rate(heads: Float64, weights: Float64, i: int, y: int, rate: float) -> None:
    """Change every head's cost rate by that of one patient who came as type ``y``."""
    for h in range(weights.shape[1]):
        heads[i, h, COST_RATE] += weights[y, h] * rate


@inlined
def clear_cost_rates(heads: Float64, counts: Int64, i: int) -> None:
    """Set the rates to 0 once nobody waits or boards: rounding would drift over months."""
    if counts[i, WAITING] + counts[i, BOARDING] == 0:
        for h in range(heads.shape[1]):
            heads[i, h, COST_RATE] = 0.0


@inlined
def charge(heads: Float64, weights: Float64, i: int, y: int, cost: float, decay: float) -> None:
    """Charge every head a lump sum for one patient who came as type ``y``."""
    for h in range(weights.shape[1]):
        weighted = weights[y, h] * cost
        heads[i, h, REWARD] -= decay * weighted
        heads[i, h, TOTAL] -= weighted


@inlined
def waiting_cost(types: Float64, y: int, first: float, last: float) -> float:
    """Cost of waiting from ``first`` to ``last`` hours after arrival, all as type ``y``.

    At rate c with target T and factor f: c w + (f - 1) c max(w - T, 0), w hours after arrival.
    """
    target = types[y, TARGET]
    late = max(last - target, 0.0) - max(first - target, 0.0)
    return float(types[y, RATE] * (last - first) + types[y, EXTRA_RATE] * late)


@inlined
def pass_time(
    clock: Float64,
    heads: Float64,
    counts: Int64,
    beta: float,
    i: int,
    until: float,
    decay: float,
) -> float:
    """Let time pass without an event; return the decay exp(-beta * hours) at its end.

    Args:
        clock: State.clock, whose NOW moves to ``until``.
        heads: State.heads.
        counts: State.counts.
        beta: discount rate per hour, >= 0.
        i: which hospital.
        until: hours, not before now.
        decay: discount at the present instant, in (0, 1].
    """
    hours = until - clock[i, NOW]
    clock[i, NOW] = until
    later = decay * math.exp(-beta * hours) if beta > 0.0 else decay
    if heads.shape[1] > 0 and counts[i, WAITING] + counts[i, BOARDING] > 0:
        discounted = (decay - later) / beta if beta > 0.0 else hours
        for h in range(heads.shape[1]):
            heads[i, h, REWARD] -= heads[i, h, COST_RATE] * discounted
            heads[i, h, TOTAL] -= heads[i, h, COST_RATE] * hours
    return later
