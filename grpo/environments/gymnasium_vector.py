"""Any Gymnasium environment with arrays in and discrete actions out, as a vector environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces

from grpo.environments.vector import Bool, Float32, Float64, Int64, Transition
from grpo.errors import InputError
from grpo.grouping.labels import Labeller, OneGroup
from grpo.seeding import make_seed_sequence

SEGMENT_STEPS = 2048
SEGMENT_EPISODES = 4
AnyEnv = gymnasium.Env[Any, Any]
EnvironmentMaker = Callable[[], AnyEnv]


def environment_maker(name: str | EnvironmentMaker) -> EnvironmentMaker:
    """Return what makes one environment.

    Args:
        name: a registered Gymnasium id, or a callable without arguments that returns one.

    Raises:
        InputError: an unknown id, or one with a module part, which is never imported.
    """
    if callable(name):
        return name
    if not isinstance(name, str):
        raise InputError.single(
            "/env_name", "must be an id", given=name, allowed="a registered id, or a callable"
        )
    if ":" in name:
        raise InputError.single(
            "/env_name",
            "an id with a module part would import that module",
            given=name,
            allowed="a registered id such as CartPole-v1, or a callable",
        )
    if name not in gymnasium.registry:
        raise InputError.single(
            "/env_name", "no such environment", given=name, allowed="a registered id, or a callable"
        )
    return lambda: gymnasium.make(name, disable_env_checker=True)


def count_actions(environment: AnyEnv) -> int:
    """Return the number of actions.

    Raises:
        InputError: actions are not discrete; names the space.
    """
    space = environment.action_space
    if not isinstance(space, spaces.Discrete):
        raise InputError.single(
            "/env_name",
            "actions must be Discrete",
            given=space,
            allowed="gymnasium.spaces.Discrete",
        )
    return int(space.n)


def measure_observation(environment: AnyEnv) -> int:
    """Return the length of a flattened observation.

    Raises:
        InputError: observations are not a Box; names the space.
    """
    space = environment.observation_space
    if not isinstance(space, spaces.Box):
        raise InputError.single(
            "/env_name", "observations must be a Box", given=space, allowed="gymnasium.spaces.Box"
        )
    return int(np.prod(space.shape))


class GymnasiumVectorEnvironment:
    """N copies of a Gymnasium environment, each started anew in the step that ends its episode.

    The observation that an episode ended with stands in ``final_observations``. Environment i
    depends on (seed, i) and on its own actions only. An environment with ``action_masks()`` is
    asked for them. Episodes are numbered in the order of their starts.

    Fulfils ``grpo.environments.vector.VectorEnvironment`` and ``RestartsEpisodes``: the state of
    a foreign environment is its own affair.

    Args:
        make: makes one environment; several makers take turns, so that environment i is of
            variant i modulo their number.
        num_envs: N.
        gamma: discount per step.
        labeller: who belongs to which group; everybody to one where None.
        when: whether a label belongs to the episode (asked at its first state) or to the state.

    Raises:
        InputError: actions are not discrete or observations are no Box.
    """

    num_heads = 1
    discount_rate = 0.0

    @property
    def segment_steps(self) -> int:
        """Steps after which training starts all episodes anew: four of the longest, at least."""
        return self._segment_steps

    def __init__(
        self,
        make: EnvironmentMaker | Sequence[EnvironmentMaker],
        num_envs: int,
        *,
        gamma: float = 0.99,
        labeller: Labeller | None = None,
        when: Literal["reset", "step"] = "reset",
    ) -> None:
        self.num_envs = num_envs
        self._labeller: Labeller = labeller or OneGroup()
        self._when = when
        makers = [make] if callable(make) else make
        self._environments = [makers[i % len(makers)]() for i in range(num_envs)]
        first = self._environments[0]
        self.observation_size, self.num_actions = measure_observation(first), count_actions(first)
        specs = [environment.spec for environment in self._environments]
        longest = max((spec.max_episode_steps or 0 for spec in specs if spec), default=0)
        self._segment_steps = max(SEGMENT_STEPS, SEGMENT_EPISODES * longest)
        self._first_action = int(first.action_space.start)  # type: ignore[attr-defined]
        self._masked = hasattr(first.unwrapped, "action_masks")
        self._discounts: Float32 = np.full(num_envs, gamma, dtype=np.float32)
        self._ones: Float32 = np.ones(num_envs, dtype=np.float32)
        shape = (num_envs, self.observation_size)
        self._observations: Float32 = np.zeros(shape, dtype=np.float32)
        self._final: Float32 = np.zeros(shape, dtype=np.float32)
        self._masks: Bool = np.ones((num_envs, self.num_actions), dtype=np.bool_)
        self._rewards: Float32 = np.zeros((num_envs, 1), dtype=np.float32)
        self._terminated: Bool = np.zeros(num_envs, dtype=np.bool_)
        self._truncated: Bool = np.zeros(num_envs, dtype=np.bool_)
        self._groups: Int64 = np.zeros(num_envs, dtype=np.int64)
        self._episodes: Int64 = np.arange(num_envs, dtype=np.int64)
        self.total_rewards: Float64 = np.zeros((num_envs, 1))
        self.clocks: Float64 = np.zeros(num_envs)

    @property
    def group_labels(self) -> tuple[str, ...]:
        """Names of the groups; grows where they are learned as they appear."""
        return self._labeller.names

    def reset(self, seed: int) -> tuple[Float32, Bool]:
        """Start all environments anew, environment i with a seed of its own from (seed, i)."""
        self.total_rewards[...] = 0.0
        self.clocks[...] = 0.0
        self._episodes = np.arange(-self.num_envs, 0, dtype=np.int64)
        return self.restart(seed)

    def restart(self, seed: int) -> tuple[Float32, Bool]:
        """Start all episodes anew, as ``reset`` does; totals, clocks and numbering go on."""
        following = int(self._episodes.max()) + 1
        self._episodes = np.arange(following, following + self.num_envs, dtype=np.int64)
        for i, environment in enumerate(self._environments):
            sequence = make_seed_sequence(seed, f"gymnasium {i}")
            own_seed = int(sequence.generate_state(1)[0] >> 1)
            self._observe(i, environment.reset(seed=own_seed)[0])
        self._groups = self._label(np.arange(self.num_envs))
        return self._observations, self._masks

    def step(self, actions: Int64) -> Transition:
        """Apply one action per environment [N] int64; arrays are reused by the next step."""
        if self._when == "step":
            self._groups = self._label(np.arange(self.num_envs))
        acted_groups = self._groups.copy()
        for i, environment in enumerate(self._environments):
            action = int(actions[i]) + self._first_action
            observation, reward, terminated, truncated, _ = environment.step(action)
            self._rewards[i, 0] = reward
            self._terminated[i], self._truncated[i] = terminated, truncated
            if terminated or truncated:
                self._final[i] = np.asarray(observation, dtype=np.float32).reshape(-1)
                observation = environment.reset()[0]
            self._observe(i, observation)
        self.total_rewards += self._rewards
        self.clocks += 1.0
        self._start_episodes(self._terminated | self._truncated)
        return Transition(
            observations=self._observations,
            action_masks=self._masks,
            head_rewards=self._rewards,
            discounts=self._discounts,
            elapsed=self._ones,
            terminated=self._terminated,
            truncated=self._truncated,
            final_observations=self._final,
            groups=acted_groups,
        )

    def close(self) -> None:
        """Close all environments."""
        for environment in self._environments:
            environment.close()

    def _observe(self, i: int, observation: Any) -> None:
        """Keep an environment's observation and its masks."""
        self._observations[i] = np.asarray(observation, dtype=np.float32).reshape(-1)
        if self._masked:
            self._masks[i] = self._environments[i].unwrapped.action_masks()  # type: ignore[attr-defined]

    def _label(self, rows: Int64) -> Int64:
        """Return the groups [B] of the states that environments are in."""
        return self._labeller.label(self._observations[rows], self._episodes[rows], rows)

    def _start_episodes(self, ended: Bool) -> None:
        """Number the episodes that begin, and label them."""
        rows = np.flatnonzero(ended)
        if rows.size == 0:
            return
        following = int(self._episodes.max()) + 1
        self._episodes[rows] = np.arange(following, following + len(rows))
        if self._when == "reset":
            self._groups[rows] = self._label(rows)


def sample_states(make: EnvironmentMaker, seed: int, num_steps: int = 1000) -> Float32:
    """Return the states [num_steps, O] that random actions visit.

    Args:
        make: makes one environment.
        seed: of the environment and the actions.
        num_steps: how many.
    """
    vector = GymnasiumVectorEnvironment(make, 1)
    rng = np.random.default_rng(make_seed_sequence(seed, "sampled states"))
    observations, masks = vector.reset(seed)
    states = np.empty((num_steps, vector.observation_size), dtype=np.float32)
    for t in range(num_steps):
        states[t] = observations[0]
        action = rng.choice(np.flatnonzero(masks[0]))
        transition = vector.step(np.array([action], dtype=np.int64))
        observations, masks = transition.observations, transition.action_masks
    vector.close()
    return states
