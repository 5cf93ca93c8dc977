"""The event loop of one hospital, and the one call that runs it for all N."""

from __future__ import annotations

import math

import numpy as np

from grpo.environments.hospital.compiling.parameters import (
    CLASS_STAGE,
    DISCOUNT_RATE,
    REVIEW_HOURS,
    STAGE_COST,
)
from grpo.environments.hospital.physics.arrivals import arrive, draw_next_arrival
from grpo.environments.hospital.physics.care import become_clean, complete, start_care
from grpo.environments.hospital.physics.costs import pass_time
from grpo.environments.hospital.physics.dispatch_kernel import (
    ASK,
    NO_ACTION,
    choose_activity,
    find_choice,
)
from grpo.environments.hospital.physics.features import Bool, Int64
from grpo.environments.hospital.physics.first_patients import fill_stages
from grpo.environments.hospital.physics.kernel import kernel, merged
from grpo.environments.hospital.physics.observing import NO_OUTPUT, StepOutput, observe
from grpo.environments.hospital.physics.prefetch import fetch_next
from grpo.environments.hospital.physics.queues import schedule
from grpo.environments.hospital.physics.records import (
    TRACE_CAPACITY,
    add_to_record,
    record,
    take_census,
    trace,
)
from grpo.environments.hospital.physics.rule_table import NO_RULE, NO_RULES, RuleTable
from grpo.environments.hospital.physics.shifts import change_capacity
from grpo.environments.hospital.physics.state import (
    ARRIVED_AT,
    BOARDED,
    BOARDING,
    COMPLETES,
    HEAD,
    HEAP,
    LEAVES,
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
    SURGE_ARRIVAL,
    TARGET_PASSES,
    WAITING,
    WORSENS,
    Parameters,
    State,
)
from grpo.environments.hospital.physics.waiting import (
    leave,
    pass_target,
    settle_cost,
    worsen,
)

# What comes next; from ARRIVAL on: ARRIVAL + source.
PATIENT_EVENT, CAPACITY_CHANGE, REVIEW_TIMER, SAMPLE, ARRIVAL = 0, 1, 2, 3, 4
# What the kernel is given where rules make all choices.
NO_ACTIONS = np.zeros(0, dtype=np.int64)


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
        schedule(state.heap_times, state.stacks, state.counts, i, slot, math.inf)
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
    """Run hospital ``i`` to its next choice or to its time limit.

    Args:
        state: the hospitals.
        par: their parameters.
        i: which hospital.
        table: the rules.
        rule: row of the rule that makes every choice, so that only the limit ends the run; NO_RULE
            to return for each
        a: activity to start at once, or NO_ACTION.
        asked: whether a choice may be due at this very instant (not after HOLD).

    Returns:
        whether the limit came, rather than a choice.
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
            at = state.clock[i, LIMIT]
            decay = pass_time(state.clock, state.heads, state.counts, beta, i, at, decay)
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


def run_rules(state: State, par: Parameters, rules: Int64, table: RuleTable, live: Bool) -> None:
    """Run every live hospital under a rule to its time limit, where it stops being live.

    Args:
        state: the hospitals.
        par: their parameters.
        rules: [N] row of the rule that makes all choices of each hospital.
        table: the rules.
        live: [N] which hospitals run.
    """
    _run(state, par, rules, table, NO_ACTIONS, live, math.inf, NO_OUTPUT)


def run_choices(
    state: State, par: Parameters, actions: Int64, live: Bool, longest: float, output: StepOutput
) -> None:
    """Carry out one action in every live hospital and run each to its next choice.

    A hospital that reaches its time limit stops being live.

    Args:
        state: the hospitals.
        par: their parameters.
        actions: [N] activity to start, A to hold, or NO_ACTION.
        live: [N] which hospitals run.
        longest: hours after which a hospital reaches its limit; infinity leaves the limits as
            they are.
        output: what comes of it, written.
    """
    _run(state, par, NO_ACTIONS, NO_RULES, actions, live, longest, output)


@kernel
def _run(
    state: State,
    par: Parameters,
    rules: Int64,
    table: RuleTable,
    actions: Int64,
    live: Bool,
    longest: float,
    output: StepOutput,
) -> None:
    """Run under rules, where there are any, or to the next choice.

    One kernel for both: compiling the event loop takes longer than all else together.
    """
    ruled = rules.shape[0] > 0
    num_activities, num_heads = par.needs.shape[0], par.head_weights.shape[1]
    for i in range(live.shape[0]):
        a, rule = NO_ACTION, NO_RULE
        start = state.clock[i, NOW]
        if ruled:
            rule = rules[i]
        else:
            fetch_next(state, par, i, actions, output.observations, output.masks)
            a = actions[i]
            for h in range(num_heads):
                state.heads[i, h, REWARD] = 0.0
        if live[i]:
            if longest < math.inf:
                state.clock[i, LIMIT] = start + longest
            asked = a < num_activities
            if not asked:
                state.clock[i, REVIEW] = start + par.settings[REVIEW_HOURS]
                a = NO_ACTION
            live[i] = not advance(state, par, i, table, rule, a, asked)
            if not ruled:
                observe(state, par, i, output.observations, output.masks)
        if not ruled:
            elapsed = state.clock[i, NOW] - start
            output.elapsed[i] = elapsed
            output.discounts[i] = math.exp(-par.settings[DISCOUNT_RATE] * elapsed)
            for h in range(num_heads):
                output.rewards[i, h] = state.heads[i, h, REWARD]


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
