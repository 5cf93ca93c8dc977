"""Gymnasium environments whose reward is a vector, one entry per group: reward groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from grpo.environments.gymnasium_vector import (
    SEGMENT_EPISODES,
    SEGMENT_STEPS,
    EnvironmentMaker,
    count_actions,
    measure_observation,
)
from grpo.environments.vector import Bool, Float32, Float64, Int64, Transition
from grpo.errors import InputError, ShapeError
from grpo.seeding import make_seed_sequence


class VectorRewardEnvironment:
    """N copies of an environment that pays every group its own reward at each step.

    Such environments come from multi-objective learning (mo-gymnasium), with one objective per
    group. Head 0 is the average of the groups by share. An episode that ends is started anew in the
    same step. Environment i depends on (seed, i) and on its own actions only.

    Fulfils ``grpo.environments.vector.VectorEnvironment`` and ``RestartsEpisodes``.

    Args:
        make: makes one environment, whose ``step`` gives a reward [G].
        num_envs: N, at least 1.
        labels: [G] names of the groups.
        shares: [G] of the groups in the mean, summing to 1; equal by default.
        gamma: discount per step.

    Raises:
        InputError: actions are not discrete, observations are no Box, or shares do not sum to 1.
        ShapeError: shares or rewards are not [G].
    """

    discount_rate = 0.0

    def __init__(
        self,
        make: EnvironmentMaker,
        num_envs: int,
        labels: Sequence[str],
        *,
        shares: Float64 | None = None,
        gamma: float = 1.0,
    ) -> None:
        self.num_envs, self.group_labels = num_envs, tuple(labels)
        self._shares = np.full(len(labels), 1 / len(labels)) if shares is None else shares
        if self._shares.shape != (len(labels),):
            raise ShapeError(f"shares: expected ({len(labels)},), got {self._shares.shape}")
        if (self._shares < 0).any() or not np.isclose(self._shares.sum(), 1):
            raise InputError.single("/shares", "not shares that sum to 1", given=shares)
        self.num_heads = 1 + len(labels)
        self._environments = [make() for _ in range(num_envs)]
        first = self._environments[0]
        self.observation_size, self.num_actions = measure_observation(first), count_actions(first)
        self._first_action = int(first.action_space.start)  # type: ignore[attr-defined]
        longest = (first.spec.max_episode_steps or 0) if first.spec else 0
        self.segment_steps = max(SEGMENT_STEPS, SEGMENT_EPISODES * longest)
        shape = (num_envs, self.observation_size)
        self._observations: Float32 = np.zeros(shape, dtype=np.float32)
        self._final: Float32 = np.zeros(shape, dtype=np.float32)
        self._masks: Bool = np.ones((num_envs, self.num_actions), dtype=np.bool_)
        self._rewards: Float64 = np.zeros((num_envs, self.num_heads))
        self._terminated: Bool = np.zeros(num_envs, dtype=np.bool_)
        self._truncated: Bool = np.zeros(num_envs, dtype=np.bool_)
        self._discounts: Float32 = np.full(num_envs, gamma, dtype=np.float32)
        self._ones: Float32 = np.ones(num_envs, dtype=np.float32)
        self._groups: Int64 = np.full(num_envs, -1, dtype=np.int64)
        self.total_rewards: Float64 = np.zeros((num_envs, self.num_heads))
        self.clocks: Float64 = np.zeros(num_envs)

    def reset(self, seed: int) -> tuple[Float32, Bool]:
        """Start all environments anew, environment i with a seed of its own from (seed, i)."""
        self.total_rewards[...] = 0.0
        self.clocks[...] = 0.0
        return self.restart(seed)

    def restart(self, seed: int) -> tuple[Float32, Bool]:
        """Start all episodes anew, as ``reset`` does; totals and clocks go on."""
        for i, environment in enumerate(self._environments):
            own = int(make_seed_sequence(seed, f"gymnasium {i}").generate_state(1)[0] >> 1)
            self._observations[i] = _flatten(environment.reset(seed=own)[0])
        return self._observations, self._masks

    def step(self, actions: Int64) -> Transition:
        """Apply one action per environment [N] int64; arrays are reused by the next step.

        Raises:
            ShapeError: an environment gave a reward that is not [G].
        """
        for i, environment in enumerate(self._environments):
            action = int(actions[i]) + self._first_action
            observation, reward, terminated, truncated, _ = environment.step(action)
            given = np.asarray(reward, dtype=np.float64)
            if given.shape != self._shares.shape:
                raise ShapeError(f"reward: expected {self._shares.shape}, got {given.shape}")
            self._rewards[i, 1:] = given
            self._terminated[i], self._truncated[i] = terminated, truncated
            if terminated or truncated:
                self._final[i] = _flatten(observation)
                observation = environment.reset()[0]
            self._observations[i] = _flatten(observation)
        self._rewards[:, 0] = self._rewards[:, 1:] @ self._shares
        self.total_rewards += self._rewards
        self.clocks += 1.0
        return Transition(
            observations=self._observations,
            action_masks=self._masks,
            head_rewards=self._rewards.astype(np.float32),
            discounts=self._discounts,
            elapsed=self._ones,
            terminated=self._terminated,
            truncated=self._truncated,
            final_observations=self._final,
            groups=self._groups,
        )

    def close(self) -> None:
        """Close all environments."""
        for environment in self._environments:
            environment.close()


def _flatten(observation: Any) -> Float32:
    """Return an observation [O] float32."""
    return np.asarray(observation, dtype=np.float32).reshape(-1)
