"""Advantage estimation per head, and how heads and groups become the one advantage of PPO."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from grpo.errors import ShapeError

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
Int64 = NDArray[np.int64]


def generalized_advantages(
    *,
    rewards: Float32,
    values: Float32,
    last_values: Float32,
    final_values: Float32,
    discounts: Float32,
    traces: Float32,
    terminated: Bool,
    truncated: Bool,
) -> Float32:
    """Estimate advantages per head, restarting the sum wherever an episode ends.

    ``δ_t = r_t + d_t V'_t − V_t`` and ``A_t = δ_t + d_t λ_t A_{t+1}``, where ``V'_t`` is 0 after a
    terminated step, the critic's value of the observation that a truncated step was cut at, and
    else the value of the next observation. ``A_{t+1}`` is dropped after either end: a time limit
    is no part of the task, but what follows it belongs to another episode.

    Args:
        rewards: [T, N, H] float32, discounted inside each step's interval.
        values: [T, N, H] float32, the critic's values of the observations acted in.
        last_values: [N, H] float32, values of the observations after the last step.
        final_values: [T, N, H] float32, values of final observations; read where truncated.
        discounts: [T, N] float32 in [0, 1], gamma or exp(-beta * elapsed hours).
        traces: [T, N] float32 in [0, 1], the lambda of each step.
        terminated: [T, N] bool.
        truncated: [T, N] bool; where both are set the step counts as terminated.

    Returns:
        [T, N, H] float32. Add ``values`` to get the critic's targets.

    Raises:
        ShapeError: axes differ from those above.

    Source: Schulman et al. 2016, High-dimensional continuous control using generalized advantage
        estimation, equation 16; with one discount and trace per step.
    """
    steps = rewards.shape[:2]
    for name, array, expected in (
        ("values", values, rewards.shape),
        ("final_values", final_values, rewards.shape),
        ("last_values", last_values, rewards.shape[1:]),
        ("discounts", discounts, steps),
        ("traces", traces, steps),
        ("terminated", terminated, steps),
        ("truncated", truncated, steps),
    ):
        if array.shape != expected:
            raise ShapeError(f"{name}: expected {expected}, got {array.shape}")
    next_values = np.concatenate([values[1:], last_values[None]])
    next_values = np.where(truncated[..., None], final_values, next_values)
    alive = discounts * ~terminated
    advantages = rewards + alive[..., None] * next_values - values
    carries = (discounts * traces * ~(terminated | truncated))[..., None]
    for t in range(len(rewards) - 2, -1, -1):
        advantages[t] += carries[t] * advantages[t + 1]
    return np.asarray(advantages, dtype=np.float32)


def center_rewards(
    rewards: Float32, reward_rates: Float64, elapsed: Float32, discount_rate: float
) -> Float32:
    """Subtract what the current policy earns on average, discounted over each step's interval.

    ``r − ρ (1 − e^{−β τ}) / β``: with a constant reward rate ρ the result is exactly 0 whatever the
    durations τ, so that waiting on purpose is neither rewarded nor punished by the centring.

    Args:
        rewards: [T, N, H] float32, discounted inside the interval.
        reward_rates: [H] float64, ρ per hour.
        elapsed: [T, N] float32, τ in hours, at least 0.
        discount_rate: β per hour, at least 0; at 0 the factor is τ itself.

    Source: the average-reward relative value of Schwartz 1993, A reinforcement learning method
        for maximizing undiscounted rewards, in the discounted semi-Markov form of Bradtke and
        Duff 1995, equation 9.
    """
    hours = elapsed.astype(np.float64)
    factor = -np.expm1(-discount_rate * hours) / discount_rate if discount_rate > 0 else hours
    return (rewards - factor[..., None] * reward_rates).astype(np.float32)


def combine_heads(advantages: Float32, weight: float, group_weights: Float64) -> Float32:
    """Return ``(1 − w) A_0 + w Σ_g q_g A_g``, the gradient's advantage for reward groups.

    With ``w = 0`` head 0 is returned as it is, to the bit.

    Args:
        advantages: [T, N, 1 + G] float32 in natural units; [T, N, 1] suffices for w = 0.
        weight: w in [0, 1].
        group_weights: [G] float64, q.

    Source: the chain rule on ``F = (1 − w) J_0 + w robust(J)`` with q = ∂robust/∂J.
    """
    if weight == 0:
        return np.ascontiguousarray(advantages[..., 0])
    coefficients = np.concatenate([[1 - weight], weight * group_weights]).astype(np.float32)
    return np.asarray(advantages @ coefficients, dtype=np.float32)


def combine_labels(
    advantages: Float32,
    groups: Int64,
    weight: float,
    group_weights: Float64,
    group_shares: Float64,
) -> Float32:
    """Return ``(1 − w + w q_g / s_g) A_0`` with g the label of each step's episode or state.

    The indicator of a group, divided by the group's share of episodes, turns the gradient of the
    mean into that group's: ``∇J_g = E[1{g} A ∇log π] / s_g``.

    Args:
        advantages: [T, N] float32, A_0.
        groups: [T, N] int64 in 0..G-1.
        weight: w in [0, 1].
        group_weights: [G] float64, q.
        group_shares: [G] float64, s > 0 for every label that occurs.

    Source: the chain rule as in ``combine_heads``, with conditioning by importance on the label.
    """
    if weight == 0:
        return advantages
    present = group_shares > 0
    factors = np.where(present, group_weights / np.where(present, group_shares, 1.0), 0.0)
    multipliers = (1 - weight + weight * factors).astype(np.float32)
    return np.asarray(advantages * multipliers[groups], dtype=np.float32)
