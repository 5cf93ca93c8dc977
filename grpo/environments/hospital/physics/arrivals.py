"""Who comes, and when: usual arrivals and surges, and the types of their patients."""

from __future__ import annotations

import math

from grpo.environments.hospital.compiling.parameters import (
    CLASS_ACUITY,
    DIVERSION_COST,
    EXTRA_RATE,
    RATE,
    SURGE_EVERY,
    SURGE_FIRST,
    SURGE_HOURS,
    SURGE_RATE,
    TARGET,
    WAITING_ROOM,
)
from grpo.environments.hospital.physics.costs import add_cost_rate, charge
from grpo.environments.hospital.physics.kernel import inlined, internal, merged
from grpo.environments.hospital.physics.queues import append, occupy
from grpo.environments.hospital.physics.records import (
    TRACE_ARRIVED,
    TRACE_DIVERTED,
    open_record,
    record,
    trace,
)
from grpo.environments.hospital.physics.state import (
    ACTIVITY,
    ARRIVALS,
    ARRIVED,
    ARRIVED_AT,
    BEYOND,
    CLASS,
    COSTED_AT,
    DEADLINE,
    DIVERTED,
    ENTERED_AT,
    KEY,
    LOG_ROW,
    NEXT_ARRIVAL,
    NOW,
    NOW_TYPE,
    NUM_VACANT,
    OUTCOME_DIVERTED,
    OUTCOME_WAITING,
    PATIENTS,
    RECORDED,
    SERIAL,
    SURGE_ARRIVAL,
    SURGES,
    TYPE,
    VISIT,
    WAITING,
    WORSENS_AT,
    Float64,
    Int64,
    Parameters,
    State,
)
from grpo.environments.hospital.physics.streams import (
    Key,
    draw_key,
    exponential_of,
    subkey,
    time_of,
    type_of,
    uniform_of,
)
from grpo.environments.hospital.physics.waiting import class_fits, wait_for_next, worsening_time

# What a patient's subkeys are for; care and waiting have others.
RECORDED_KEY, PATIENCE_KEY = 1, 2


@internal
def find_arrival(rates: Float64, at: float, remaining: float) -> float:
    """Return when the cumulative rate has grown by ``remaining`` since ``at``; exact.

    Args:
        rates: [24] or [168] per hour, by hour of day or week.
        at: hours.
        remaining: an exponential(1) amount.
    """
    hour = int(at)
    place = hour % rates.shape[0]
    rate = rates[place]
    amount = rate * (hour + 1 - at)
    while remaining >= amount:
        remaining -= amount
        hour += 1
        at = float(hour)
        place += 1
        if place == rates.shape[0]:
            place = 0
        rate = rates[place]
        amount = rate
    return float(at + remaining / rate)


@internal
def find_surge_arrival(surges: Float64, j: int, at: float, remaining: float) -> float:
    """Return when surge ``j`` brings its next patient after ``at``; infinity if never."""
    first, every = surges[j, SURGE_FIRST], surges[j, SURGE_EVERY]
    hours, rate = surges[j, SURGE_HOURS], surges[j, SURGE_RATE]
    if rate <= 0.0:
        return math.inf
    start = first
    if at > first and every < math.inf:
        start += every * math.floor((at - first) / every)
    while True:
        begins = max(at, start)
        amount = rate * (start + hours - begins)
        if amount > remaining:
            return float(begins + remaining / rate)
        if every == math.inf:
            return math.inf
        remaining -= max(amount, 0.0)
        start += every


@inlined
def draw_next_arrival(state: State, par: Parameters, i: int, source: int) -> None:
    """Find the next arrival of a source, 0 for the usual ones, j + 1 for surge j."""
    if source == 0:
        remaining = exponential_of(draw_key(state.streams, i, ARRIVALS))
        at = state.clock[i, NEXT_ARRIVAL]
        state.clock[i, NEXT_ARRIVAL] = find_arrival(par.arrival_rates, at, remaining)
    else:
        j = source - 1
        remaining = exponential_of(draw_key(state.streams, i, SURGES + j))
        at = state.clock[i, SURGE_ARRIVAL + j]
        state.clock[i, SURGE_ARRIVAL + j] = find_surge_arrival(par.surges, j, at, remaining)


@inlined
def triage_class(classes: Int64, recorded: Float64, y: int, key: Key) -> int:
    """Return the class in which a patient of type ``y`` is put at triage, which may err."""
    level = 0
    if recorded.shape[0] > 0:
        u = uniform_of(subkey(key, RECORDED_KEY))
        level = 1
        while level < recorded.shape[1] and u >= recorded[y, level - 1]:
            level += 1
    return int(classes[y, level])


@merged
def arrive(state: State, par: Parameters, i: int, source: int, decay: float) -> None:
    """Let one patient arrive now: draw his key, then queue or divert him."""
    now = state.clock[i, NOW]
    key = draw_key(state.streams, i, PATIENTS)
    draw_next_arrival(state, par, i, source)
    y = type_of(par.aliases, source, key)
    k = triage_class(par.classes, par.recorded, y, key)
    serial = state.counts[i, ARRIVED]
    state.counts[i, ARRIVED] += 1
    full = state.counts[i, WAITING] >= par.settings[WAITING_ROOM]
    full = full and not class_fits(state.counts, par.needs, par.first_activity, i, k)
    if full or state.counts[i, NUM_VACANT] == 0:
        state.counts[i, DIVERTED] += 1
        cost = par.types[y, DIVERSION_COST]
        open_record(state.log, state.counts, state.clock, i, y, OUTCOME_DIVERTED, cost)
        charge(state.heads, par.head_weights, i, y, cost, decay)
        trace(state.trace, state.counts, state.clock, i, TRACE_DIVERTED, serial, k, -1)
        return
    slot = occupy(state.counts, state.stacks, i)
    acuity = par.class_table[par.classes[y, 0], CLASS_ACUITY]
    state.keys[i, slot, KEY] = key
    state.times[i, slot, ARRIVED_AT] = now
    state.times[i, slot, ENTERED_AT] = now
    state.times[i, slot, COSTED_AT] = now
    row = par.stages.shape[0] * par.types.shape[0] + y
    patience = time_of(subkey(key, PATIENCE_KEY), par.laws, row, par.quantiles)
    state.times[i, slot, DEADLINE] = now + patience
    state.times[i, slot, WORSENS_AT] = now + worsening_time(par.types, y, acuity, key)
    beyond = par.types[y, TARGET] <= 0.0
    state.links[i, slot, TYPE] = y
    state.links[i, slot, NOW_TYPE] = y
    state.links[i, slot, CLASS] = k
    state.links[i, slot, BEYOND] = 1 if beyond else 0
    state.keys[i, slot, SERIAL] = serial
    state.links[i, slot, ACTIVITY] = -1
    state.links[i, slot, VISIT] = 0
    state.links[i, slot, LOG_ROW] = open_record(
        state.log, state.counts, state.clock, i, y, OUTCOME_WAITING, 0.0
    )
    record(
        state.courses, i, state.links[i, slot, LOG_ROW], RECORDED, par.class_table[k, CLASS_ACUITY]
    )
    append(state.queues, state.counts, state.links, i, k, slot)
    state.counts[i, WAITING] += 1
    rate = par.types[y, RATE] + (par.types[y, EXTRA_RATE] if beyond else 0.0)
    add_cost_rate(state.heads, par.head_weights, i, y, rate)
    trace(state.trace, state.counts, state.clock, i, TRACE_ARRIVED, serial, k, -1)
    wait_for_next(state, par, i, slot)
