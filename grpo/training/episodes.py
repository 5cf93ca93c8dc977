"""Whole episodes of a Gymnasium environment under a policy, and which group each belongs to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grpo.environments.gymnasium_variants import make_makers
from grpo.errors import InputError, SimulationError
from grpo.grouping.labels import make_labeller
from grpo.grouping.specs import GroupSpec, ThresholdGroups, find_when, locate_leaves
from grpo.models.policy import Policy
from grpo.seeding import derive_seed, make_generator

Float64 = NDArray[np.float64]

MAX_AT_ONCE = 256
MAX_STEPS = 100_000


class Episodes(NamedTuple):
    """What E episodes gave.

    Attributes:
        returns: [E] undiscounted.
        membership: [E, G] share of the episode's states that belong to each group; for groups
            fixed at the start, 1 and zeros.
    """

    returns: Float64
    membership: Float64


def play_episodes(
    environment_id: str, policy: Policy, grouping: GroupSpec, *, episodes: int, seed: int
) -> Episodes:
    """Play episodes as the policy is served; episode i starts from (seed, i) only.

    Where environments have variants, episode i is of variant i modulo their number.

    Args:
        environment_id: registered with Gymnasium, without a module part.
        policy: decides.
        grouping: who belongs to which group.
        episodes: E >= 1.
        seed: 0 <= seed < 2**63.

    Raises:
        InputError: the grouping reads a feature that the observation does not have.
        SimulationError: an episode does not end within 100,000 steps.
    """
    for pointer, leaf in locate_leaves(grouping):
        if isinstance(leaf, ThresholdGroups) and leaf.feature >= policy.manifest.observation_size:
            raise InputError.single(
                f"{pointer}/feature",
                "the observation has no such feature",
                given=leaf.feature,
                allowed=f"0 to {policy.manifest.observation_size - 1}",
            )
    parts = [
        _play_batch(environment_id, policy, grouping, range(first, last), seed)
        for first in range(0, episodes, MAX_AT_ONCE)
        for last in [min(first + MAX_AT_ONCE, episodes)]
    ]
    return Episodes(
        np.concatenate([part.returns for part in parts]),
        np.concatenate([part.membership for part in parts]),
    )


def _play_batch(
    environment_id: str, policy: Policy, grouping: GroupSpec, episodes: range, seed: int
) -> Episodes:
    """Play some of the episodes side by side, so that the policy decides for all at once."""
    makers, labeller = make_makers(environment_id, grouping), make_labeller(grouping)
    environments = [makers[i % len(makers)]() for i in episodes]
    numbers, each_state = np.array(episodes, dtype=np.int64), find_when(grouping) == "step"
    generator = make_generator(derive_seed(seed, "serving"), str(episodes.start))
    returns, visits = np.zeros(len(episodes)), np.zeros((len(episodes), len(labeller.names)))
    observations = np.zeros((len(episodes), policy.manifest.observation_size), np.float32)
    for i, environment in enumerate(environments):
        start = derive_seed(seed, f"episode {episodes[i]}")
        observations[i] = _flatten(environment.reset(seed=start)[0])
    live = np.arange(len(episodes))
    for step in range(MAX_STEPS):
        if step == 0 or each_state:
            groups = labeller.label(observations[live], numbers[live], numbers[live])
            visits[live, groups] += 1
        masks = np.ones((len(live), policy.manifest.num_actions), np.bool_)
        actions = policy.act(observations[live], masks, generator)
        ended = np.zeros(len(live), np.bool_)
        for row, (i, action) in enumerate(zip(live.tolist(), actions.tolist(), strict=True)):
            observation, reward, terminated, truncated, _ = environments[i].step(action)
            observations[i] = _flatten(observation)
            returns[i] += float(reward)
            ended[row] = terminated or truncated
        live = live[~ended]
        if live.size == 0:
            break
    else:
        raise SimulationError(f"an episode of {environment_id} did not end in {MAX_STEPS} steps")
    for environment in environments:
        environment.close()
    return Episodes(returns, visits / visits.sum(axis=1, keepdims=True))


def _flatten(observation: Any) -> NDArray[np.float32]:
    return np.asarray(observation, np.float32).ravel()
