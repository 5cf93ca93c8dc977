"""What advantages are estimated from, and how heads and groups become the one advantage of PPO."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
Int64 = NDArray[np.int64]


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
