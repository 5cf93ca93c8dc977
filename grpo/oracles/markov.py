"""The exact group-robust optimum of a small Markov decision process, by its occupancy measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from grpo.errors import GRPOError, InputError, ShapeError

Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MarkovOptimum:
    """The best stochastic policy and what it is worth.

    Attributes:
        value: F, larger is better.
        mean_return: J_0.
        group_returns: [G].
        policy: [S, A] probabilities; uniform where a state is never visited.
    """

    value: float
    mean_return: float
    group_returns: Float64
    policy: Float64


def solve_robust_mdp(
    transitions: Float64,
    rewards: Float64,
    start: Float64,
    *,
    gamma: float,
    shares: Float64,
    weight: float,
) -> MarkovOptimum:
    """Maximise ``(1 - w) Σ p_g J_g + w min_g J_g`` over all stationary stochastic policies.

    Over occupancies d(s, a) >= 0 with ``Σ_a d(s', a) - γ Σ P(s'|s, a) d(s, a) = μ(s')``,
    ``J_g = Σ d R_g`` is linear, and t <= J_g for every g carries the minimum.

    Args:
        transitions: [S, A, S] P(s'|s, a), rows sum to 1.
        rewards: [G, S, A], finite.
        start: [S] distribution of the first state.
        gamma: discount in [0, 1).
        shares: [G] weights p of the groups in the mean, summing to 1.
        weight: w in [0, 1].

    Raises:
        ShapeError: axes differ from those above.
        InputError: for probabilities, a discount or a weight out of range.
        GRPOError: the solver did not reach the optimum.

    Source: Puterman, Markov Decision Processes, 1994, section 6.9 (dual linear program).
    """
    _check(transitions, rewards, start, gamma, shares, weight)
    num_states, num_actions = transitions.shape[:2]
    flat_rewards = rewards.reshape(len(rewards), -1)
    cost = np.append(-(1 - weight) * shares @ flat_rewards, -weight)
    below = np.hstack([-flat_rewards, np.ones((len(rewards), 1))])
    inflow = gamma * transitions.reshape(-1, num_states).T
    flow = np.repeat(np.eye(num_states), num_actions, axis=1) - inflow
    balance = np.hstack([flow, np.zeros((num_states, 1))])
    bounds = [(0, None)] * flat_rewards.shape[1] + [(None, None)]
    found = linprog(cost, below, np.zeros(len(rewards)), balance, start, bounds, method="highs")
    if not found.success or found.x is None:
        raise GRPOError(f"no optimum of the Markov decision process: {found.message}")
    occupancy = np.maximum(found.x[:-1], 0).reshape(num_states, num_actions)
    group_returns = flat_rewards @ occupancy.reshape(-1)
    visits = occupancy.sum(axis=1, keepdims=True)
    uniform = np.full_like(occupancy, 1 / num_actions)
    policy = np.divide(occupancy, visits, out=uniform, where=visits > 0)
    mean_return = float(shares @ group_returns)
    value = (1 - weight) * mean_return + weight * float(group_returns.min())
    return MarkovOptimum(value, mean_return, group_returns, policy)


def evaluate_policy(
    transitions: Float64, rewards: Float64, start: Float64, policy: Float64, *, gamma: float
) -> Float64:
    """Return the exact discounted returns [G] of a stationary policy, by solving for its values.

    Args:
        transitions: [S, A, S].
        rewards: [G, S, A].
        start: [S].
        policy: [S, A] probabilities.
        gamma: discount in [0, 1).

    Source: Puterman 1994, equation 6.1.5.
    """
    under = np.einsum("sa,sat->st", policy, transitions)
    immediate = np.einsum("sa,gsa->sg", policy, rewards)
    values: Float64 = np.linalg.solve(np.eye(len(under)) - gamma * under, immediate)
    returns: Float64 = start @ values
    return returns


def _check(
    transitions: Float64,
    rewards: Float64,
    start: Float64,
    gamma: float,
    shares: Float64,
    weight: float,
) -> None:
    """Refuse what is no Markov decision process."""
    num_states, num_actions = start.shape[0], transitions.shape[1]
    expected = (
        (transitions.shape, (num_states, num_actions, num_states)),
        (rewards.shape, (len(shares), num_states, num_actions)),
    )
    for got, wanted in expected:
        if got != wanted:
            raise ShapeError(f"expected axes {wanted}, got {got}")
    for name, rows in (("transitions", transitions), ("start", start), ("shares", shares)):
        if (rows < 0).any() or not np.allclose(rows.sum(axis=-1), 1, atol=1e-9):
            raise InputError.single(f"/{name}", "not probabilities that sum to 1")
    if not 0 <= gamma < 1:
        raise InputError.single("/gamma", "outside its range", given=gamma, allowed="[0, 1)")
    if not 0 <= weight <= 1:
        raise InputError.single("/weight", "outside its range", given=weight, allowed="[0, 1]")
    if not np.isfinite(rewards).all():
        raise InputError.single("/rewards", "not finite")
