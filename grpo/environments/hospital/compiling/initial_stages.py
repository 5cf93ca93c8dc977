"""How full the later stages are when a run begins: as in the long run, if nobody had to wait.

Stays on wards last days; from empty wards a typical state would be weeks away. With Poisson
arrivals and no waiting, the number in a stage is Poisson with mean (visits per hour) * (mean stay),
and what is left of each stay has the stationary-excess law, density P(S > u) / E[S].

Source: Eick, Massey and Whitt, The physics of the M_t/G/inf queue, 1993, theorem 1.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.model.laws_model import Empirical, Law
from grpo.environments.hospital.model.scenario_model import Scenario
from grpo.environments.hospital.review.law_integrals import mean_of, mean_within

Float64 = NDArray[np.float64]

PIECES = 256
LAST_LEVEL = 1 - 1 / (8 * PIECES)
HALVINGS = 40


def initial_loads(
    scenario: Scenario, rates: Float64, routes: Float64, mean_stays: Float64
) -> Float64:
    """Return [S, Y] mean numbers of patients in the later stages, by type.

    Args:
        scenario: with S stages.
        rates: [Y] arrivals per hour.
        routes: [1 + S, Y, S] chances of going on.
        mean_stays: [1 + S, Y] hours.
    """
    size = len(scenario.stages)
    loads = np.zeros((size, len(rates)))
    for y, rate in enumerate(rates):
        onward = np.eye(size) - routes[1:, y].T
        loads[:, y] = rate * np.linalg.solve(onward, routes[0, y]) * mean_stays[1:, y]
    return loads


@lru_cache(maxsize=64)
def residual_law(stay: Law) -> Empirical:
    """Return the stationary-excess law of a stay, as a table of quantiles.

    Quantiles are found by bisection; the last level stands for the far tail.
    """
    levels = np.linspace(0.0, 1.0, PIECES + 1)
    levels[-1] = LAST_LEVEL
    mean = mean_of(stay)
    upper = np.array([mean])
    while mean_within(stay, upper)[0] < LAST_LEVEL * mean:
        upper *= 2
    low, high = np.zeros(PIECES + 1), np.full(PIECES + 1, upper[0])
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = mean_within(stay, middle) < levels * mean
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    hours = np.maximum.accumulate(high)
    return Empirical(quantile_hours=tuple(float(x) for x in hours))
