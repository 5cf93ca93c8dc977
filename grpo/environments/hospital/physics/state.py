"""The arrays of N hospitals that the kernels change, and what their columns mean."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.care_classes import MOST_CLASSES
from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.compiling.parameters import Parameters
from grpo.seeding import make_stream_states

__all__ = ["Parameters", "Recording", "State", "make_state"]

Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

# Causes of randomness, each with its own generator: columns of State.streams. From SURGES on:
# the arrivals of each surge. CHOICES belongs to rules that draw, FIRST_PATIENTS to those who are
# there at the start.
ARRIVALS, PATIENTS, CHOICES, FIRST_PATIENTS, SURGES = 0, 1, 2, 3, 4
# Columns of State.clock, hours from a Monday's midnight. The log takes arrivals in
# [LOG_FROM, LOG_UNTIL). From SURGE_ARRIVAL on: the next arrival of each surge.
NOW, NEXT_ARRIVAL, REVIEW, LIMIT, ORIGIN, LOG_FROM, LOG_UNTIL = 0, 1, 2, 3, 4, 5, 6
NEXT_STEP, NEXT_SAMPLE, SAMPLE_HOURS = 7, 8, 9
SURGE_ARRIVAL = 10
# Columns of State.times, hours on the same clock: when he joined the queue he is in, when he came
# to the hospital, when he leaves unseen, when he gets worse, until when his cost is recorded.
ARRIVED_AT, ENTERED_AT, DEADLINE, WORSENS_AT, COSTED_AT = 0, 1, 2, 3, 4
NUM_TIMES = 5
# Columns of State.links. TYPE is as he came; NOW_TYPE as he is now. STAGE and ACTIVITY are of his
# units. Where units are cleaned, TYPE holds the pool and ACTIVITY their number.
TYPE, NOW_TYPE, CLASS, PENDING, BEYOND, PREVIOUS, NEXT = 0, 1, 2, 3, 4, 5, 6
LOG_ROW, ACTIVITY, VISIT = 7, 8, 9
NUM_LINKS = 12
# Columns of State.keys: a patient's 64 bits, and his number in order of arrival (an int64's bits).
KEY, SERIAL = 0, 1
NUM_KEYS = 2
# Rows of State.stacks: POSITION is where a slot stands in the heap, -1 if it does not.
HEAP, VACANT, POSITION = 0, 1, 2
# Values of State.links[..., PENDING]: what happens next.
TARGET_PASSES, LEAVES, COMPLETES, WORSENS, IS_CLEAN, BOARDS = 0, 1, 2, 3, 4, 5
# Columns of State.queues.
HEAD, TAIL, LENGTH = 0, 1, 2
# Columns of State.counts. ARRIVED + INITIAL = DISCHARGED + LEFT + DIVERTED + TRANSFERRED
# + WAITING + IN_CARE + BOARDING, always. From FREE on: units by pool that could be taken (below 0
# while a shift that ended still runs), then P units that there are now.
ARRIVED, DISCHARGED, LEFT, DIVERTED, WAITING, IN_CARE, TRANSFERRED, BOARDING = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
)
NUM_EVENTS, NUM_VACANT, LOG_USED, TRACE_USED, CENSUS_USED, INITIAL = 8, 9, 10, 11, 12, 13
# From PRESENT on: bit k % 64 of column k // 64 is 1 where somebody waits in class k.
PRESENT = 14
FREE = PRESENT + MOST_CLASSES // 64
# Columns of State.heads.
COST_RATE, TOTAL, REWARD = 0, 1, 2
# Columns of State.log.
LOG_TYPE, LOG_OUTCOME, LOG_ARRIVAL, LOG_WAIT, LOG_COST = 0, 1, 2, 3, 4
NUM_LOG_COLUMNS = 5
# Columns of State.courses, hours; NaN where it did not come to it.
RECORDED, START_ACUITY, BOARDED, ED_HOURS, END_HOURS, HARM = 0, 1, 2, 3, 4, 5
NUM_COURSE_COLUMNS = 6
# Columns of State.trace; from TRACE_UNITS on free units by pool, then units there are.
TRACE_AT, TRACE_KIND, TRACE_PATIENT, TRACE_CLASS, TRACE_ACTIVITY, TRACE_UNITS = 0, 1, 2, 3, 4, 5
# Columns of State.census; from CENSUS_UNITS on as in the trace.
CENSUS_AT, CENSUS_WAITING, CENSUS_IN_CARE, CENSUS_BOARDING, CENSUS_UNITS = 0, 1, 2, 3, 4
# Outcomes in a log; OUTCOME_WAITING is what a patient has until something else happens.
OUTCOME_SERVED, OUTCOME_LEFT, OUTCOME_DIVERTED, OUTCOME_WAITING = 0, 1, 2, 3
OUTCOME_TRANSFERRED = 4


class State(NamedTuple):
    """Everything that changes, for N hospitals with S patient slots each.

    Attributes:
        clock: [N, 10 + J] hours; REVIEW is infinite when nothing is held.
        streams: [N, 4 + J, 4] generators.
        keys: [N, S, 2] by patient: KEY, of which all that concerns him is a function, and SERIAL.
        times: [N, S, 5] by patient.
        links: [N, S, 12] by patient.
        heap_times: [N, S] when the events in the heap are due, least first.
        stacks: [N, 3, S] slots in the heap, a stack of free slots, by slot its place in the heap.
        queues: [N, K, 3] HEAD, TAIL, LENGTH; linked through PREVIOUS and NEXT.
        counts: [N, 18 + 2 P] patients since the start, and units.
        tracks: [N, W, 2] next step and round of every track of the calendar.
        heads: [N, H, 3] present cost per hour of everybody waiting, undiscounted reward since
            reset, discounted reward of the step.
        log: [N, L, 5] type, outcome, arrival, wait, cost, in order of arrival. counts[LOG_USED] > L
            says that rows were refused; alike for the next three.
        courses: [N, L or 0, 6] what more happened to the patients of the log.
        trace: [N, events, 5 + 2 P] every event.
        census: [N, samples, 4 + 2 P] the hospital at evenly spaced times.
    """

    clock: Float64
    streams: NDArray[np.uint64]
    keys: NDArray[np.uint64]
    times: Float64
    links: Int32
    heap_times: Float64
    stacks: Int32
    queues: Int32
    counts: Int64
    tracks: Int64
    heads: Float64
    log: Float64
    courses: Float64
    trace: Float64
    census: Float64


class Recording(NamedTuple):
    """How much is kept: rows per hospital of the log, the trace and the census."""

    log_rows: int = 0
    trace_rows: int = 0
    census_rows: int = 0


def make_state(
    compiled: CompiledScenario,
    num_envs: int,
    num_heads: int,
    seed: int,
    *,
    first: int = 0,
    recording: Recording | None = None,
) -> State:
    """Return N empty hospitals at midnight whose streams depend on (seed, first + index) alone."""
    kept = recording or Recording()
    slots = compiled.num_slots
    num_pools, surges = len(compiled.capacity), len(compiled.scenario.surges)
    course_rows = kept.log_rows if compiled.keeps_courses else 0
    state = State(
        clock=np.zeros((num_envs, SURGE_ARRIVAL + surges)),
        streams=make_stream_states(seed, first, num_envs, SURGES + surges),
        keys=np.zeros((num_envs, slots, NUM_KEYS), dtype=np.uint64),
        times=np.zeros((num_envs, slots, NUM_TIMES)),
        links=np.full((num_envs, slots, NUM_LINKS), -1, dtype=np.int32),
        heap_times=np.zeros((num_envs, slots)),
        stacks=np.full((num_envs, 3, slots), -1, dtype=np.int32),
        queues=np.full((num_envs, compiled.num_classes, 3), -1, dtype=np.int32),
        counts=np.zeros((num_envs, FREE + 2 * num_pools), dtype=np.int64),
        tracks=np.zeros((num_envs, len(compiled.calendar.tracks), 2), dtype=np.int64),
        heads=np.zeros((num_envs, num_heads, 3)),
        log=np.zeros((num_envs, kept.log_rows, NUM_LOG_COLUMNS)),
        courses=np.zeros((num_envs, course_rows, NUM_COURSE_COLUMNS)),
        trace=np.zeros((num_envs, kept.trace_rows, TRACE_UNITS + 2 * num_pools)),
        census=np.zeros((num_envs, kept.census_rows, CENSUS_UNITS + 2 * num_pools)),
    )
    state.stacks[:, VACANT] = np.arange(slots - 1, -1, -1, dtype=np.int32)
    state.counts[:, NUM_VACANT] = slots
    state.counts[:, FREE:] = np.tile(compiled.calendar.initial, 2)
    state.tracks[:, :, 0] = compiled.calendar.tracks[:, 0]
    state.queues[:, :, LENGTH] = 0
    state.clock[:, [REVIEW, LIMIT, LOG_FROM, LOG_UNTIL, NEXT_STEP, NEXT_SAMPLE]] = np.inf
    state.clock[:, SURGE_ARRIVAL:] = np.inf
    return state
