"""Any Gymnasium environment with arrays in and discrete actions out, as a vector environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import gymnasium
import numpy as np
from gymnasium import spaces

from grpo.environments.gymnasium_batches import AnyEnv, EnvironmentBatch, make_batch
from grpo.environments.vector import (
    Bool,
    Float32,
    Float64,
    Int64,
    Transition,
    VectorEnvironment,
)
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

    Attributes:
        batch: the environments.
        gamma: discount per step.
        labeller, when: who belongs to which group, and when that is asked.
        is_labelled: whether there are several groups.
        groups: [N] int64 where each environment is now.
        num_steps: made since reset.

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
        self.labeller: Labeller = labeller or OneGroup()
        self.when = when
        self.is_labelled = not isinstance(self.labeller, OneGroup)
        makers = [make] if callable(make) else make
        self.batch, longest = make_batch(makers, num_envs, _measure)
        self.observation_size = self.batch.observations.shape[1]
        self.num_actions = self.batch.masks.shape[1]
        self._segment_steps = max(SEGMENT_STEPS, SEGMENT_EPISODES * longest)
        self.gamma = gamma
        self.groups: Int64 = np.zeros(num_envs, dtype=np.int64)
        self._all = np.arange(num_envs)
        self._episodes: Int64 = np.arange(num_envs, dtype=np.int64)
        self._num_episodes = self.num_steps = 0
        self._transition = make_transition(self.batch, gamma)

    @property
    def group_labels(self) -> tuple[str, ...]:
        """Names of the groups; grows where they are learned as they appear."""
        return self.labeller.names

    @property
    def total_rewards(self) -> Float64:
        """[N, 1] rewards since reset."""
        return self.batch.totals

    @property
    def clocks(self) -> Float64:
        """[N] steps since reset."""
        return np.full(self.num_envs, float(self.num_steps))

    def reset(self, seed: int) -> tuple[Float32, Bool]:
        """Start all environments anew, environment i with a seed of its own from (seed, i)."""
        self.batch.totals[...] = 0.0
        self._num_episodes = self.num_steps = 0
        return self.restart(seed)

    def restart(self, seed: int) -> tuple[Float32, Bool]:
        """Start all episodes anew, as ``reset`` does; totals, clocks and numbering go on."""
        self._episodes = self._number(self.num_envs)
        names = (f"gymnasium {i}" for i in range(self.num_envs))
        sequences = (make_seed_sequence(seed, name) for name in names)
        self.batch.reset([int(sequence.generate_state(1)[0] >> 1) for sequence in sequences])
        self._label(self._all)
        return self.batch.observations, self.batch.masks

    def step(self, actions: Int64) -> Transition:
        """Apply one action per environment [N] int64; arrays are reused by the next step."""
        self.begin_step(self._transition.groups)
        self.batch.step(actions)
        self.end_step(self.batch.ended)
        return self._transition

    def begin_step(self, groups: Int64) -> None:
        """Fill groups [N] with those that are about to act."""
        if self.when == "step":
            self._label(self._all)
        if self.is_labelled:
            groups[...] = self.groups

    def end_step(self, ended: Int64) -> None:
        """Count the step that was made; number and label the episodes that begin in its place."""
        self.num_steps += 1
        if ended.size and self.is_labelled:
            self._episodes[ended] = self._number(len(ended))
            if self.when == "reset":
                self._label(ended)

    def join(
        self, others: Sequence[GymnasiumVectorEnvironment]
    ) -> tuple[VectorEnvironment, Float32, Bool]:
        """Return one environment of this and others of its kind; see ``Joins``."""
        from grpo.environments.gymnasium_joined import (  # noqa: PLC0415 - it knows this module
            JoinedGymnasium,
        )

        joined = JoinedGymnasium((self, *others))
        return joined, joined.batch.observations, joined.batch.masks

    def close(self) -> None:
        """Close all environments."""
        self.batch.close()

    def _label(self, rows: Int64) -> None:
        """Find the groups of the states that environments are in."""
        if self.is_labelled:
            shown, episodes = self.batch.observations[rows], self._episodes[rows]
            self.groups[rows] = self.labeller.label(shown, episodes, rows)

    def _number(self, count: int) -> Int64:
        """Return the numbers of the next episodes."""
        first, self._num_episodes = self._num_episodes, self._num_episodes + count
        return np.arange(first, self._num_episodes, dtype=np.int64)


def make_transition(batch: EnvironmentBatch, gamma: float) -> Transition:
    """Return what every step returns: the arrays of the batch, and what never changes."""
    num_envs = len(batch.observations)
    return Transition(
        observations=batch.observations,
        action_masks=batch.masks,
        head_rewards=batch.rewards,
        discounts=np.full(num_envs, gamma, dtype=np.float32),
        elapsed=np.ones(num_envs, dtype=np.float32),
        terminated=batch.terminated,
        truncated=batch.truncated,
        final_observations=batch.final,
        groups=np.zeros(num_envs, dtype=np.int64),
    )


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
