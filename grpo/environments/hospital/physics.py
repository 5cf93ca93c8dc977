"""What happens in one hospital: arrivals, starts, completions, leaving, and the cost of it all.

Between events the cost rate of every head is constant, so costs and their discounting are
integrated exactly: a rate c over [t, t + s] costs c * exp(-beta t) * (1 - exp(-beta s)) / beta.
"""

from __future__ import annotations

import math

from grpo.environments.hospital.kernel import kernel
from grpo.environments.hospital.queues import append, remove, schedule, unschedule
from grpo.environments.hospital.state import (
    ADMISSION,
    ARRIVALS,
    ARRIVED,
    ARRIVED_AT,
    BEYOND,
    BOUND,
    CLASS,
    COMPLETES,
    COST_RATE,
    DEADLINE,
    DISCHARGED,
    DISCOUNT_RATE,
    DIVERSION_COST,
    DIVERTED,
    EXTRA_RATE,
    FREE,
    HEAD,
    HEAP,
    HEAP_POSITION,
    IN_CARE,
    LEAVES,
    LEAVING_COST,
    LEFT,
    LOG_ARRIVAL,
    LOG_FROM,
    LOG_OUTCOME,
    LOG_ROW,
    LOG_TYPE,
    LOG_UNTIL,
    LOG_USED,
    LOG_WAIT,
    NEXT_ARRIVAL,
    NOW,
    NUM_VACANT,
    OUTCOME_DIVERTED,
    OUTCOME_LEFT,
    OUTCOME_SERVED,
    OUTCOME_WAITING,
    PATIENCE,
    PATIENCE_LAW,
    PENDING,
    RATE,
    REWARD,
    SERIAL,
    STAY,
    STAY_LAW,
    STAYS,
    TARGET,
    TARGET_PASSES,
    TOTAL,
    TYPE,
    TYPES,
    VACANT,
    WAITING,
    WAITING_ROOM,
    Parameters,
    State,
)
from grpo.environments.hospital.streams import draw_exponential, draw_time, draw_uniform


@kernel
def draw_next_arrival(state: State, par: Parameters, i: int) -> None:
    """Find when the cumulative arrival rate has grown by an exponential(1) amount (exact)."""
    at = state.clock[i, NEXT_ARRIVAL]
    remaining = draw_exponential(state.streams, i, ARRIVALS)
    hour = int(at)
    rate = par.settings[hour % 24]
    amount = rate * (hour + 1 - at)
    while remaining >= amount:
        remaining -= amount
        hour += 1
        at = float(hour)
        rate = par.settings[hour % 24]
        amount = rate
    state.clock[i, NEXT_ARRIVAL] = at + remaining / rate


@kernel
def draw_type(state: State, par: Parameters, i: int) -> int:
    """Draw a patient type by its share of the arrivals (binary search in the cumulative shares)."""
    u = draw_uniform(state.streams, i, TYPES)
    low, high = 0, par.types.shape[0] - 2
    while low < high:
        middle = (low + high) >> 1
        if u < par.types[middle, BOUND]:
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def fits(state: State, par: Parameters, i: int, k: int) -> bool:
    """Whether all needs of class ``k`` are free at once."""
    for p in range(par.needs.shape[1]):  # noqa: SIM110 (numba compiles no generators)
        if par.needs[k, p] > state.counts[i, FREE + p]:
            return False
    return True


@kernel
def add_cost_rate(state: State, par: Parameters, i: int, y: int, rate: float) -> None:
    """Change every head's cost rate by that of one patient of type ``y``."""
    for h in range(par.head_weights.shape[1]):
        state.heads[i, h, COST_RATE] += par.head_weights[y, h] * rate


@kernel
def charge(state: State, par: Parameters, i: int, y: int, cost: float, decay: float) -> None:
    """Charge every head a lump sum for one patient of type ``y``."""
    for h in range(par.head_weights.shape[1]):
        weighted = par.head_weights[y, h] * cost
        state.heads[i, h, REWARD] -= decay * weighted
        state.heads[i, h, TOTAL] -= weighted


@kernel
def pass_time(state: State, par: Parameters, i: int, until: float, decay: float) -> float:
    """Let time pass without an event; return the decay exp(-beta * hours) at its end.

    Args:
        state: hospitals; the clock of hospital ``i`` moves to ``until``.
        par: parameters.
        i: which hospital.
        until: hours, not before now.
        decay: discount at the present instant, in (0, 1].
    """
    hours = until - state.clock[i, NOW]
    state.clock[i, NOW] = until
    beta = par.settings[DISCOUNT_RATE]
    later = decay * math.exp(-beta * hours) if beta > 0.0 else decay
    if state.counts[i, WAITING] > 0:
        discounted = (decay - later) / beta if beta > 0.0 else hours
        for h in range(par.head_weights.shape[1]):
            state.heads[i, h, REWARD] -= state.heads[i, h, COST_RATE] * discounted
            state.heads[i, h, TOTAL] -= state.heads[i, h, COST_RATE] * hours
    return later


@kernel
def record(state: State, i: int, slot: int, outcome: int) -> None:
    """Write the outcome of a patient's wait, which ends now, into the log."""
    row = int(state.links[i, slot, LOG_ROW])
    if row >= 0:
        state.log[i, row, LOG_OUTCOME] = outcome
        state.log[i, row, LOG_WAIT] = state.clock[i, NOW] - state.times[i, slot, ARRIVED_AT]


@kernel
def open_record(state: State, i: int, y: int, outcome: int) -> int:
    """Begin the record of a patient who arrives now; -1 outside the window or in a full log."""
    now = state.clock[i, NOW]
    if now < state.clock[i, LOG_FROM] or now >= state.clock[i, LOG_UNTIL]:
        return -1
    row = int(state.counts[i, LOG_USED])
    state.counts[i, LOG_USED] = row + 1
    if row >= state.log.shape[1]:
        return -1
    state.log[i, row, LOG_TYPE] = y
    state.log[i, row, LOG_OUTCOME] = outcome
    state.log[i, row, LOG_ARRIVAL] = now
    state.log[i, row, LOG_WAIT] = 0.0
    return row


@kernel
def stop_waiting(state: State, par: Parameters, i: int, slot: int) -> None:
    """Take a patient out of the queue and his cost out of the rates."""
    y = int(state.links[i, slot, TYPE])
    remove(state, i, int(state.links[i, slot, CLASS]), slot)
    state.counts[i, WAITING] -= 1
    if state.counts[i, WAITING] == 0:
        # Nobody waits, so the rate is 0: without this, rounding would drift over months.
        for h in range(par.head_weights.shape[1]):
            state.heads[i, h, COST_RATE] = 0.0
    else:
        rate = par.types[y, RATE]
        if state.links[i, slot, BEYOND] == 1:
            rate += par.types[y, EXTRA_RATE]
        add_cost_rate(state, par, i, y, -rate)


@kernel
def vacate(state: State, i: int, slot: int) -> None:
    """Give a patient's slot back."""
    state.stacks[i, VACANT, state.counts[i, NUM_VACANT]] = slot
    state.counts[i, NUM_VACANT] += 1


@kernel
def wait_for_next(state: State, par: Parameters, i: int, slot: int) -> None:
    """Schedule what happens first to a waiting patient: his target passes, or he leaves."""
    y = int(state.links[i, slot, TYPE])
    deadline = state.times[i, slot, DEADLINE]
    kink = state.times[i, slot, ARRIVED_AT] + par.types[y, TARGET]
    if state.links[i, slot, BEYOND] == 0 and kink < deadline:
        state.links[i, slot, PENDING] = TARGET_PASSES
        schedule(state, i, slot, kink)
    else:
        state.links[i, slot, PENDING] = LEAVES
        schedule(state, i, slot, deadline)


@kernel
def arrive(state: State, par: Parameters, i: int, decay: float) -> None:
    """Let one patient arrive now: draw all that concerns him, then queue or divert him."""
    now = state.clock[i, NOW]
    y = draw_type(state, par, i)
    stay = draw_time(par.types, y, STAY_LAW, state.streams, i, STAYS)
    chance = par.types[y, ADMISSION]
    if chance > 0.0 and draw_uniform(state.streams, i, STAYS) < chance:
        stay += draw_time(par.types, par.types.shape[0] - 1, STAY_LAW, state.streams, i, STAYS)
    patience = draw_time(par.types, y, PATIENCE_LAW, state.streams, i, PATIENCE)
    draw_next_arrival(state, par, i)
    k = par.type_class[y]
    serial = state.counts[i, ARRIVED]
    state.counts[i, ARRIVED] += 1
    full = state.counts[i, WAITING] >= par.settings[WAITING_ROOM] and not fits(state, par, i, k)
    if full or state.counts[i, NUM_VACANT] == 0:
        state.counts[i, DIVERTED] += 1
        open_record(state, i, y, OUTCOME_DIVERTED)
        charge(state, par, i, y, par.types[y, DIVERSION_COST], decay)
        return
    state.counts[i, NUM_VACANT] -= 1
    slot = int(state.stacks[i, VACANT, state.counts[i, NUM_VACANT]])
    state.times[i, slot, ARRIVED_AT] = now
    state.times[i, slot, STAY] = stay
    state.times[i, slot, DEADLINE] = now + patience
    beyond = par.types[y, TARGET] <= 0.0
    state.links[i, slot, TYPE] = y
    state.links[i, slot, CLASS] = k
    state.links[i, slot, BEYOND] = 1 if beyond else 0
    state.links[i, slot, SERIAL] = serial
    state.links[i, slot, HEAP_POSITION] = -1
    state.links[i, slot, LOG_ROW] = open_record(state, i, y, OUTCOME_WAITING)
    append(state, i, k, slot)
    state.counts[i, WAITING] += 1
    rate = par.types[y, RATE] + (par.types[y, EXTRA_RATE] if beyond else 0.0)
    add_cost_rate(state, par, i, y, rate)
    wait_for_next(state, par, i, slot)


@kernel
def start_care(state: State, par: Parameters, i: int, k: int) -> None:
    """Start the longest-waiting patient of class ``k``; all his needs are taken together."""
    slot = int(state.queues[i, k, HEAD])
    record(state, i, slot, OUTCOME_SERVED)
    stop_waiting(state, par, i, slot)
    for p in range(par.needs.shape[1]):
        state.counts[i, FREE + p] -= par.needs[k, p]
    state.counts[i, IN_CARE] += 1
    state.links[i, slot, PENDING] = COMPLETES
    schedule(state, i, slot, state.clock[i, NOW] + state.times[i, slot, STAY])


@kernel
def happen(state: State, par: Parameters, i: int, decay: float) -> bool:
    """Let the patient event at the top of the heap happen; return whether it calls for a choice."""
    slot = int(state.stacks[i, HEAP, 0])
    y = int(state.links[i, slot, TYPE])
    k = int(state.links[i, slot, CLASS])
    pending = state.links[i, slot, PENDING]
    if pending == TARGET_PASSES:
        state.links[i, slot, BEYOND] = 1
        add_cost_rate(state, par, i, y, par.types[y, EXTRA_RATE])
        wait_for_next(state, par, i, slot)
        return False
    unschedule(state, i, slot)
    if pending == LEAVES:
        record(state, i, slot, OUTCOME_LEFT)
        stop_waiting(state, par, i, slot)
        charge(state, par, i, y, par.types[y, LEAVING_COST], decay)
        state.counts[i, LEFT] += 1
    else:
        for p in range(par.needs.shape[1]):
            state.counts[i, FREE + p] += par.needs[k, p]
        state.counts[i, IN_CARE] -= 1
        state.counts[i, DISCHARGED] += 1
    vacate(state, i, slot)
    return True
