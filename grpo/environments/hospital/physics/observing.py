"""From a hospital's state to what a policy sees of it, and what a batch gives back of a step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from grpo.environments.hospital.compiling.parameters import HOLD
from grpo.environments.hospital.physics.features import (
    Bool,
    Float32,
    Int64,
    activity_fits,
    hour_of_week,
    write_class,
    write_pool,
    write_time,
)
from grpo.environments.hospital.physics.kernel import kernel, merged
from grpo.environments.hospital.physics.queues import next_present
from grpo.environments.hospital.physics.state import (
    ARRIVED_AT,
    FREE,
    HEAD,
    LENGTH,
    NOW,
    Parameters,
    State,
)


class StepOutput(NamedTuple):
    """What a call of run_choices gives back of every hospital.

    Attributes:
        observations: [N, O] what the next choice sees.
        masks: [N, A + 1] which actions it allows.
        rewards: [N, H] rewards of the call, discounted inside it.
        elapsed: [N] hours that passed.
        discounts: [N] discount over them.
    """

    observations: Float32
    masks: Bool
    rewards: Float32
    elapsed: Float32
    discounts: Float32


def make_output(par: Parameters, num_envs: int, observation_size: int) -> StepOutput:
    """Return arrays for the output of so many hospitals, 0 for none."""
    return StepOutput(
        np.zeros((num_envs, observation_size), dtype=np.float32),
        np.zeros((num_envs, len(par.needs) + 1), dtype=np.bool_),
        np.zeros((num_envs, par.head_weights.shape[1]), dtype=np.float32),
        np.zeros(num_envs, dtype=np.float32),
        np.ones(num_envs, dtype=np.float32),
    )


NO_OUTPUT = StepOutput(
    np.zeros((0, 0), dtype=np.float32),
    np.zeros((0, 0), dtype=np.bool_),
    np.zeros((0, 0), dtype=np.float32),
    np.zeros(0, dtype=np.float32),
    np.zeros(0, dtype=np.float32),
)
"""For calls that give nothing back: of runs under rules."""


@merged
def observe(state: State, par: Parameters, i: int, observations: Float32, masks: Bool) -> None:
    """Write the observation and the mask of hospital ``i``: see ``features.write_features``.

    Only classes in which somebody waits are looked at.
    """
    num_classes, num_pools = state.queues.shape[1], par.needs.shape[1]
    num_activities = par.needs.shape[0]
    for k in range(3 * num_classes):
        observations[i, k] = 0.0
    for a in range(num_activities):
        masks[i, a] = False
    some = False
    k = next_present(state.counts, num_classes, i, 0)
    while k < num_classes:
        slot = state.queues[i, k, HEAD]
        hours = state.clock[i, NOW] - state.times[i, slot, ARRIVED_AT]
        write_class(observations, i, num_classes, k, state.queues[i, k, LENGTH], hours)
        for a in range(par.first_activity[k], par.first_activity[k + 1]):
            allowed = activity_fits(state.counts, FREE, par.needs, i, a)
            masks[i, a] = allowed
            some = some or allowed
        k = next_present(state.counts, num_classes, i, k + 1)
    masks[i, num_activities] = par.settings[HOLD] > 0.0 or not some
    first = 3 * num_classes
    for p in range(num_pools):
        free, now = state.counts[i, FREE + p], state.counts[i, FREE + num_pools + p]
        write_pool(observations, i, first + p, num_pools, free, now, par.capacity[p])
    write_time(observations, i, first + 2 * num_pools, hour_of_week(state.clock[i, NOW]))


@kernel
def find_forbidden(actions: Int64, masks: Bool, live: Bool) -> int:
    """Return the first live hospital whose action its mask forbids, -1 where there is none."""
    for i in range(actions.shape[0]):
        if live[i] and (actions[i] < 0 or actions[i] >= masks.shape[1] or not masks[i, actions[i]]):
            return i
    return -1
