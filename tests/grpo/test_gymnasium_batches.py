"""Stepping copies of an environment together must play the episodes of stepping them one by one."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest

from grpo.environments.cartpole import STARTS_AT_ONCE, CartPolesTogether
from grpo.environments.gymnasium_batches import (
    SteppedOneByOne,
    are_cartpoles,
    make_batch,
)
from grpo.environments.gymnasium_variants import make_variant
from grpo.environments.gymnasium_vector import environment_maker

CARTPOLE = environment_maker("CartPole-v1")
VARIANTS = (
    CARTPOLE,
    partial(make_variant, "CartPole-v1", {"length": 1.5}),
    partial(make_variant, "CartPole-v1", {"masspole": 0.5, "force_mag": 5.0}),
)


def balance(observations: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Push towards where the pole falls, mostly: episodes of all lengths, up to the limit."""
    lean = observations @ np.array([0.1, 0.5, 3.0, 1.0], dtype=np.float32)
    actions = (lean > 0).astype(np.int64)
    mistakes = rng.random(len(actions)) < np.linspace(0.0, 0.5, len(actions))
    return np.where(mistakes, 1 - actions, actions)


@pytest.mark.parametrize("variants", [VARIANTS[:1], VARIANTS], ids=["plain", "variants"])
def test_cartpoles_stepped_together_play_the_episodes_of_single_ones(variants: Any) -> None:
    num_envs = 12
    environments = [variants[i % len(variants)]() for i in range(num_envs)]
    assert are_cartpoles(environments)
    together = CartPolesTogether([variants[i % len(variants)]() for i in range(num_envs)])
    single = SteppedOneByOne(environments, 4, 2, 0)
    seeds = list(range(100, 100 + num_envs))
    rng = np.random.default_rng(3)
    ended, episodes = np.zeros(2, dtype=np.int64), np.zeros(num_envs, dtype=np.int64)
    for batch in (together, single):
        batch.reset(seeds)
    for _ in range(1200):
        assert np.array_equal(together.observations, single.observations)
        actions = balance(single.observations, rng)
        for batch in (together, single):
            batch.step(actions)
        assert np.array_equal(together.terminated, single.terminated)
        assert np.array_equal(together.truncated, single.truncated)
        assert np.array_equal(together.rewards, single.rewards)
        rows = single.terminated | single.truncated
        assert np.array_equal(together.final[rows], single.final[rows])
        ended += [single.terminated.sum(), single.truncated.sum()]
        episodes += rows
    assert (ended > 0).all()
    assert episodes.max() > 2 * STARTS_AT_ONCE
    assert np.array_equal(together.totals, single.totals)
    together.close()
    single.close()


def test_a_wrapped_cartpole_is_stepped_by_itself_because_a_wrapper_may_change_it() -> None:
    class Halved(gymnasium.Wrapper):
        def step(self, action: Any) -> Any:
            observation, reward, *rest = self.env.step(action)
            return observation, 0.5 * float(reward), *rest

    batch, longest = make_batch([lambda: Halved(CARTPOLE())], 2, lambda _: (4, 2, 0))
    batch.reset([1, 2])
    batch.step(np.array([0, 1]))
    assert batch.rewards.tolist() == [[0.5], [0.5]]
    assert longest == 500
    batch.close()
