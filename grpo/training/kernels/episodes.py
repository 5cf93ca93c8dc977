"""Following episodes across the steps of a rollout."""

from __future__ import annotations

import numpy as np

from grpo.models.parameters import Float32, Int64
from grpo.objectives.advantages import Bool, Float64
from grpo.training.kernels.functions import compiled


@compiled
def follow_episodes(
    rewards: Float32,
    terminated: Bool,
    truncated: Bool,
    groups: Int64,
    running: Float64,
    lengths: Int64,
    ended_environments: Int64,
    ended_returns: Float64,
    ended_lengths: Int64,
    ended_groups: Int64,
) -> int:  # pragma: no cover - compiled
    """Add T steps to the episodes of N environments; return how many ended, and what they were.

    Args:
        rewards: [T, N, H], head 0 is read.
        terminated: [T, N].
        truncated: [T, N].
        groups: [T, N].
        running: [N] returns of the episodes under way; changed in place.
        lengths: [N] steps of the episodes under way; changed in place.
        ended_environments: [T N], as many filled as episodes ended, in the order of their ends.
        ended_returns: likewise.
        ended_lengths: likewise, steps.
        ended_groups: likewise, the group of the last step.
    """
    count = 0
    for t in range(rewards.shape[0]):
        for i in range(rewards.shape[1]):
            running[i] += rewards[t, i, 0]
            lengths[i] += 1
            if terminated[t, i] or truncated[t, i]:
                ended_environments[count], ended_groups[count] = i, groups[t, i]
                ended_returns[count], ended_lengths[count] = running[i], lengths[i]
                running[i], lengths[i] = 0.0, 0
                count += 1
    return count


@compiled
def add_episodes(
    environments: Int64, returns: Float64, groups: Int64, sums: Float64, counts: Float64
) -> None:  # pragma: no cover - compiled
    """Add E episodes to sums and counts [N, 1 + G]: to everybody's, and to the group's, -1 none."""
    for e in range(len(environments)):
        i, column = environments[e], 1 + groups[e]
        sums[i, 0] += returns[e]
        counts[i, 0] += 1.0
        if column > 0:
            sums[i, column] += returns[e]
            counts[i, column] += 1.0


def warm() -> None:
    """Run both kernels once."""
    rewards, flags = np.zeros((1, 1, 1), dtype=np.float32), np.zeros((1, 1), dtype=np.bool_)
    sums, numbers = np.zeros((1, 1)), np.zeros((1, 1), dtype=np.int64)
    ended = numbers[0], sums[0], numbers[0], numbers[0]
    follow_episodes(rewards, flags, flags, numbers, sums[0], numbers[0], *ended)
    add_episodes(numbers[0], sums[0], numbers[0] - 1, sums, sums)
