"""Tiny vector environments whose best policies are known exactly."""

from __future__ import annotations

import numpy as np

from grpo.environments.vector import Bool, Float32, Float64, Int64, Transition


class RewardGroupBandit:
    """T1: one state, three actions, two reward groups; head 0 is the groups' mean."""

    num_actions = 3
    observation_size = 1
    discount_rate = 0.0

    def __init__(
        self,
        num_envs: int,
        rewards: Float64,
        *,
        group_labels: tuple[str, ...] = ("first", "second"),
    ) -> None:
        self.num_envs = num_envs
        self.group_labels = group_labels
        self.num_heads = 1 + len(group_labels)
        self.table: Float64 = np.column_stack([rewards.mean(axis=1), rewards])
        self._observations = np.ones((num_envs, 1), dtype=np.float32)
        self._masks = np.ones((num_envs, self.num_actions), dtype=np.bool_)
        self.total_rewards: Float64 = np.zeros((num_envs, self.num_heads))
        self.clocks: Float64 = np.zeros(num_envs)

    def reset(self, seed: int) -> tuple[Float32, Bool]:  # noqa: ARG002 - nothing is random
        self.total_rewards = np.zeros((self.num_envs, self.num_heads))
        self.clocks = np.zeros(self.num_envs)
        return self._observations, self._masks

    def groups(self) -> Int64:
        return np.full(self.num_envs, -1, dtype=np.int64)

    def heads(self, actions: Int64) -> Float64:
        return self.table[actions]

    def step(self, actions: Int64) -> Transition:
        heads = self.heads(actions)
        self.total_rewards = self.total_rewards + heads
        self.clocks = self.clocks + 1
        ones = np.ones(self.num_envs, dtype=np.float32)
        return Transition(
            observations=self._observations,
            action_masks=self._masks,
            head_rewards=heads.astype(np.float32),
            discounts=ones,
            elapsed=ones,
            terminated=np.ones(self.num_envs, dtype=np.bool_),
            truncated=np.zeros(self.num_envs, dtype=np.bool_),
            final_observations=self._observations,
            groups=self.groups(),
        )


T1 = np.array([[1.0, 0.0], [0.0, 0.5], [0.3, 0.3]])
"""Rewards [action, group]; at w = 1 the best policy is (1/3, 2/3, 0), both groups at 1/3."""
