"""Vector environments stepped together against the same ones, each stepped alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from grpo.environments.gymnasium_vector import GymnasiumVectorEnvironment, environment_maker
from grpo.environments.vector import Joins
from grpo.grouping.labels import FunctionLabels, ThresholdLabels
from grpo.grouping.specs import ThresholdGroups
from tests.grpo.test_gymnasium_vector import Countdown

MEMBERS, SIZE = 3, 4


def make(kind: str, when: str) -> Any:
    makers: dict[str, Any] = {"cartpole": environment_maker("CartPole-v1"), "countdown": Countdown}
    groups = ThresholdGroups(kind="threshold", feature=1, edges=[0.0], labels=["low", "high"])
    labeller: Any = None if when == "never" else ThresholdLabels(groups)
    chosen: Any = "step" if when == "step" else "reset"
    if when == "learned":
        labeller = FunctionLabels(lambda state, episode: int(state[0] > 0) + 2 * (episode % 3))
    return GymnasiumVectorEnvironment(makers[kind], SIZE, labeller=labeller, when=chosen)


@pytest.mark.parametrize("kind", ["cartpole", "countdown"])
@pytest.mark.parametrize("when", ["never", "reset", "step", "learned"])
def test_joined_environments_step_as_each_alone_also_after_one_starts_anew(
    kind: str, when: str
) -> None:
    alone, members = ([make(kind, when) for _ in range(MEMBERS)] for _ in range(2))
    for seed, environments in enumerate(zip(alone, members, strict=True)):
        for environment in environments:
            environment.reset(seed)
            environment.step(np.zeros(SIZE, dtype=np.int64))  # some way on before they are joined
    first, *others = members
    assert isinstance(members[0], Joins)
    joined, observations, masks = first.join(others)
    assert (joined.num_envs, joined.observation_size) == (MEMBERS * SIZE, first.observation_size)
    generator, ended = np.random.default_rng(0), 0
    for t in range(60):
        if t == 40:
            shown = alone[1].restart(7)[0].copy()
            assert np.array_equal(members[1].restart(7)[0], shown)
            assert np.array_equal(observations[SIZE : 2 * SIZE], shown)
        actions = generator.integers(0, 2, MEMBERS * SIZE)
        together = joined.step(actions)
        expected = [one.step(actions[i * SIZE :][:SIZE]) for i, one in enumerate(alone)]
        for name, array in together._asdict().items():
            parts = np.concatenate([getattr(transition, name) for transition in expected])
            read: Any = slice(None)
            if name == "final_observations":
                read = together.terminated | together.truncated
            assert np.array_equal(array[read], parts[read]), name
        ended += int((together.terminated | together.truncated).sum())
        assert np.array_equal(observations, together.observations)
        assert np.array_equal(masks, together.action_masks)
    assert ended > 5
    for one, member in zip(alone, members, strict=True):
        assert np.array_equal(one.total_rewards, member.total_rewards)
        assert np.array_equal(one.clocks, member.clocks)
        assert one.group_labels == member.group_labels
    assert np.array_equal(joined.total_rewards, np.concatenate([m.total_rewards for m in members]))
    assert np.array_equal(joined.clocks, np.concatenate([m.clocks for m in members]))
