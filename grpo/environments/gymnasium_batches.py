"""How N copies of a Gymnasium environment are stepped: one by one, or, for CartPole, together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from gymnasium.wrappers import OrderEnforcing, TimeLimit

from grpo.environments.vector import Bool, Float32, Float64, Int64

AnyEnv = gymnasium.Env[Any, Any]

PLAIN_WRAPPERS = (OrderEnforcing, TimeLimit)
"""Wrappers whose effect is known: none, and the time limit in the specification."""


class EnvironmentBatch(Protocol):
    """N environments; one that ends its episode is started anew in the same step.

    Attributes:
        observations: [N, O] float32, where each environment is now.
        masks: [N, A] bool, allowed actions.
        rewards: [N, 1] float32, of the last step.
        totals: [N, 1] float64, of all steps.
        terminated: [N] bool, of the last step; truncated: likewise.
        final: [N, O] float32, what an episode ended with, where the last step ended one.
        ended: [E] int64, the environments whose episodes the last step ended, increasing.
    """

    observations: Float32
    masks: Bool
    rewards: Float32
    totals: Float64
    terminated: Bool
    truncated: Bool
    final: Float32
    ended: Int64

    def reset(self, seeds: Sequence[int]) -> None:
        """Start all environments anew, environment i from the i-th seed."""
        ...

    def step(self, actions: Int64) -> None:
        """Apply one action per environment [N], counted from 0."""
        ...

    def close(self) -> None:
        """Close all environments."""
        ...

    def join(self, others: Sequence[Any]) -> EnvironmentBatch:
        """Return the environments of this and others of its class as one batch.

        Each of them becomes a view of it, which can be started anew but not stepped.
        """
        ...


class BatchArrays:
    """The arrays of a batch."""

    by_row: tuple[str, ...] = (
        "observations",
        "final",
        "masks",
        "rewards",
        "totals",
        "terminated",
        "truncated",
    )
    """Names of the arrays [N, ...]."""

    def __init__(self, num_envs: int, observation_size: int, num_actions: int) -> None:
        shape = (num_envs, observation_size)
        self.observations: Float32 = np.zeros(shape, dtype=np.float32)
        self.final: Float32 = np.zeros(shape, dtype=np.float32)
        self.masks: Bool = np.ones((num_envs, num_actions), dtype=np.bool_)
        self.rewards: Float32 = np.zeros((num_envs, 1), dtype=np.float32)
        self.totals: Float64 = np.zeros((num_envs, 1))
        self.terminated: Bool = np.zeros(num_envs, dtype=np.bool_)
        self.truncated: Bool = np.zeros(num_envs, dtype=np.bool_)
        self.ended: Int64 = np.zeros(0, dtype=np.int64)

    def become_view(self, whole: BatchArrays, rows: slice) -> None:
        """Keep what is here in rows of a larger batch from now on."""
        for name in self.by_row:
            view = getattr(whole, name)[rows]
            view[...] = getattr(self, name)
            setattr(self, name, view)


class SteppedOneByOne(BatchArrays):
    """Any environments, each stepped by itself.

    Args:
        environments: N of them.
        observation_size: O, of a flattened observation.
        num_actions: A.
        first_action: what the environments call action 0.
    """

    def __init__(
        self,
        environments: Sequence[AnyEnv],
        observation_size: int,
        num_actions: int,
        first_action: int,
    ) -> None:
        super().__init__(len(environments), observation_size, num_actions)
        self._environments, self._first_action = environments, first_action
        self._masked = hasattr(environments[0].unwrapped, "action_masks")

    def reset(self, seeds: Sequence[int]) -> None:
        """Start all environments anew; see ``EnvironmentBatch``."""
        for i, (environment, seed) in enumerate(zip(self._environments, seeds, strict=True)):
            self._observe(i, environment.reset(seed=seed)[0])

    def step(self, actions: Int64) -> None:
        """Apply one action per environment; see ``EnvironmentBatch``."""
        for i, environment in enumerate(self._environments):
            action = int(actions[i]) + self._first_action
            observation, reward, terminated, truncated, _ = environment.step(action)
            self.rewards[i, 0] = reward
            self.terminated[i], self.truncated[i] = terminated, truncated
            if terminated or truncated:
                self.final[i] = np.asarray(observation, dtype=np.float32).reshape(-1)
                observation = environment.reset()[0]
            self._observe(i, observation)
        self.totals += self.rewards
        self.ended = (self.terminated | self.truncated).nonzero()[0]

    def close(self) -> None:
        """Close all environments."""
        for environment in self._environments:
            environment.close()

    def join(self, others: Sequence[SteppedOneByOne]) -> SteppedOneByOne:
        """Return this and others as one; see ``EnvironmentBatch``."""
        parts = (self, *others)
        environments = [environment for part in parts for environment in part._environments]
        sizes = self.observations.shape[1], self.masks.shape[1], self._first_action
        whole, end = SteppedOneByOne(environments, *sizes), 0
        for part in parts:
            start, end = end, end + len(part._environments)
            part.become_view(whole, slice(start, end))
        return whole

    def _observe(self, i: int, observation: Any) -> None:
        """Keep an environment's observation and its masks."""
        self.observations[i] = np.asarray(observation, dtype=np.float32).reshape(-1)
        if self._masked:
            self.masks[i] = self._environments[i].unwrapped.action_masks()  # type: ignore[attr-defined]


def are_cartpoles(environments: Sequence[AnyEnv]) -> bool:
    """Tell whether all are plain CartPoles with one time limit, so that they can go together."""
    limits = {spec.max_episode_steps if (spec := e.spec) else None for e in environments}
    return len(limits) == 1 and all(_is_plain_cartpole(e) for e in environments)


def _is_plain_cartpole(environment: AnyEnv) -> bool:
    while isinstance(environment, gymnasium.Wrapper):
        if type(environment) not in PLAIN_WRAPPERS:
            return False
        environment = environment.env
    return (
        type(environment) is CartPoleEnv
        and environment.kinematics_integrator == "euler"
        and not environment._sutton_barto_reward
    )


def make_batch(
    makers: Sequence[Callable[[], AnyEnv]],
    num_envs: int,
    measure: Callable[[AnyEnv], tuple[int, int, int]],
) -> tuple[EnvironmentBatch, int]:
    """Make N environments, environment i by maker i modulo their number.

    Args:
        makers: at least one.
        num_envs: N.
        measure: returns observation size, number of actions and first action of one of them, or
            raises.

    Returns:
        The batch and the longest time limit of any, 0 where there is none.
    """
    environments = [makers[i % len(makers)]() for i in range(num_envs)]
    sizes = measure(environments[0])
    specs = [environment.spec for environment in environments]
    longest = max((spec.max_episode_steps or 0 for spec in specs if spec), default=0)
    if are_cartpoles(environments):
        from grpo.environments.cartpole import (  # noqa: PLC0415 - numba only where it is used
            CartPolesTogether,
        )

        return CartPolesTogether(environments), longest
    return SteppedOneByOne(environments, *sizes), longest
