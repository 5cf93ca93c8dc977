"""Care: starts, ends, boarding for the next stage, and units that are cleaned afterwards."""

from __future__ import annotations

from grpo.environments.hospital.compiling.laws import LAW_NONE
from grpo.environments.hospital.compiling.parameters import (
    CLASS_ACUITY,
    CLASS_STAGE,
    DEATH_COST,
    STAGE_COST,
    TRANSFERS,
)
from grpo.environments.hospital.physics.costs import add_cost_rate, charge, clear_cost_rates
from grpo.environments.hospital.physics.kernel import inlined, internal, merged
from grpo.environments.hospital.physics.queues import (
    append,
    occupy,
    remove,
    schedule,
    serial_of,
    vacate,
)
from grpo.environments.hospital.physics.records import (
    TRACE_BOARDED,
    TRACE_CLEANED,
    TRACE_DISCHARGED,
    TRACE_STARTED,
    TRACE_TRANSFERRED,
    add_to_record,
    record,
    trace,
)
from grpo.environments.hospital.physics.state import (
    ACTIVITY,
    ARRIVED_AT,
    BOARDED,
    BOARDING,
    BOARDS,
    CLASS,
    COMPLETES,
    DISCHARGED,
    ED_HOURS,
    END_HOURS,
    ENTERED_AT,
    FREE,
    HARM,
    HEAD,
    IN_CARE,
    IS_CLEAN,
    KEY,
    LOG_COST,
    LOG_OUTCOME,
    LOG_ROW,
    NOW,
    NOW_TYPE,
    OUTCOME_SERVED,
    OUTCOME_TRANSFERRED,
    PENDING,
    START_ACUITY,
    TRANSFERRED,
    TYPE,
    VISIT,
    Float64,
    Parameters,
    State,
)
from grpo.environments.hospital.physics.streams import (
    Key,
    subkey,
    time_of,
    uniform_of,
)
from grpo.environments.hospital.physics.waiting import stop_waiting

# What a patient's subkeys are for, anew at every visit; CLEANING plus the pool.
FIRST_VISIT_KEY, KEYS_PER_VISIT = 32, 18
STAY_KEY, ROUTE_KEY, CLEANING_KEY = 0, 1, 2


@inlined
def visit_key(key: Key, visit: int, purpose: int) -> Key:
    """Return a patient's key for a fact of one of the stages that he goes through."""
    return subkey(key, FIRST_VISIT_KEY + KEYS_PER_VISIT * visit + purpose)


@internal
def read_harm(harm: Float64, hours: float) -> float:
    """Return the added probability of death after so many hours without a bed; piecewise linear."""
    last = harm.shape[1] - 1
    if last < 0 or hours < harm[0, 0]:
        return 0.0
    for n in range(last):
        if hours < harm[0, n + 1]:
            part = (hours - harm[0, n]) / (harm[0, n + 1] - harm[0, n])
            return float(harm[1, n] + part * (harm[1, n + 1] - harm[1, n]))
    return float(harm[1, last])


@inlined
def release_units(state: State, par: Parameters, i: int, slot: int) -> None:
    """Give back the units that a patient holds: at once, or after they are cleaned."""
    a = state.links[i, slot, ACTIVITY]
    first_row = (1 + par.stages.shape[0]) * par.types.shape[0]
    for p in range(par.needs.shape[1]):
        units = par.needs[a, p]
        if units > 0 and par.laws[first_row + p, 0] == LAW_NONE:
            state.counts[i, FREE + p] += units
        elif units > 0:
            visit = state.links[i, slot, VISIT]
            key = visit_key(state.keys[i, slot, KEY], visit, CLEANING_KEY + p)
            hours = time_of(key, par.laws, first_row + p, par.quantiles)
            cleaned = occupy(state.counts, state.stacks, i)
            state.links[i, cleaned, TYPE] = p
            state.links[i, cleaned, ACTIVITY] = units
            state.links[i, cleaned, PENDING] = IS_CLEAN
            at = state.clock[i, NOW] + hours
            schedule(state.heap_times, state.stacks, state.counts, i, cleaned, at)


@merged
def become_clean(state: State, i: int, slot: int) -> None:
    """Let units that were cleaned, whose event was taken out of the heap, be free."""
    p = state.links[i, slot, TYPE]
    state.counts[i, FREE + p] += state.links[i, slot, ACTIVITY]
    trace(state.trace, state.counts, state.clock, i, TRACE_CLEANED, -1, p, -1)
    vacate(state.counts, state.stacks, i, slot)


@merged
def stop_boarding(state: State, par: Parameters, i: int, slot: int, decay: float) -> None:
    """Take a patient out of the queue for his next stage; he gives his units back."""
    k = state.links[i, slot, CLASS]
    now, y = state.clock[i, NOW], state.links[i, slot, TYPE]
    hours = now - state.times[i, slot, ARRIVED_AT]
    rate = par.stages[par.class_table[k, CLASS_STAGE], STAGE_COST]
    remove(state.queues, state.counts, state.links, i, k, slot)
    state.counts[i, BOARDING] -= 1
    add_cost_rate(state.heads, par.head_weights, i, y, -rate)
    clear_cost_rates(state.heads, state.counts, i)
    add_to_record(state.log, i, state.links[i, slot, LOG_ROW], LOG_COST, rate * hours)
    add_to_record(state.courses, i, state.links[i, slot, LOG_ROW], BOARDED, hours)
    if state.links[i, slot, VISIT] == 0:
        since = now - state.times[i, slot, ENTERED_AT]
        harm = read_harm(par.harm, since)
        cost = par.settings[DEATH_COST] * harm
        record(state.courses, i, state.links[i, slot, LOG_ROW], ED_HOURS, since)
        record(state.courses, i, state.links[i, slot, LOG_ROW], HARM, harm)
        if cost > 0.0:
            add_to_record(state.log, i, state.links[i, slot, LOG_ROW], LOG_COST, cost)
            charge(state.heads, par.head_weights, i, y, cost, decay)
    release_units(state, par, i, slot)
    state.links[i, slot, VISIT] += 1


@merged
def start_care(state: State, par: Parameters, i: int, a: int, decay: float) -> None:
    """Start the longest-waiting patient of an activity's class; its units are taken together."""
    k = par.activity_class[a]
    slot = state.queues[i, k, HEAD]
    stage = par.class_table[k, CLASS_STAGE]
    now_type = state.links[i, slot, NOW_TYPE]
    if stage == 0:
        stop_waiting(state, par, i, slot)
        record(state.log, i, state.links[i, slot, LOG_ROW], LOG_OUTCOME, OUTCOME_SERVED)
        acuity = par.class_table[par.classes[now_type, 0], CLASS_ACUITY]
        record(state.courses, i, state.links[i, slot, LOG_ROW], START_ACUITY, acuity)
    else:
        stop_boarding(state, par, i, slot, decay)
    for p in range(par.needs.shape[1]):
        state.counts[i, FREE + p] -= par.needs[a, p]
    if par.activity_costs[a] > 0.0:
        charge(
            state.heads,
            par.head_weights,
            i,
            state.links[i, slot, TYPE],
            par.activity_costs[a],
            decay,
        )
        add_to_record(state.log, i, state.links[i, slot, LOG_ROW], LOG_COST, par.activity_costs[a])
    state.counts[i, IN_CARE] += 1
    state.links[i, slot, ACTIVITY] = a
    state.links[i, slot, PENDING] = COMPLETES
    trace(
        state.trace,
        state.counts,
        state.clock,
        i,
        TRACE_STARTED,
        serial_of(state.keys, i, slot),
        k,
        a,
    )
    visit = state.links[i, slot, VISIT]
    key = visit_key(state.keys[i, slot, KEY], visit, STAY_KEY)
    row = stage * par.types.shape[0] + now_type
    at = state.clock[i, NOW] + time_of(key, par.laws, row, par.quantiles)
    schedule(state.heap_times, state.stacks, state.counts, i, slot, at)


@inlined
def next_stage(routes: Float64, row: int, key: Key) -> int:
    """Return the stage that follows by ``routes[row]``, 0 for none."""
    u = uniform_of(key)
    for s in range(routes.shape[1]):
        if u < routes[row, s]:
            return s + 1
    return 0


@merged
def board(state: State, par: Parameters, i: int, slot: int, stage: int) -> None:
    """Let a patient wait for his next stage; he keeps his units."""
    y = state.links[i, slot, NOW_TYPE]
    k = par.classes[y, par.classes.shape[1] - par.stages.shape[0] + stage]
    state.links[i, slot, CLASS] = k
    state.links[i, slot, PENDING] = BOARDS
    state.times[i, slot, ARRIVED_AT] = state.clock[i, NOW]
    append(state.queues, state.counts, state.links, i, k, slot)
    state.counts[i, BOARDING] += 1
    rate = par.stages[stage, STAGE_COST]
    add_cost_rate(state.heads, par.head_weights, i, state.links[i, slot, TYPE], rate)
    trace(
        state.trace,
        state.counts,
        state.clock,
        i,
        TRACE_BOARDED,
        serial_of(state.keys, i, slot),
        k,
        -1,
    )


@merged
def complete(state: State, par: Parameters, i: int, slot: int) -> None:
    """End a patient's care: he boards for the next stage, or goes and gives his units back.

    His event was taken out of the heap.
    """
    state.counts[i, IN_CARE] -= 1
    k = par.activity_class[state.links[i, slot, ACTIVITY]]
    stage = par.class_table[k, CLASS_STAGE]
    following = 0
    if par.routes.shape[1] > 0:
        row = stage * par.types.shape[0] + state.links[i, slot, NOW_TYPE]
        visit = state.links[i, slot, VISIT]
        following = next_stage(
            par.routes, row, visit_key(state.keys[i, slot, KEY], visit, ROUTE_KEY)
        )
    if following > 0:
        board(state, par, i, slot, following)
        return
    since = state.clock[i, NOW] - state.times[i, slot, ENTERED_AT]
    record(state.courses, i, state.links[i, slot, LOG_ROW], END_HOURS, since)
    if stage == 0:
        record(state.courses, i, state.links[i, slot, LOG_ROW], ED_HOURS, since)
    release_units(state, par, i, slot)
    serial = serial_of(state.keys, i, slot)
    if par.stages[stage, TRANSFERS] > 0.0:
        state.counts[i, TRANSFERRED] += 1
        record(state.log, i, state.links[i, slot, LOG_ROW], LOG_OUTCOME, OUTCOME_TRANSFERRED)
        trace(state.trace, state.counts, state.clock, i, TRACE_TRANSFERRED, serial, k, -1)
    else:
        state.counts[i, DISCHARGED] += 1
        trace(state.trace, state.counts, state.clock, i, TRACE_DISCHARGED, serial, k, -1)
    vacate(state.counts, state.stacks, i, slot)
