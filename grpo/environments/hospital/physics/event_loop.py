"""The event loop of one hospital, and the one call that runs it for all N."""

from __future__ import annotations

import math

from grpo.environments.hospital.compiling.parameters import (
    CLASS_STAGE,
    DISCOUNT_RATE,
    HOLD,
    REVIEW_HOURS,
    STAGE_COST,
)
from grpo.environments.hospital.physics.arrivals import arrive, draw_next_arrival
from grpo.environments.hospital.physics.care import become_clean, complete, start_care
from grpo.environments.hospital.physics.costs import pass_time
from grpo.environments.hospital.physics.dispatch_kernel import choose_activity
from grpo.environments.hospital.physics.features import Bool, Float32, Int64
from grpo.environments.hospital.physics.first_patients import fill_stages
from grpo.environments.hospital.physics.kernel import kernel, merged
from grpo.environments.hospital.physics.observing import Scratch, observe
from grpo.environments.hospital.physics.queues import schedule
from grpo.environments.hospital.physics.records import (
    TRACE_CAPACITY,
    add_to_record,
    record,
    take_census,
    trace,
)
from grpo.environments.hospital.physics.rule_table import RuleTable
from grpo.environments.hospital.physics.shifts import change_capacity
from grpo.environments.hospital.physics.state import (
    ARRIVED_AT,
    BOARDED,
    BOARDING,
    COMPLETES,
    HEAD,
    HEAP,
    LEAVES,
    LENGTH,
    LIMIT,
    LOG_COST,
    LOG_ROW,
    LOG_WAIT,
    NEXT,
    NEXT_ARRIVAL,
    NEXT_SAMPLE,
    NEXT_STEP,
    NOW,
    NUM_EVENTS,
    PENDING,
    REVIEW,
    REWARD,
    STEP_START,
    SURGE_ARRIVAL,
    TARGET_PASSES,
    WAITING,
    WORSENS,
    Parameters,
    State,
)
from grpo.environments.hospital.physics.waiting import (
    activity_fits,
    leave,
    pass_target,
    settle_cost,
    worsen,
)

NO_RULE = -1
NO_ACTION, ASK = -1, -2
# What comes next; from ARRIVAL on: ARRIVAL + source.
PATIENT_EVENT, CAPACITY_CHANGE, REVIEW_TIMER, SAMPLE, ARRIVAL = 0, 1, 2, 3, 4


@merged
def find_choice(state: State, par: Parameters, i: int) -> int:
    """Return the activity that is forced, NO_ACTION where nothing fits, ASK where a choice is due.

    Where HOLD is off and a single activity fits, there is nothing to choose.
    """
    found = NO_ACTION
    for k in range(state.queues.shape[1]):
        if state.queues[i, k, LENGTH] > 0:
            for a in range(par.first_activity[k], par.first_activity[k + 1]):
                if activity_fits(state.counts, par.needs, i, a):
                    if found >= 0 or par.settings[HOLD] > 0.0:
                        return ASK
                    found = a
    return found


@merged
def find_next_event(state: State, i: int) -> tuple[float, int]:
    """Return when the next event of hospital ``i`` is due, and of what kind it is."""
    at, event = state.clock[i, NEXT_ARRIVAL], ARRIVAL
    for j in range(SURGE_ARRIVAL, state.clock.shape[1]):
        if state.clock[i, j] < at:
            at, event = state.clock[i, j], ARRIVAL + 1 + j - SURGE_ARRIVAL
    if state.counts[i, NUM_EVENTS] > 0 and state.heap_times[i, 0] <= at:
        at, event = state.heap_times[i, 0], PATIENT_EVENT
    if state.clock[i, NEXT_STEP] < at:
        at, event = state.clock[i, NEXT_STEP], CAPACITY_CHANGE
    if state.clock[i, REVIEW] < at:
        at, event = state.clock[i, REVIEW], REVIEW_TIMER
    if state.clock[i, NEXT_SAMPLE] < at:
        at, event = state.clock[i, NEXT_SAMPLE], SAMPLE
    return at, event


@merged
def happen_to_slot(state: State, par: Parameters, i: int, decay: float) -> bool:
    """Let the first event of the heap happen; return whether it calls for a choice."""
    slot = state.stacks[i, HEAP, 0]
    pending = state.links[i, slot, PENDING]
    if pending == TARGET_PASSES:
        pass_target(state, par, i, slot)
    elif pending == WORSENS:
        worsen(state, par, i, slot, decay)
    else:
        schedule(state.heap_times, state.stacks, state.links, state.counts, i, slot, math.inf)
        if pending == COMPLETES:
            complete(state, par, i, slot)
        elif pending == LEAVES:
            leave(state, par, i, slot, decay)
        else:
            become_clean(state, i, slot)
    return bool(pending != TARGET_PASSES)


@merged
def let_happen(state: State, par: Parameters, i: int, event: int, decay: float) -> bool:
    """Let the event that is due now happen; return whether it calls for a choice."""
    if event == PATIENT_EVENT:
        return happen_to_slot(state, par, i, decay)
    if event == SAMPLE:
        take_census(state.census, state.counts, state.clock, i)
    elif event == CAPACITY_CHANGE:
        change_capacity(par.steps, par.tracks, state.tracks, state.clock, state.counts, i)
        trace(state.trace, state.counts, state.clock, i, TRACE_CAPACITY, -1, -1, -1)
    elif event == REVIEW_TIMER:
        state.clock[i, REVIEW] = math.inf
    else:
        arrive(state, par, i, event - ARRIVAL, decay)
    return event != SAMPLE


@merged
def advance(
    state: State, par: Parameters, i: int, table: RuleTable, rule: int, a: int, asked: bool
) -> bool:
    """Run hospital ``i`` to its next choice or to its time limit; return whether the limit came.

    With a rule the kernel makes every choice itself, so that only the limit ends the run.

    Args:
        state: the hospitals.
        par: their parameters.
        i: which hospital.
        table: the rules.
        rule: row of the rule, or NO_RULE.
        a: activity to start at once, or NO_ACTION.
        asked: whether a choice may be due at this very instant (not after HOLD).
    """
    decay, beta = 1.0, par.settings[DISCOUNT_RATE]
    while True:
        while a >= 0 or (asked and state.counts[i, WAITING] + state.counts[i, BOARDING] > 0):
            if a < 0:
                if rule >= 0:
                    a = choose_activity(state, par, i, table, rule)
                else:
                    a = find_choice(state, par, i)
                if a == ASK:
                    state.clock[i, REVIEW] = math.inf
                    return False
                if a < 0:
                    break
            start_care(state, par, i, a, decay)
            a = NO_ACTION
        at, event = find_next_event(state, i)
        if at > state.clock[i, LIMIT]:
            pass_time(state.clock, state.heads, state.counts, beta, i, state.clock[i, LIMIT], decay)
            state.clock[i, REVIEW] = math.inf
            return True
        decay = pass_time(state.clock, state.heads, state.counts, beta, i, at, decay)
        asked = let_happen(state, par, i, event, decay)


@kernel
def start_clocks(state: State, par: Parameters) -> None:
    """Staff every hospital for its present time, fill its wards, draw its first arrivals."""
    for i in range(state.clock.shape[0]):
        now = state.clock[i, NOW]
        change_capacity(par.steps, par.tracks, state.tracks, state.clock, state.counts, i)
        fill_stages(state, par, i)
        state.clock[i, NEXT_ARRIVAL] = now
        for source in range(1 + par.surges.shape[0]):
            if source > 0:
                state.clock[i, SURGE_ARRIVAL + source - 1] = now
            draw_next_arrival(state, par, i, source)


@kernel
def run_all(
    state: State,
    par: Parameters,
    actions: Int64,
    rules: Int64,
    table: RuleTable,
    live: Bool,
    observations: Float32,
    masks: Bool,
    scratch: Scratch,
) -> None:
    """Carry out one action in every live hospital and run each to its next choice.

    A hospital that reaches its time limit stops being live. State.heads[..., REWARD] holds the
    discounted rewards of this call.

    Args:
        state: the hospitals.
        par: their parameters.
        actions: [N] activity to start, A to hold, or NO_ACTION.
        rules: [N] row of the rule that decides from here on, or NO_RULE.
        table: the rules.
        live: [N] which hospitals run.
        observations: [N, O], written; pass [0, O] to skip.
        masks: [N, A + 1], written; pass [0, A + 1] to skip.
        scratch: working memory, see ``make_scratch``.
    """
    num_activities = par.needs.shape[0]
    for i in range(actions.shape[0]):
        for h in range(par.head_weights.shape[1]):
            state.heads[i, h, REWARD] = 0.0
        state.clock[i, STEP_START] = state.clock[i, NOW]
        if not live[i]:
            continue
        a = actions[i]
        asked = a < num_activities
        if not asked:
            state.clock[i, REVIEW] = state.clock[i, NOW] + par.settings[REVIEW_HOURS]
            a = NO_ACTION
        if advance(state, par, i, table, rules[i], a, asked):
            live[i] = False
        if observations.shape[0] > 0:
            observe(state, par, i, observations, masks, scratch)


@kernel
def finish(state: State, par: Parameters) -> None:
    """Add to the records what those who wait or board at the end have waited and cost so far."""
    for i in range(state.clock.shape[0]):
        for k in range(state.queues.shape[1]):
            slot = state.queues[i, k, HEAD]
            while slot >= 0:
                hours = state.clock[i, NOW] - state.times[i, slot, ARRIVED_AT]
                stage = par.class_table[k, CLASS_STAGE]
                if stage == 0:
                    settle_cost(
                        state.log, state.clock, state.times, state.links, par.types, i, slot
                    )
                    record(state.log, i, state.links[i, slot, LOG_ROW], LOG_WAIT, hours)
                else:
                    add_to_record(
                        state.log,
                        i,
                        state.links[i, slot, LOG_ROW],
                        LOG_COST,
                        par.stages[stage, STAGE_COST] * hours,
                    )
                    add_to_record(state.courses, i, state.links[i, slot, LOG_ROW], BOARDED, hours)
                slot = state.links[i, slot, NEXT]
