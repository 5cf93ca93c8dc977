"""The event loop of one hospital, and the one call that runs it for all N."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from grpo.environments.hospital.features import (
    Bool,
    Float32,
    Int64,
    write_features,
    write_mask,
)
from grpo.environments.hospital.kernel import kernel
from grpo.environments.hospital.physics import (
    arrive,
    draw_next_arrival,
    fits,
    happen,
    pass_time,
    start_care,
)
from grpo.environments.hospital.state import (
    ARRIVED_AT,
    EVENT_AT,
    FREE,
    HEAD,
    HEAP,
    HOLD,
    LENGTH,
    LIMIT,
    NEXT_ARRIVAL,
    NOW,
    NUM_EVENTS,
    REVIEW,
    REVIEW_HOURS,
    REWARD,
    STEP_START,
    WAITING,
    Float64,
    Parameters,
    State,
)

NO_RULE = -1
NO_ACTION = -1
ARRIVAL, PATIENT_EVENT, REVIEW_TIMER = 0, 1, 2


class Scratch(NamedTuple):
    """Working memory of one call of run_all: [K] lengths, [K] head waits, [P] free units."""

    lengths: Int64
    head_waits: Float64
    free: Int64


def make_scratch(par: Parameters) -> Scratch:
    """Return working memory, since kernels create no arrays themselves."""
    num_classes, num_pools = par.needs.shape
    return Scratch(
        np.zeros(num_classes, dtype=np.int64),
        np.zeros(num_classes),
        np.zeros(num_pools, dtype=np.int64),
    )


@kernel
def choose_by_index(
    state: State, par: Parameters, i: int, intercepts: Float64, slopes: Float64, rule: int
) -> int:
    """Return the feasible class with the largest intercept + slope * head wait, -1 if none fits.

    Equal indices go to the longer wait, never to the order of the classes.
    """
    best, best_index, best_wait = -1, -math.inf, -1.0
    for k in range(par.needs.shape[0]):
        if state.queues[i, k, LENGTH] > 0 and fits(state, par, i, k):
            wait = state.clock[i, NOW] - state.times[i, state.queues[i, k, HEAD], ARRIVED_AT]
            index = intercepts[rule, k] + slopes[rule, k] * wait
            if index > best_index or (index == best_index and wait > best_wait):
                best, best_index, best_wait = k, index, wait
    return best


@kernel
def find_choice(
    state: State, par: Parameters, i: int, intercepts: Float64, slopes: Float64, rule: int
) -> tuple[int, bool]:
    """Return the class that the kernel starts by itself, -1 for none, and whether to ask instead.

    A rule decides everything. Without one, a choice is due where something fits; where HOLD is
    off and a single class fits, there is nothing to choose.
    """
    if rule >= 0:
        return choose_by_index(state, par, i, intercepts, slopes, rule), False
    first, number = -1, 0
    for k in range(par.needs.shape[0]):
        if state.queues[i, k, LENGTH] > 0 and fits(state, par, i, k):
            number += 1
            if number == 1:
                first = k
    if number > 1 or (number == 1 and par.settings[HOLD] > 0.0):
        return -1, True
    return first, False


@kernel
def make_starts(
    state: State,
    par: Parameters,
    i: int,
    intercepts: Float64,
    slopes: Float64,
    rule: int,
    k: int,
    asked: bool,
) -> bool:
    """Start class ``k`` if given, then all that the kernel decides; return whether to ask."""
    if k >= 0:
        start_care(state, par, i, k)
    while asked and state.counts[i, WAITING] > 0:
        k, due = find_choice(state, par, i, intercepts, slopes, rule)
        if due:
            return True
        if k < 0:
            return False
        start_care(state, par, i, k)
    return False


@kernel
def find_next_event(state: State, i: int) -> tuple[float, int]:
    """Return when the next event of hospital ``i`` is due, and of what kind it is."""
    at, event = state.clock[i, NEXT_ARRIVAL], ARRIVAL
    if state.counts[i, NUM_EVENTS] > 0:
        first = state.times[i, state.stacks[i, HEAP, 0], EVENT_AT]
        if first <= at:
            at, event = first, PATIENT_EVENT
    if state.clock[i, REVIEW] < at:
        at, event = state.clock[i, REVIEW], REVIEW_TIMER
    return at, event


@kernel
def advance(
    state: State,
    par: Parameters,
    i: int,
    intercepts: Float64,
    slopes: Float64,
    rule: int,
    k: int,
    asked: bool,
) -> bool:
    """Run hospital ``i`` to its next choice or to its time limit; return whether the limit came.

    With a rule the kernel makes every choice itself, so that only the limit ends the run.

    Args:
        state: the hospitals.
        par: their parameters.
        i: which hospital.
        intercepts: [R, K] of the index rules.
        slopes: [R, K] of the index rules.
        rule: row of the rule, or NO_RULE.
        k: class to start at once, or NO_ACTION.
        asked: whether a choice may be due at this very instant (not after HOLD).
    """
    decay = 1.0
    while True:
        if make_starts(state, par, i, intercepts, slopes, rule, k, asked):
            state.clock[i, REVIEW] = math.inf
            return False
        k = NO_ACTION
        at, event = find_next_event(state, i)
        if at > state.clock[i, LIMIT]:
            pass_time(state, par, i, state.clock[i, LIMIT], decay)
            state.clock[i, REVIEW] = math.inf
            return True
        decay = pass_time(state, par, i, at, decay)
        asked = True
        if event == ARRIVAL:
            arrive(state, par, i, decay)
        elif event == PATIENT_EVENT:
            asked = happen(state, par, i, decay)
        else:
            state.clock[i, REVIEW] = math.inf


@kernel
def start_clocks(state: State, par: Parameters) -> None:
    """Draw the first arrival of every hospital, from its present time on."""
    for i in range(state.clock.shape[0]):
        state.clock[i, NEXT_ARRIVAL] = state.clock[i, NOW]
        draw_next_arrival(state, par, i)


@kernel
def run_all(
    state: State,
    par: Parameters,
    actions: Int64,
    rules: Int64,
    intercepts: Float64,
    slopes: Float64,
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
        actions: [N] class to start, K to hold, or NO_ACTION.
        rules: [N] row of the index rule that decides from here on, or NO_RULE.
        intercepts: [R, K] of the index rules.
        slopes: [R, K] of the index rules.
        live: [N] which hospitals run.
        observations: [N, O], written; pass [0, O] to skip.
        masks: [N, A], written; pass [0, A] to skip.
        scratch: working memory, see ``make_scratch``.
    """
    num_classes = par.needs.shape[0]
    for i in range(actions.shape[0]):
        for h in range(par.head_weights.shape[1]):
            state.heads[i, h, REWARD] = 0.0
        state.clock[i, STEP_START] = state.clock[i, NOW]
        if not live[i]:
            continue
        k = actions[i]
        asked = k < num_classes
        if not asked:
            state.clock[i, REVIEW] = state.clock[i, NOW] + par.settings[REVIEW_HOURS]
            k = NO_ACTION
        if advance(state, par, i, intercepts, slopes, rules[i], k, asked):
            live[i] = False
        if observations.shape[0] > 0:
            observe(state, par, i, observations, masks, scratch)


@kernel
def observe(
    state: State, par: Parameters, i: int, observations: Float32, masks: Bool, scratch: Scratch
) -> None:
    """Write the observation and the mask of hospital ``i``."""
    read_queues(state, i, scratch.lengths, scratch.head_waits)
    for p in range(par.needs.shape[1]):
        scratch.free[p] = state.counts[i, FREE + p]
    write_features(
        scratch.lengths,
        scratch.head_waits,
        scratch.free,
        par.capacity,
        par.capacity,
        state.clock[i, NOW] % 24.0,
        observations,
        i,
    )
    hold = par.settings[HOLD] > 0.0
    write_mask(scratch.lengths, scratch.free, par.needs, hold, masks, i)


@kernel
def read_queues(state: State, i: int, lengths: Int64, head_waits: Float64) -> None:
    """Read how many wait in each class of hospital ``i`` and how long the first has waited."""
    for k in range(lengths.shape[0]):
        lengths[k] = state.queues[i, k, LENGTH]
        head_waits[k] = 0.0
        if lengths[k] > 0:
            slot = state.queues[i, k, HEAD]
            head_waits[k] = state.clock[i, NOW] - state.times[i, slot, ARRIVED_AT]


@kernel
def find_forbidden(actions: Int64, masks: Bool, live: Bool) -> int:
    """Return the first live hospital whose action its mask forbids, -1 where there is none."""
    for i in range(actions.shape[0]):
        if live[i] and (actions[i] < 0 or actions[i] >= masks.shape[1] or not masks[i, actions[i]]):
            return i
    return -1
