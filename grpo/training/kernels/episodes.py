"""Following episodes across the steps of a rollout."""

from __future__ import annotations

from grpo.models.parameters import Int64
from grpo.objectives.advantages import Bool, Float64
from grpo.training.kernels.functions import compiled


@compiled
def follow_episodes(
    rewards: Float64,
    ended: Bool,
    running: Float64,
    lengths: Int64,
    ended_rewards: Float64,
    ended_lengths: Int64,
) -> None:  # pragma: no cover - compiled
    """Add T steps to the episodes of N environments; fill those that end, in their order.

    Args:
        rewards: [T, N] float64.
        ended: [T, N] bool, E of them.
        running: [N] float64, returns of the episodes under way; changed in place.
        lengths: [N] int64, steps of the episodes under way; changed in place.
        ended_rewards: [E] float64, filled.
        ended_lengths: [E] int64, filled.
    """
    episode = 0
    for t in range(rewards.shape[0]):
        for i in range(rewards.shape[1]):
            running[i] += rewards[t, i]
            lengths[i] += 1
            if ended[t, i]:
                ended_rewards[episode], ended_lengths[episode] = running[i], lengths[i]
                running[i], lengths[i] = 0.0, 0
                episode += 1
