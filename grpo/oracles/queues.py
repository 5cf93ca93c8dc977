"""The exact group-robust optimum of a multiclass queue with one service rate.

The mean waits of all work-conserving, non-anticipating, non-preemptive rules of an M/M/c queue
fill a polymatroid whose corners are the strict priority orders.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from grpo.errors import GRPOError, InputError, ShapeError

Float64 = NDArray[np.float64]

MAX_CLASSES = 10


@dataclass(frozen=True, eq=False)
class QueueOptimum:
    """The best mean waits and what they cost.

    Attributes:
        value: ``(1 - w) c_0 + w max_g c_g``, smaller is better.
        waits: [K] mean waits that reach it, in the unit of 1 / rates.
    """

    value: float
    waits: Float64


def erlang_c(offered_load: float, num_servers: int) -> float:
    """Return the probability that an arrival of an M/M/c queue must wait.

    Args:
        offered_load: arrival rate over service rate, in (0, num_servers).
        num_servers: c >= 1.

    Raises:
        InputError: a load that the servers cannot carry.

    Source: Erlang 1917; the recursion of B in c, then C = B / (1 - ρ (1 - B)).
    """
    if num_servers < 1 or not 0 < offered_load < num_servers:
        allowed = f"above 0 and below {num_servers} servers"
        raise InputError.single("/offered_load", "unstable", given=offered_load, allowed=allowed)
    blocking = 1.0
    for servers in range(1, num_servers + 1):
        blocking = offered_load * blocking / (servers + offered_load * blocking)
    return blocking / (1 - offered_load / num_servers * (1 - blocking))


def solve_robust_queue(
    arrival_rates: Float64,
    service_rate: float,
    num_servers: int,
    costs: Float64,
    *,
    weight: float,
) -> QueueOptimum:
    """Minimise ``(1 - w) costs_0 · W + w max_g costs_g · W`` over the waits W of all rules.

    For every set S of classes ``Σ_S λ_k W_k >= λ_S C / (c μ (1 - ρ_S))``, ρ_S = λ_S / (c μ) and C
    the Erlang C probability, with equality for the set of all classes.

    Args:
        arrival_rates: [K] λ > 0, K <= 10.
        service_rate: μ > 0, one for all classes.
        num_servers: c >= 1.
        costs: [1 + G, K] cost per unit of mean wait: everybody, then the groups, G >= 1.
        weight: w in [0, 1].

    Raises:
        ShapeError: costs does not fit.
        InputError: rates or weight out of range, or a load that the servers cannot carry.
        GRPOError: the solver did not reach the optimum.

    Source: Federgruen and Groenevelt, Management Science 34, 1988, theorem 2; Coffman and Mitrani
        1980 for the polymatroid.
    """
    _check_queue(arrival_rates, service_rate, costs, weight)
    subsets, least = _waiting_bounds(arrival_rates, service_rate, num_servers)
    # In units of the wait under FCFS, since the solver's tolerance is absolute.
    unit = least[-1] / arrival_rates.sum()
    least = least / unit
    padded = np.hstack([-subsets * arrival_rates, np.zeros((len(subsets), 1))])
    groups = np.hstack([costs[1:], -np.ones((len(costs) - 1, 1))])
    found = linprog(
        np.append((1 - weight) * costs[0], weight),
        np.vstack([padded[:-1], groups]),
        np.concatenate([-least[:-1], np.zeros(len(groups))]),
        -padded[-1:],
        least[-1:],
        [(0, None)] * len(arrival_rates) + [(None, None)],
        method="highs",
    )
    if not found.success or found.x is None:
        raise GRPOError(f"no optimum of the queue: {found.message}")
    waits: Float64 = unit * found.x[:-1]
    value = (1 - weight) * costs[0] @ waits + weight * (costs[1:] @ waits).max()
    return QueueOptimum(float(value), waits)


def _check_queue(
    arrival_rates: Float64, service_rate: float, costs: Float64, weight: float
) -> None:
    """Refuse what is no queue, before anything is computed."""
    num_classes = len(arrival_rates)
    if costs.ndim != 2 or costs.shape[0] < 2 or costs.shape[1] != num_classes:
        raise ShapeError(f"costs must be [1 + G, {num_classes}], not {costs.shape}")
    if not 1 <= num_classes <= MAX_CLASSES or (arrival_rates <= 0).any():
        allowed = f"1 to {MAX_CLASSES} positive rates"
        raise InputError.single(
            "/arrival_rates", "out of range", given=arrival_rates, allowed=allowed
        )
    if not service_rate > 0:
        raise InputError.single("/service_rate", "out of range", given=service_rate, allowed="> 0")
    if not 0 <= weight <= 1:
        raise InputError.single("/weight", "outside its range", given=weight, allowed="[0, 1]")


def _waiting_bounds(
    arrival_rates: Float64, service_rate: float, num_servers: int
) -> tuple[Float64, Float64]:
    """Return all non-empty sets [2^K - 1, K] as 0/1 rows, the full one last, and their bounds."""
    num_classes = len(arrival_rates)
    codes = np.arange(1, 2**num_classes)
    subsets = ((codes[:, None] >> np.arange(num_classes)) & 1).astype(np.float64)
    rates = subsets @ arrival_rates
    capacity = num_servers * service_rate
    waiting = erlang_c(float(arrival_rates.sum()) / service_rate, num_servers)
    return subsets, rates * (waiting / capacity) / (1 - rates / capacity)
