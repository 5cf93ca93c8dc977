from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from grpo.errors import InputError, ShapeError
from grpo.oracles.queues import erlang_c, solve_robust_queue

Float64 = NDArray[np.float64]


def cobham(rates: Float64, order: tuple[int, ...], mu: float, servers: int) -> Float64:
    """Mean waits of strict priority, W_k = C / (c mu) / ((1 - s_{k-1}) (1 - s_k))."""
    waits, load = np.zeros(len(rates)), 0.0
    residual = erlang_c(rates.sum() / mu, servers) / (servers * mu)
    for k in order:
        waits[k] = residual / ((1 - load) * (1 - load - rates[k] / (servers * mu)))
        load += rates[k] / (servers * mu)
    return waits


def test_erlang_c_of_one_server_is_its_utilisation() -> None:
    assert erlang_c(0.8, 1) == pytest.approx(0.8)


def test_erlang_c_of_two_servers_follows_the_formula() -> None:
    # a = 1, c = 2: (a^2/2)(2/(2-1)) / (1 + a + that) = 1 / 3.
    assert erlang_c(1.0, 2) == pytest.approx(1 / 3)


def test_three_weighted_groups_have_the_published_optimum() -> None:
    """Case group_robust_mm1: all weighted waits equal 8.07263."""
    weights = np.diag([1.0, 1.5, 2.5])
    rates = np.array([0.25, 0.4, 0.2])
    best = solve_robust_queue(rates, 1.0, 1, np.vstack([np.zeros(3), weights]), weight=1.0)
    assert best.value == pytest.approx(8.0726257)
    np.testing.assert_allclose(best.waits, [8.0726257, 5.3817505, 3.2290503], rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), servers=st.integers(1, 12), load=st.floats(0.1, 0.95))
def test_at_weight_zero_the_best_is_a_strict_order_and_that_of_c_mu(
    seed: int, servers: int, load: float
) -> None:
    rng = np.random.default_rng(seed)
    rates, costs = rng.uniform(0.1, 1, 4), rng.uniform(0.1, 5, 4)
    rates *= load * servers / rates.sum()
    heads = np.vstack([rates * costs, np.eye(4)])
    best = solve_robust_queue(rates, 1.0, servers, heads, weight=0.0)
    orders = [heads[0] @ cobham(rates, o, 1.0, servers) for o in itertools.permutations(range(4))]
    by_cost = tuple(int(k) for k in np.argsort(-costs))
    assert best.value == pytest.approx(min(orders), rel=1e-6)
    assert best.value == pytest.approx(heads[0] @ cobham(rates, by_cost, 1.0, servers), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), weight=st.floats(0, 1))
def test_no_mixture_of_strict_orders_beats_the_program(seed: int, weight: float) -> None:
    rng = np.random.default_rng(seed)
    rates = rng.uniform(0.05, 0.3, 3)
    heads = rng.uniform(0.1, 2, (3, 3))
    best = solve_robust_queue(rates, 1.0, 1, heads, weight=weight)
    corners = np.array([cobham(rates, o, 1.0, 1) for o in itertools.permutations(range(3))])
    for mixture in rng.dirichlet(np.full(6, 0.3), size=50):
        costs = heads @ (mixture @ corners)
        assert (1 - weight) * costs[0] + weight * costs[1:].max() >= best.value - 1e-9


def test_equal_groups_are_served_first_come_first_served() -> None:
    rates = np.array([0.25, 0.4, 0.2])
    best = solve_robust_queue(rates, 1.0, 1, np.vstack([np.zeros(3), np.eye(3)]), weight=1.0)
    np.testing.assert_allclose(best.waits, np.full(3, 0.85 / 0.15), rtol=1e-6)


def test_bad_queues_are_refused() -> None:
    rates, heads = np.array([0.5, 0.6]), np.ones((2, 2))
    with pytest.raises(InputError, match="unstable"):
        solve_robust_queue(rates, 1.0, 1, heads, weight=0.5)
    with pytest.raises(ShapeError):
        solve_robust_queue(rates, 1.0, 2, heads[:1], weight=0.5)
    with pytest.raises(InputError, match="/arrival_rates"):
        solve_robust_queue(-rates, 1.0, 2, heads, weight=0.5)
    with pytest.raises(InputError, match="/service_rate"):
        solve_robust_queue(rates, 0.0, 2, heads, weight=0.5)
    with pytest.raises(InputError, match="/weight"):
        solve_robust_queue(rates, 1.0, 2, heads, weight=2.0)
