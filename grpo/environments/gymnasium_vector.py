"""Any Gymnasium environment with arrays in and discrete actions out, as a vector environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import gymnasium
import numpy as np
from gymnasium import spaces

from grpo.environments.gymnasium_batches import AnyEnv, make_batch
from grpo.environments.vector import Bool, Float32, Float64, Int64, Transition
from grpo.errors import InputError
from grpo.grouping.labels import Labeller, OneGroup
from grpo.seeding import make_seed_sequence

SEGMENT_STEPS = 2048
SEGMENT_EPISODES = 4
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
        self._batch, longest = make_batch(makers, num_envs, _measure)
        self.observation_size = self._batch.observations.shape[1]
        self.num_actions = self._batch.masks.shape[1]
        self._segment_steps = max(SEGMENT_STEPS, SEGMENT_EPISODES * longest)
        self._discounts: Float32 = np.full(num_envs, gamma, dtype=np.float32)
        self._ones: Float32 = np.ones(num_envs, dtype=np.float32)
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
        names = (f"gymnasium {i}" for i in range(self.num_envs))
        sequences = (make_seed_sequence(seed, name) for name in names)
        self._batch.reset([int(sequence.generate_state(1)[0] >> 1) for sequence in sequences])
        self._groups = self._label(np.arange(self.num_envs))
        return self._batch.observations, self._batch.masks

    def step(self, actions: Int64) -> Transition:
        """Apply one action per environment [N] int64; arrays are reused by the next step."""
        if self._when == "step":
            self._groups = self._label(np.arange(self.num_envs))
        acted_groups = self._groups.copy()
        batch = self._batch
        batch.step(actions)
        self.total_rewards += batch.rewards
        self.clocks += 1.0
        if batch.ended.size:
            self._start_episodes(batch.ended)
        return Transition(
            observations=batch.observations,
            action_masks=batch.masks,
            head_rewards=batch.rewards,
            discounts=self._discounts,
            elapsed=self._ones,
            terminated=batch.terminated,
            truncated=batch.truncated,
            final_observations=batch.final,
            groups=acted_groups,
        )

    def close(self) -> None:
        """Close all environments."""
        self._batch.close()

    def _label(self, rows: Int64) -> Int64:
        """Return the groups [B] of the states that environments are in."""
        return self._labeller.label(self._batch.observations[rows], self._episodes[rows], rows)

    def _start_episodes(self, rows: Int64) -> None:
        """Number the episodes that begin, and label them."""
        following = int(self._episodes.max()) + 1
        self._episodes[rows] = np.arange(following, following + len(rows))
        if self._when == "reset":
            self._groups[rows] = self._label(rows)


def _measure(environment: AnyEnv) -> tuple[int, int, int]:
    """Return observation size, number of actions and first action; see the two functions above."""
    num_actions = count_actions(environment)
    first = int(environment.action_space.start)  # type: ignore[attr-defined]
    return measure_observation(environment), num_actions, first


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
