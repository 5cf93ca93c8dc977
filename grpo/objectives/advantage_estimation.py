"""Generalised advantage estimation in one pass over a rollout."""

from __future__ import annotations

import numpy as np

from grpo.errors import ShapeError
from grpo.jit import jit
from grpo.objectives.advantages import Bool, Float32


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
    advantages = np.empty_like(rewards)
    _estimate(
        rewards,
        values,
        last_values,
        final_values,
        discounts,
        traces,
        terminated,
        truncated,
        advantages,
    )
    return advantages


@jit(nogil=True, error_model="numpy")
def _estimate(
    rewards: Float32,
    values: Float32,
    last_values: Float32,
    final_values: Float32,
    discounts: Float32,
    traces: Float32,
    terminated: Bool,
    truncated: Bool,
    advantages: Float32,
) -> None:  # pragma: no cover - compiled
    """Fill advantages [T, N, H], from the last step to the first; see the caller."""
    steps, size, heads = rewards.shape
    for t in range(steps - 1, -1, -1):
        for i in range(size):
            discount = discounts[t, i]
            going_on = t + 1 < steps and not (terminated[t, i] or truncated[t, i])
            for h in range(heads):
                following = last_values[i, h] if t + 1 == steps else values[t + 1, i, h]
                if terminated[t, i]:
                    following = np.float32(0.0)
                elif truncated[t, i]:
                    following = final_values[t, i, h]
                own = rewards[t, i, h] + discount * following - values[t, i, h]
                if going_on:
                    own += discount * traces[t, i] * advantages[t + 1, i, h]
                advantages[t, i, h] = own
