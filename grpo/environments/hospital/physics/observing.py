"""From a hospital's state to what a policy sees of it, and whether an action is allowed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from grpo.environments.hospital.compiling.parameters import HOLD
from grpo.environments.hospital.physics.features import (
    HOURS_PER_WEEK,
    Bool,
    Float32,
    Int64,
    write_features,
    write_mask,
)
from grpo.environments.hospital.physics.kernel import kernel, merged
from grpo.environments.hospital.physics.state import (
    ARRIVED_AT,
    FREE,
    HEAD,
    LENGTH,
    NOW,
    Float64,
    Parameters,
    State,
)


class Scratch(NamedTuple):
    """Working memory of one call of run_all: [K] lengths, [K] head waits, [P] units."""

    lengths: Int64
    head_waits: Float64
    free: Int64
    capacity: Int64


def make_scratch(par: Parameters) -> Scratch:
    """Return working memory, since kernels create no arrays themselves."""
    num_classes, num_pools = len(par.class_table), par.needs.shape[1]
    return Scratch(
        np.zeros(num_classes, dtype=np.int64),
        np.zeros(num_classes),
        np.zeros(num_pools, dtype=np.int64),
        np.zeros(num_pools, dtype=np.int64),
    )


@merged
def observe(
    state: State, par: Parameters, i: int, observations: Float32, masks: Bool, scratch: Scratch
) -> None:
    """Write the observation and the mask of hospital ``i``."""
    num_pools = par.needs.shape[1]
    for k in range(scratch.lengths.shape[0]):
        scratch.lengths[k] = state.queues[i, k, LENGTH]
        if scratch.lengths[k] > 0:
            slot = state.queues[i, k, HEAD]
            scratch.head_waits[k] = state.clock[i, NOW] - state.times[i, slot, ARRIVED_AT]
    for p in range(num_pools):
        scratch.free[p] = state.counts[i, FREE + p]
        scratch.capacity[p] = state.counts[i, FREE + num_pools + p]
    write_features(
        scratch.lengths,
        scratch.head_waits,
        scratch.free,
        scratch.capacity,
        par.capacity,
        state.clock[i, NOW] % HOURS_PER_WEEK,
        observations,
        i,
    )
    hold = par.settings[HOLD] > 0.0
    write_mask(scratch.lengths, scratch.free, par.needs, par.activity_class, hold, masks, i)


@kernel
def find_forbidden(actions: Int64, masks: Bool, live: Bool) -> int:
    """Return the first live hospital whose action its mask forbids, -1 where there is none."""
    for i in range(actions.shape[0]):
        if live[i] and (actions[i] < 0 or actions[i] >= masks.shape[1] or not masks[i, actions[i]]):
            return i
    return -1
