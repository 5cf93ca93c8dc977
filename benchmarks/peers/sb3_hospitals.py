"""Our batch of hospitals as a VecEnv of stable-baselines3."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment


class Hospitals(VecEnv):
    """Hospitals that never end, so that nothing is ever reset.

    Args:
        batch: the hospitals; head 0 is the reward.
        seed: of the first and only reset.
    """

    def __init__(self, batch: HospitalVectorEnvironment, seed: int) -> None:
        space = spaces.Box(-np.inf, np.inf, (batch.observation_size,), dtype=np.float32)
        super().__init__(batch.num_envs, space, spaces.Discrete(batch.num_actions))
        self._batch, self._seed = batch, seed
        self._masks: Any = None
        self._actions: Any = None

    def reset(self) -> Any:
        """Return the first observations."""
        observations, self._masks = self._batch.reset(self._seed)
        return observations.copy()

    def step_async(self, actions: Any) -> None:
        """Keep the actions."""
        self._actions = np.asarray(actions, dtype=np.int64)

    def step_wait(self) -> Any:
        """Step all hospitals."""
        step = self._batch.step(self._actions)
        self._masks = step.action_masks
        never = np.zeros(self.num_envs, dtype=np.bool_)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        return step.observations.copy(), step.head_rewards[:, 0].copy(), never, infos

    def env_method(self, method_name: str, *_: Any, **__: Any) -> list[Any]:
        """Return the action masks, the one method that is asked for."""
        if method_name != "action_masks":
            raise AttributeError(method_name)
        return list(self._masks.copy())

    def has_attr(self, attr_name: str) -> bool:
        """Tell that there are action masks."""
        return attr_name == "action_masks"

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:  # noqa: ARG002
        """Return the render mode, none."""
        if attr_name == "render_mode":
            return [None] * self.num_envs
        raise AttributeError(attr_name)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:  # noqa: ARG002
        """Refuse: nothing can be set."""
        raise AttributeError(attr_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:  # noqa: ARG002
        """Tell that nothing is wrapped."""
        return [False] * self.num_envs

    def close(self) -> None:
        """Nothing is open."""
