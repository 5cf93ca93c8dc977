"""What a hospital's critic may see beyond the policy: care in progress and the beds it will free.

A critic is a baseline that training throws away, so it may know what nobody at the bedside does:
when the stays under way will end. No other kernel reads or calls these.
"""

from __future__ import annotations

import math

import numpy as np

from grpo.environments.hospital.compiling.parameters import Parameters
from grpo.environments.hospital.physics.features import Float32, Float64, Int64
from grpo.environments.hospital.physics.kernel import kernel
from grpo.environments.hospital.physics.state import (
    ACTIVITY,
    ARRIVED_AT,
    COMPLETES,
    HEAD,
    HEAP,
    IS_CLEAN,
    LENGTH,
    NEXT,
    NOW,
    NUM_EVENTS,
    PENDING,
    TYPE,
    Int32,
    State,
)
from grpo.environments.hospital.privileged_features import SOON_HOURS

SPANS = np.array(SOON_HOURS)


def write_privileged(state: State, par: Parameters, out: Float32) -> None:
    """Write the privileged features [N, X] of N hospitals: see ``name_privileged``."""
    out[...] = 0.0
    _add_care(
        state.heap_times,
        state.stacks,
        state.counts,
        state.links,
        state.clock,
        par.needs,
        par.activity_class,
        par.capacity,
        SPANS,
        2 * state.queues.shape[1],
        out,
    )
    _write_waits(state.queues, state.links, state.times, state.clock, out)


@kernel
def _add_care(
    due: Float64,
    stacks: Int32,
    counts: Int64,
    links: Int32,
    clock: Float64,
    needs: Int64,
    activity_class: Int64,
    capacity: Int64,
    spans: Float64,
    first: int,
    out: Float32,
) -> None:
    """Add patients in care by class, and from column ``first`` on units by span and pool."""
    num_pools = needs.shape[1]
    for i in range(out.shape[0]):
        for position in range(counts[i, NUM_EVENTS]):
            slot = stacks[i, HEAP, position]
            held, pending = links[i, slot, ACTIVITY], links[i, slot, PENDING]
            if pending == COMPLETES:
                out[i, activity_class[held]] += 1.0
            elif pending != IS_CLEAN:
                continue
            for n in range(spans.shape[0]):
                if due[i, position] - clock[i, NOW] > spans[n]:
                    continue
                column = first + n * num_pools
                if pending == IS_CLEAN:
                    p = links[i, slot, TYPE]
                    out[i, column + p] += held / capacity[p]
                else:
                    for p in range(num_pools):
                        out[i, column + p] += needs[held, p] / capacity[p]


@kernel
def _write_waits(queues: Int32, links: Int32, times: Float64, clock: Float64, out: Float32) -> None:
    """Take the logarithm of the patients in care; write the hours waited together by class."""
    num_classes = queues.shape[1]
    for i in range(out.shape[0]):
        for k in range(num_classes):
            out[i, k] = math.log1p(out[i, k])
            hours = 0.0
            slot = queues[i, k, HEAD]
            for _ in range(queues[i, k, LENGTH]):
                hours += clock[i, NOW] - times[i, slot, ARRIVED_AT]
                slot = links[i, slot, NEXT]
            out[i, num_classes + k] = math.log1p(hours)
