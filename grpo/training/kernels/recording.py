"""What a step shows and gives, copied into the rows of a rollout by one compiled call each.

Array by array, the calls that copy would cost more than the copies, for few small environments.
"""

from __future__ import annotations

import numpy as np

from grpo.models.parameters import Float32, Int64
from grpo.objectives.advantages import Bool
from grpo.training.kernels.functions import compiled, f32


@compiled
def record_observations(
    observations: Float32,
    masks: Bool,
    means: Float32,
    inverse_stds: Float32,
    limit: float,
    raw_row: Float32,
    mask_row: Bool,
    row: Float32,
) -> None:  # pragma: no cover - compiled
    """Copy what environments show, and normalise it as ``grpo.models.normalization`` does.

    Args:
        observations: [N, O].
        masks: [N, A].
        means: [S, O], of S equal parts of the rows.
        inverse_stds: [S, O].
        limit: of the normalised observations, either way.
        raw_row: [N, O], filled with the observations.
        mask_row: [N, A], filled with the masks.
        row: [N, O], filled with normalised observations.
    """
    lowest, highest = f32(-limit), f32(limit)
    own = observations.shape[0] // len(means)
    for i in range(observations.shape[0]):
        mean, inverse_std = means[i // own], inverse_stds[i // own]
        for k in range(observations.shape[1]):
            raw_row[i, k] = observations[i, k]
        for k in range(observations.shape[1]):
            value = (observations[i, k] - mean[k]) * inverse_std[k]
            value = lowest if value < lowest else value
            row[i, k] = highest if value > highest else value
        for k in range(masks.shape[1]):
            mask_row[i, k] = masks[i, k]


@compiled
def record_outcomes(
    head_rewards: Float32,
    discounts: Float32,
    elapsed: Float32,
    terminated: Bool,
    truncated: Bool,
    groups: Int64,
    reward_row: Float32,
    discount_row: Float32,
    elapsed_row: Float32,
    terminated_row: Bool,
    truncated_row: Bool,
    group_row: Int64,
) -> int:  # pragma: no cover - compiled
    """Copy what a step gave, [N] and [N, H]; return how many episodes it cut.

    A row of rewards takes as many heads as it has. Where both ends are told, the step terminated.
    """
    cut = 0
    for i in range(discounts.shape[0]):
        for h in range(reward_row.shape[1]):
            reward_row[i, h] = head_rewards[i, h]
        discount_row[i], elapsed_row[i] = discounts[i], elapsed[i]
        terminated_row[i], group_row[i] = terminated[i], groups[i]
        truncated_row[i] = truncated[i] and not terminated[i]
        cut += truncated_row[i]
    return cut


def warm() -> None:
    """Run both kernels once."""
    floats = np.zeros((1, 1), dtype=np.float32)
    flags, numbers = np.zeros((1, 1), dtype=np.bool_), np.zeros(1, dtype=np.int64)
    record_observations(floats, flags, floats, floats, 1.0, floats, flags, floats)
    outcomes = floats, floats[0], floats[0], flags[0], flags[0], numbers
    record_outcomes(*outcomes, *outcomes)
