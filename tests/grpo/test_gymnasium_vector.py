from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from grpo.environments.gymnasium_vector import (
    GymnasiumVectorEnvironment,
    environment_maker,
    sample_states,
)
from grpo.errors import InputError
from grpo.grouping.labels import FunctionLabels, MagnitudeLabels, ThresholdLabels
from grpo.grouping.specs import ThresholdGroups

NOBODY = np.zeros(3000, dtype=np.int64)


class Countdown(gymnasium.Env):
    """State [episode, step]; action 1 (offset 5: 6) ends the episode, 3 steps are the limit."""

    observation_space = spaces.Box(-np.inf, np.inf, (1, 2), dtype=np.float32)
    action_space = spaces.Discrete(2, start=5)

    def __init__(self, reward: float = 1.0) -> None:
        self.episode, self.time, self.reward = -1, 0, reward

    def _observe(self) -> Any:
        return np.array([[self.episode, self.time]], dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed, options=options)
        self.episode, self.time = self.episode + 1, 0
        return self._observe(), {}

    def step(self, action: int) -> Any:
        assert action in (5, 6)
        self.time += 1
        return self._observe(), self.reward, action == 6, self.time >= 3, {}


def make(num_envs: int = 2, **kwargs: Any) -> Any:
    return GymnasiumVectorEnvironment(Countdown, num_envs, gamma=0.5, **kwargs)


def test_episode_restarts_in_the_step_that_ends_it_and_keeps_its_last_observation() -> None:
    environment = make()
    observations, masks = environment.reset(0)
    assert observations.tolist() == [[0, 0], [0, 0]]
    assert masks.all()
    transition = environment.step(np.array([1, 0]))
    assert transition.terminated.tolist() == [True, False]
    assert transition.final_observations[0].tolist() == [0, 1]
    assert transition.observations.tolist() == [[1, 0], [0, 1]]


def test_time_limit_truncates_and_does_not_terminate() -> None:
    environment = make(1)
    environment.reset(0)
    for _ in range(3):
        transition = environment.step(np.array([0]))
    assert transition.truncated.tolist() == [True]
    assert transition.terminated.tolist() == [False]
    assert transition.final_observations[0].tolist() == [0, 3]
    assert transition.observations[0].tolist() == [1, 0]
    assert environment.total_rewards.tolist() == [[3.0]]
    assert environment.clocks.tolist() == [3.0]
    assert transition.discounts.tolist() == [0.5]


def test_each_environment_depends_on_its_own_seed_only() -> None:
    starts = []
    for num_envs in (2, 5):
        environment = GymnasiumVectorEnvironment(environment_maker("CartPole-v1"), num_envs)
        starts.append(environment.reset(7)[0][:2].copy())
        environment.close()
    assert np.array_equal(starts[0], starts[1])
    assert not np.array_equal(starts[0][0], starts[0][1])


def test_episode_groups_are_asked_once_at_the_first_state() -> None:
    asked = []

    def side(state: Any, episode: int) -> Any:
        asked.append((state.tolist(), episode))
        return episode % 2

    environment = make(1, labeller=FunctionLabels(side), when="reset")
    environment.reset(0)
    groups = [int(environment.step(np.array([a])).groups[0]) for a in (0, 1, 0, 0, 0, 0)]
    assert groups == [0, 0, 1, 1, 1, 0]
    assert asked == [([0, 0], 0), ([1, 0], 1), ([2, 0], 2)]


def test_state_groups_are_asked_for_the_state_acted_in() -> None:
    environment = make(1, labeller=FunctionLabels(lambda state, _: int(state[1])), when="step")
    environment.reset(0)
    groups = [int(environment.step(np.array([0])).groups[0]) for _ in range(4)]
    assert groups == [0, 1, 2, 0]
    assert environment.group_labels == ("0", "1", "2")


@pytest.mark.parametrize("label", [-1, 64, 1.5, "a", None, True])
def test_labels_outside_0_to_63_are_refused(label: Any) -> None:
    labels = FunctionLabels(lambda _state, _episode: label)
    with pytest.raises(InputError, match=r"integer in 0..63"):
        labels.label(np.zeros((1, 2), dtype=np.float32), NOBODY[:1], NOBODY[:1])


def test_labels_are_learned_in_the_order_of_their_appearance() -> None:
    labels = FunctionLabels(lambda state, _: int(state[0]))
    states = np.array([[5], [2], [5], [63]], dtype=np.float32)
    assert labels.label(states, np.arange(4), NOBODY[:4]).tolist() == [0, 1, 0, 2]
    assert labels.names == ("5", "2", "63")


def test_thresholds_put_an_edge_into_the_upper_group() -> None:
    spec = ThresholdGroups(feature=1, edges=(0.0, 2.0), labels=("low", "middle", "high"))
    states = np.array([[9, -1], [9, 0], [9, 1.9], [9, 2], [9, 5]], dtype=np.float32)
    assert ThresholdLabels(spec).label(states, np.arange(5), NOBODY[:5]).tolist() == [0, 1, 1, 2, 2]


def test_magnitudes_split_their_sample_in_thirds() -> None:
    sample = np.random.default_rng(0).standard_normal((3000, 4)).astype(np.float32)
    labels = MagnitudeLabels(sample).label(sample, NOBODY, NOBODY)
    assert np.bincount(labels).tolist() == [1000, 1000, 1000]


def test_sampled_states_are_reproducible() -> None:
    maker = environment_maker("CartPole-v1")
    assert np.array_equal(sample_states(maker, 1, 50), sample_states(maker, 1, 50))


def test_module_ids_are_refused_and_never_imported() -> None:
    with pytest.raises(InputError, match="would import that module"):
        environment_maker("this_module_does_not_exist:Env-v0")


def test_unknown_ids_are_refused() -> None:
    with pytest.raises(InputError, match="no such environment"):
        environment_maker("NoSuchEnvironment-v9")


def test_continuous_actions_are_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"actions must be Discrete; given Box"):
        GymnasiumVectorEnvironment(environment_maker("Pendulum-v1"), 1)


def test_discrete_observations_are_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"observations must be a Box; given Discrete"):
        GymnasiumVectorEnvironment(environment_maker("FrozenLake-v1"), 1)
