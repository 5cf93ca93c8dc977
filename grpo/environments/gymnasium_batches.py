"""How N copies of a Gymnasium environment are stepped: one by one, or, for CartPole, together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv, CartPoleVectorEnv
from gymnasium.wrappers import OrderEnforcing, TimeLimit

from grpo.environments.vector import Bool, Float32, Int64

AnyEnv = gymnasium.Env[Any, Any]

PLAIN_WRAPPERS = (OrderEnforcing, TimeLimit)
"""Wrappers whose effect is known: none, and the time limit in the specification."""

CARTPOLE_CONSTANTS = (
    "gravity",
    "masspole",
    "total_mass",
    "length",
    "polemass_length",
    "force_mag",
    "tau",
    "theta_threshold_radians",
    "x_threshold",
)


class EnvironmentBatch(Protocol):
    """N environments; one that ends its episode is started anew in the same step.

    Attributes:
        observations: [N, O] float32, where each environment is now.
        masks: [N, A] bool, allowed actions.
        rewards: [N, 1] float32, of the last step.
        terminated: [N] bool, of the last step; truncated: likewise.
        final: [N, O] float32, what an episode ended with, where the last step ended one.
    """

    observations: Float32
    masks: Bool
    rewards: Float32
    terminated: Bool
    truncated: Bool
    final: Float32

    def reset(self, seeds: Sequence[int]) -> None:
        """Start all environments anew, environment i from the i-th seed."""
        ...

    def step(self, actions: Int64) -> None:
        """Apply one action per environment [N], counted from 0."""
        ...

    def close(self) -> None:
        """Close all environments."""
        ...


class _Arrays:
    """The arrays of a batch."""

    def __init__(self, num_envs: int, observation_size: int, num_actions: int) -> None:
        shape = (num_envs, observation_size)
        self.observations: Float32 = np.zeros(shape, dtype=np.float32)
        self.final: Float32 = np.zeros(shape, dtype=np.float32)
        self.masks: Bool = np.ones((num_envs, num_actions), dtype=np.bool_)
        self.rewards: Float32 = np.zeros((num_envs, 1), dtype=np.float32)
        self.terminated: Bool = np.zeros(num_envs, dtype=np.bool_)
        self.truncated: Bool = np.zeros(num_envs, dtype=np.bool_)


class SteppedOneByOne(_Arrays):
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

    def close(self) -> None:
        """Close all environments."""
        for environment in self._environments:
            environment.close()

    def _observe(self, i: int, observation: Any) -> None:
        """Keep an environment's observation and its masks."""
        self.observations[i] = np.asarray(observation, dtype=np.float32).reshape(-1)
        if self._masked:
            self.masks[i] = self._environments[i].unwrapped.action_masks()  # type: ignore[attr-defined]


class CartPolesTogether(_Arrays):
    """CartPoles stepped in one call by Gymnasium's own vectorised CartPole.

    Gymnasium starts an ended episode in the step after, which would spend a step on no action;
    here it starts in the same step, from the generator that the single environment would use. So
    the episodes are those of ``SteppedOneByOne`` for the same seeds. Constants may differ from
    environment to environment.

    Args:
        environments: N CartPoles for which ``are_cartpoles`` holds; read, never stepped.
    """

    def __init__(self, environments: Sequence[AnyEnv]) -> None:
        super().__init__(len(environments), 4, 2)
        spec = environments[0].spec
        limit = spec.max_episode_steps if spec is not None else None
        self._together = CartPoleVectorEnv(len(environments), max_episode_steps=limit or 2**31 - 1)
        inner = [environment.unwrapped for environment in environments]
        for name in CARTPOLE_CONSTANTS:
            values = np.array([getattr(cartpole, name) for cartpole in inner], dtype=np.float64)
            setattr(self._together, name, values)
        self._together.reset(seed=0)  # allocates; the states are overwritten by our own reset
        self._generators: list[np.random.Generator] = []

    def reset(self, seeds: Sequence[int]) -> None:
        """Start all environments anew; see ``EnvironmentBatch``."""
        self._generators = [gymnasium.utils.seeding.np_random(seed)[0] for seed in seeds]
        self._start(np.arange(len(seeds)))

    def step(self, actions: Int64) -> None:
        """Apply one action per environment; see ``EnvironmentBatch``."""
        together = self._together
        observations, _, terminated, truncated, _ = together.step(actions)
        self.observations[...] = observations
        self.rewards[...] = 1.0
        self.terminated[...], self.truncated[...] = terminated, truncated
        rows = np.flatnonzero(terminated | truncated)
        if rows.size:
            self.final[rows] = observations[rows]
            self._start(rows)

    def close(self) -> None:
        """Close the environment."""
        self._together.close()

    def _start(self, rows: Int64) -> None:
        """Begin an episode in some rows; ``prev_done`` would make Gymnasium do it a step later."""
        together = self._together
        state = np.asarray(together.state)  # the array itself, no copy
        for i in rows:
            state[:, i] = self._generators[i].uniform(together.low, together.high, size=4)
        together.steps[rows] = 0
        together.prev_done[rows] = False
        self.observations[rows] = state[:, rows].T


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
        return CartPolesTogether(environments), longest
    return SteppedOneByOne(environments, *sizes), longest
