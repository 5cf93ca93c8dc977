"""Formulas of queueing theory, independent of the simulator; each names its source."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from grpo.oracles.queues import erlang_c


def erlang_c_case(rate: float, speed: float, servers: int) -> dict[str, Any]:
    """M/M/c (Erlang 1917): P(W > t) = C exp(-(c mu - lambda) t)."""
    load, spare = rate / speed, servers * speed - rate
    waits = erlang_c(load, servers)
    return {
        "params": {"arrival_rate": rate, "service_rate": speed, "servers": servers},
        "expected": {
            "p_wait": waits,
            "mean_wait": waits / spare,
            "mean_queue": rate * waits / spare,
            "mean_wait_given_wait": 1 / spare,
            "p_wait_gt_30min": waits * math.exp(-spare / 2),
            "p95_wait": math.log(waits / 0.05) / spare,
            "utilisation": load / servers,
        },
    }


def erlang_b_case(rate: float, mean: float, servers: int) -> dict[str, Any]:
    """M/G/c/c: B(0) = 1, B(k) = a B(k-1) / (k + a B(k-1))."""
    blocking = 1.0
    for k in range(1, servers + 1):
        blocking = rate * mean * blocking / (k + rate * mean * blocking)
    return {
        "params": {"arrival_rate": rate, "service_mean": mean, "servers": servers},
        "expected": {"p_loss": blocking, "mean_busy": rate * mean * (1 - blocking)},
    }


def erlang_a_case(rate: float, speed: float, servers: int, patience: float) -> dict[str, Any]:
    """M/M/c+M (Palm 1957): a birth-death chain, dying at min(n, c) mu + max(n - c, 0) theta."""
    n = np.arange(1, 2000)
    deaths = np.minimum(n, servers) * speed + np.maximum(n - servers, 0) * patience
    logs = np.concatenate([[0.0], np.cumsum(np.log(rate) - np.log(deaths))])
    p = np.exp(logs - logs.max())
    p /= p.sum()
    states = np.arange(2000)
    queue = float(np.maximum(states - servers, 0) @ p)
    return {
        "params": {
            "arrival_rate": rate,
            "service_rate": speed,
            "servers": servers,
            "patience_rate": patience,
        },
        "expected": {
            "p_wait": float(p[servers:].sum()),
            "p_abandon": patience * queue / rate,
            "mean_wait_all": queue / rate,
            "mean_queue": queue,
            "utilisation": float(np.minimum(states, servers) @ p) / servers,
        },
    }


def cobham_case(rates: Sequence[float], speed: float, servers: int) -> dict[str, Any]:
    """M/M/c with strict priority (Cobham 1954): W_k = C / (c mu) / ((1 - s_{k-1}) (1 - s_k))."""
    capacity = servers * speed
    waits = erlang_c(sum(rates) / speed, servers) / capacity
    sums = np.concatenate([[0.0], np.cumsum(rates)]) / capacity
    by_class = waits / ((1 - sums[:-1]) * (1 - sums[1:]))
    return {
        "params": {"arrival_rates": list(rates), "service_rate": speed, "servers": servers},
        "expected": {
            "mean_wait": by_class.tolist(),
            "mean_wait_overall": float(by_class @ rates / sum(rates)),
        },
    }


def accumulating_case(
    rates: Sequence[float], speed: float, slopes: Sequence[float]
) -> dict[str, Any]:
    """M/M/1 by accumulating priority (Kleinrock 1964); classes from the steepest slope down."""
    loads = np.array(rates) / speed
    fcfs = loads.sum() / speed / (1 - loads.sum())
    waits = np.zeros(len(rates))
    for p in reversed(range(len(rates))):
        slower = sum(
            loads[i] * waits[i] * (1 - slopes[i] / slopes[p]) for i in range(p + 1, len(rates))
        )
        faster = sum(loads[i] * (1 - slopes[p] / slopes[i]) for i in range(p))
        waits[p] = (fcfs - slower) / (1 - faster)
    return {
        "params": {
            "arrival_rates": list(rates),
            "service_rate": speed,
            "servers": 1,
            "accumulation_rates": list(slopes),
        },
        "expected": {"mean_wait": waits.tolist()},
    }


def pollaczek_khinchine_case(rate: float, mean: float, cv: float) -> dict[str, Any]:
    """M/G/1: Wq = lambda E[S^2] / (2 (1 - rho))."""
    load = rate * mean
    wait = rate * mean**2 * (1 + cv**2) / (2 * (1 - load))
    return {
        "params": {"arrival_rate": rate, "service_mean": mean, "service_cv": cv},
        "expected": {"mean_wait": wait, "p_wait": load, "mean_queue": rate * wait},
    }


def product_form_case(
    rates: Sequence[float],
    means: Sequence[float],
    needs: Sequence[Sequence[int]],
    capacities: Sequence[int],
) -> dict[str, Any]:
    """Loss network (Kelly 1991): P(n) in proportion to prod a_k^n_k / n_k!, where n fits."""
    loads, table, room = np.array(rates) * means, np.array(needs), np.array(capacities)
    most = [int(min(room[need > 0] // need[need > 0])) for need in table]
    states = np.array(
        [n for n in product(*(range(m + 1) for m in most)) if (np.array(n) @ table <= room).all()]
    )
    weights = np.array(
        [
            math.prod(a**n / math.factorial(n) for a, n in zip(loads, row, strict=True))
            for row in states
        ]
    )
    weights /= weights.sum()
    losses = [float(weights[((states @ table + need) > room).any(axis=1)].sum()) for need in table]
    return {
        "params": {
            "arrival_rates": list(rates),
            "service_mean_h": list(means),
            "needs": [list(need) for need in needs],
            "capacities": list(capacities),
            "resource_names": ["bed", "nurse_unit"],
        },
        "expected": {"p_loss": losses, "mean_use": (weights @ (states @ table)).tolist()},
    }
