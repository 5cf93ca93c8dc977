from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from grpo.errors import InputError, ShapeError
from grpo.oracles.markov import MarkovOptimum, evaluate_policy, solve_robust_mdp

Float64 = NDArray[np.float64]
HALF = np.array([0.5, 0.5])


def solve_bandit(payoffs: list[list[float]], weight: float) -> MarkovOptimum:
    """One state, gamma 0: rows are actions, columns the two groups."""
    rewards = np.array(payoffs).T[:, None, :]
    stay = np.ones((1, len(payoffs), 1))
    return solve_robust_mdp(stay, rewards, np.ones(1), gamma=0.0, shares=HALF, weight=weight)


def two_queues() -> tuple[Float64, Float64, Float64]:
    """State (n0, n1) in {0, 1}^2, action k empties queue k, then cost, then refills by halves."""
    states = list(itertools.product((0, 1), repeat=2))
    transitions, rewards = np.zeros((4, 2, 4)), np.zeros((2, 4, 2))
    for s, a in itertools.product(range(4), range(2)):
        left = tuple(0 if k == a else n for k, n in enumerate(states[s]))
        rewards[:, s, a] = [-2.0 * left[0], -1.0 * left[1]]
        for t, after in enumerate(states):
            chance = [
                1.0 if n and m else 0.0 if n else 0.5 for n, m in zip(left, after, strict=True)
            ]
            transitions[s, a, t] = chance[0] * chance[1]
    return transitions, rewards, np.array([0.0, 0.0, 0.0, 1.0])


def random_problem(seed: int) -> tuple[Float64, Float64, Float64, Float64]:
    rng = np.random.default_rng(seed)
    transitions = rng.dirichlet(np.ones(3), size=(3, 2))
    shares = rng.dirichlet(np.ones(2))
    return transitions, rng.normal(size=(2, 3, 2)), rng.dirichlet(np.ones(3)), shares


def test_three_armed_bandit_mixes_two_arms_for_the_worst_group() -> None:
    best = solve_bandit([[1, 0], [0, 0.5], [0.3, 0.3]], weight=1.0)
    np.testing.assert_allclose(best.policy[0], [1 / 3, 2 / 3, 0], atol=1e-9)
    np.testing.assert_allclose(best.group_returns, [1 / 3, 1 / 3])


@pytest.mark.parametrize("weight", [0.0, 0.2, 0.33])
def test_three_armed_bandit_ignores_small_weights(weight: float) -> None:
    best = solve_bandit([[1, 0], [0, 0.5], [0.3, 0.3]], weight=weight)
    np.testing.assert_allclose(best.policy[0], [1, 0, 0], atol=1e-9)
    assert best.value == pytest.approx((1 - weight) / 2)


def test_groups_of_unlike_scale_have_the_known_raw_optimum() -> None:
    best = solve_bandit([[10, 0], [0, 1], [6, 0.5]], weight=1.0)
    np.testing.assert_allclose(best.policy[0], [0, 11 / 13, 2 / 13], atol=1e-9)
    assert best.value == pytest.approx(12 / 13)


def test_two_queues_have_the_known_plain_and_robust_optimum() -> None:
    transitions, rewards, start = two_queues()
    plain = solve_robust_mdp(transitions, rewards, start, gamma=0.9, shares=HALF, weight=0.0)
    np.testing.assert_allclose(plain.group_returns, [0, -130 / 31], atol=1e-9)
    assert plain.value == pytest.approx(-65 / 31)
    fair = solve_robust_mdp(transitions, rewards, start, gamma=0.9, shares=HALF, weight=0.5)
    np.testing.assert_allclose(fair.group_returns, [-260 / 93, -260 / 93])
    assert fair.policy[3, 0] == pytest.approx(2 / 3)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), weight=st.floats(0, 1), gamma=st.floats(0, 0.95))
def test_the_policy_earns_what_the_program_says_and_no_other_earns_more(
    seed: int, weight: float, gamma: float
) -> None:
    transitions, rewards, start, shares = random_problem(seed)
    best = solve_robust_mdp(transitions, rewards, start, gamma=gamma, shares=shares, weight=weight)
    returns = evaluate_policy(transitions, rewards, start, best.policy, gamma=gamma)
    np.testing.assert_allclose(returns, best.group_returns, atol=1e-6)
    rng = np.random.default_rng(seed + 1)
    for _ in range(20):
        other = rng.dirichlet(np.full(2, 0.5), size=3)
        rival = evaluate_policy(transitions, rewards, start, other, gamma=gamma)
        assert (1 - weight) * shares @ rival + weight * rival.min() <= best.value + 1e-6


def test_what_is_no_decision_process_is_refused() -> None:
    transitions, rewards, start, shares = random_problem(0)
    with pytest.raises(ShapeError):
        solve_robust_mdp(transitions, rewards[:1], start, gamma=0.5, shares=shares, weight=0.5)
    with pytest.raises(InputError, match="/transitions"):
        solve_robust_mdp(2 * transitions, rewards, start, gamma=0.5, shares=shares, weight=0.5)
    with pytest.raises(InputError, match="/gamma"):
        solve_robust_mdp(transitions, rewards, start, gamma=1.0, shares=shares, weight=0.5)
    with pytest.raises(InputError, match="/weight"):
        solve_robust_mdp(transitions, rewards, start, gamma=0.5, shares=shares, weight=1.5)
    bad = np.full_like(rewards, np.nan)
    with pytest.raises(InputError, match="/rewards"):
        solve_robust_mdp(transitions, bad, start, gamma=0.5, shares=shares, weight=0.5)
