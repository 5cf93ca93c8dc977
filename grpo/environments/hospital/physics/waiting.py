"""Those who wait in the emergency department: what fits, what befalls them, and leaving."""

from __future__ import annotations

import math

from grpo.environments.hospital.compiling.parameters import (
    CLASS_ACUITY,
    EXTRA_RATE,
    LEAVING_COST,
    RATE,
    TARGET,
    WORSENING_COST,
    WORSENING_RATE,
)
from grpo.environments.hospital.physics.costs import (
    add_cost_rate,
    charge,
    clear_cost_rates,
    waiting_cost,
)
from grpo.environments.hospital.physics.features import activity_fits
from grpo.environments.hospital.physics.kernel import inlined, internal, merged
from grpo.environments.hospital.physics.queues import (
    insert_by_arrival,
    remove,
    schedule,
    serial_of,
    vacate,
)
from grpo.environments.hospital.physics.records import (
    TRACE_LEFT,
    TRACE_WORSENED,
    add_to_record,
    record,
    trace,
)
from grpo.environments.hospital.physics.state import (
    ARRIVED_AT,
    BEYOND,
    CLASS,
    COSTED_AT,
    DEADLINE,
    FREE,
    KEY,
    LEAVES,
    LEFT,
    LOG_COST,
    LOG_OUTCOME,
    LOG_ROW,
    LOG_WAIT,
    NOW,
    NOW_TYPE,
    OUTCOME_LEFT,
    PENDING,
    TARGET_PASSES,
    TYPE,
    WAITING,
    WORSENS,
    WORSENS_AT,
    Float64,
    Int32,
    Int64,
    Parameters,
    State,
)
from grpo.environments.hospital.physics.streams import Key, exponential_of, subkey

# Plus the acuity: when a patient gets worse than that.
WORSENING_KEY = 8


@inlined
def class_fits(counts: Int64, needs: Int64, first_activity: Int64, i: int, k: int) -> bool:
    """Whether a patient of class ``k`` could start now on one of its sets of units."""
    for a in range(first_activity[k], first_activity[k + 1]):
        if activity_fits(counts, FREE, needs, i, a):
            return True
    return False


@inlined
def worsening_time(types: Float64, y: int, level: int, key: Key) -> float:
    """Return hours until a waiting patient of type ``y`` gets worse; infinity if he does not."""
    rate = types[y, WORSENING_RATE]
    if rate <= 0.0:
        return math.inf
    return float(exponential_of(subkey(key, WORSENING_KEY + level)) / rate)


@internal
def _schedule_next(
    types: Float64,
    times: Float64,
    links: Int32,
    due: Float64,
    stacks: Int32,
    counts: Int64,
    i: int,
    slot: int,
    with_target: bool,
) -> None:
    """Schedule what happens first to a waiting patient; see ``wait_for_next``."""
    at, pending = times[i, slot, DEADLINE], LEAVES
    if times[i, slot, WORSENS_AT] < at:
        at, pending = times[i, slot, WORSENS_AT], WORSENS
    if with_target and links[i, slot, BEYOND] == 0:
        kink = times[i, slot, ARRIVED_AT] + types[links[i, slot, NOW_TYPE], TARGET]
        if kink < at:
            at, pending = kink, TARGET_PASSES
    links[i, slot, PENDING] = pending
    schedule(due, stacks, counts, i, slot, at)


@inlined
def wait_for_next(state: State, par: Parameters, i: int, slot: int) -> None:
    """Schedule the first of: his target passes, he gets worse, he leaves.

    The target matters to the cost rates of heads alone: without heads it is no event.
    """
    _schedule_next(
        par.types,
        state.times,
        state.links,
        state.heap_times,
        state.stacks,
        state.counts,
        i,
        slot,
        par.head_weights.shape[1] > 0,
    )


@inlined
def take_cost_rate(
    heads: Float64, weights: Float64, types: Float64, links: Int32, i: int, slot: int, sign: float
) -> None:
    """Add, or with sign -1 take away, the cost rate of a patient waiting for the first stage."""
    y = links[i, slot, NOW_TYPE]
    rate = types[y, RATE]
    if links[i, slot, BEYOND] == 1:
        rate += types[y, EXTRA_RATE]
    add_cost_rate(heads, weights, i, links[i, slot, TYPE], sign * rate)


@inlined
def settle_cost(
    log: Float64, clock: Float64, times: Float64, links: Int32, types: Float64, i: int, slot: int
) -> None:
    """Add the cost of a patient's waiting as he is now, since he became so, to his record."""
    arrived = times[i, slot, ARRIVED_AT]
    first = times[i, slot, COSTED_AT] - arrived
    cost = waiting_cost(types, links[i, slot, NOW_TYPE], first, clock[i, NOW] - arrived)
    add_to_record(log, i, links[i, slot, LOG_ROW], LOG_COST, cost)


@inlined
def stop_waiting(state: State, par: Parameters, i: int, slot: int) -> None:
    """Take a patient out of the queue and his cost out of the rates; close his wait."""
    remove(state.queues, state.counts, state.links, i, state.links[i, slot, CLASS], slot)
    state.counts[i, WAITING] -= 1
    take_cost_rate(state.heads, par.head_weights, par.types, state.links, i, slot, -1.0)
    clear_cost_rates(state.heads, state.counts, i)
    settle_cost(state.log, state.clock, state.times, state.links, par.types, i, slot)
    record(
        state.log,
        i,
        state.links[i, slot, LOG_ROW],
        LOG_WAIT,
        state.clock[i, NOW] - state.times[i, slot, ARRIVED_AT],
    )


@merged
def leave(state: State, par: Parameters, i: int, slot: int, decay: float) -> None:
    """Let a patient, whose event was taken out of the heap, leave unseen."""
    stop_waiting(state, par, i, slot)
    cost = par.types[state.links[i, slot, NOW_TYPE], LEAVING_COST]
    add_to_record(state.log, i, state.links[i, slot, LOG_ROW], LOG_COST, cost)
    record(state.log, i, state.links[i, slot, LOG_ROW], LOG_OUTCOME, OUTCOME_LEFT)
    charge(state.heads, par.head_weights, i, state.links[i, slot, TYPE], cost, decay)
    state.counts[i, LEFT] += 1
    trace(
        state.trace,
        state.counts,
        state.clock,
        i,
        TRACE_LEFT,
        serial_of(state.keys, i, slot),
        state.links[i, slot, CLASS],
        -1,
    )
    vacate(state.counts, state.stacks, i, slot)


@merged
def pass_target(state: State, par: Parameters, i: int, slot: int) -> None:
    """Raise the cost rate of a patient whose target passes."""
    state.links[i, slot, BEYOND] = 1
    y = state.links[i, slot, NOW_TYPE]
    add_cost_rate(
        state.heads, par.head_weights, i, state.links[i, slot, TYPE], par.types[y, EXTRA_RATE]
    )
    wait_for_next(state, par, i, slot)


@merged
def worsen(state: State, par: Parameters, i: int, slot: int, decay: float) -> None:
    """Move a waiting patient to the next more urgent acuity; he keeps his place in time.

    His patience runs on. He is triaged anew: if his recorded acuity was less urgent than he is
    now, he moves to the class of what he is.
    """
    now = state.clock[i, NOW]
    take_cost_rate(state.heads, par.head_weights, par.types, state.links, i, slot, -1.0)
    settle_cost(state.log, state.clock, state.times, state.links, par.types, i, slot)
    more_urgent = par.types.shape[0] // (par.classes.shape[1] - par.stages.shape[0])
    y = state.links[i, slot, NOW_TYPE] - more_urgent
    state.links[i, slot, NOW_TYPE] = y
    state.times[i, slot, COSTED_AT] = now
    passed = now - state.times[i, slot, ARRIVED_AT] >= par.types[y, TARGET]
    state.links[i, slot, BEYOND] = 1 if passed else 0
    take_cost_rate(state.heads, par.head_weights, par.types, state.links, i, slot, 1.0)
    cost = par.types[y, WORSENING_COST]
    add_to_record(state.log, i, state.links[i, slot, LOG_ROW], LOG_COST, cost)
    charge(state.heads, par.head_weights, i, state.links[i, slot, TYPE], cost, decay)
    k = state.links[i, slot, CLASS]
    acuity = par.class_table[par.classes[y, 0], CLASS_ACUITY]
    if acuity < par.class_table[k, CLASS_ACUITY]:
        remove(state.queues, state.counts, state.links, i, k, slot)
        k = par.classes[y, 0]
        state.links[i, slot, CLASS] = k
        insert_by_arrival(state.queues, state.counts, state.links, state.keys, i, k, slot)
    key = state.keys[i, slot, KEY]
    state.times[i, slot, WORSENS_AT] = now + worsening_time(par.types, y, acuity, key)
    trace(
        state.trace,
        state.counts,
        state.clock,
        i,
        TRACE_WORSENED,
        serial_of(state.keys, i, slot),
        k,
        -1,
    )
    wait_for_next(state, par, i, slot)
