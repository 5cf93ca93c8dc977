"""The arrays of N hospitals: what a kernel reads (parameters) and what it changes (state)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiled import CompiledScenario
from grpo.errors import ShapeError
from grpo.seeding import make_stream_states

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

# Causes of randomness, each with its own generator: columns of State.streams.
ARRIVALS, TYPES, STAYS, PATIENCE = 0, 1, 2, 3
NUM_CAUSES = 4
# Columns of State.clock, hours from a midnight. The log takes arrivals in [LOG_FROM, LOG_UNTIL).
NOW, NEXT_ARRIVAL, REVIEW, LIMIT, ORIGIN, STEP_START, LOG_FROM, LOG_UNTIL = 0, 1, 2, 3, 4, 5, 6, 7
NUM_CLOCKS = 8
# Columns of State.times, hours on the same clock (STAY is a duration).
ARRIVED_AT, EVENT_AT, STAY, DEADLINE = 0, 1, 2, 3
NUM_TIMES = 4
# Columns of State.links.
TYPE, CLASS, PENDING, BEYOND, PREVIOUS, NEXT = 0, 1, 2, 3, 4, 5
HEAP_POSITION, SERIAL, LOG_ROW = 6, 7, 8
NUM_LINKS = 9
# Rows of State.stacks.
HEAP, VACANT = 0, 1
# Values of State.links[..., PENDING]: what happens to the patient next.
TARGET_PASSES, LEAVES, COMPLETES = 0, 1, 2
# Columns of State.queues.
HEAD, TAIL, LENGTH = 0, 1, 2
# Columns of State.counts. ARRIVED = DISCHARGED + LEFT + DIVERTED + WAITING + IN_CARE, always.
# From FREE on: free units by pool.
ARRIVED, DISCHARGED, LEFT, DIVERTED, WAITING, IN_CARE = 0, 1, 2, 3, 4, 5
NUM_EVENTS, NUM_VACANT, LOG_USED = 6, 7, 8
FREE = 9
# Columns of State.heads.
COST_RATE, TOTAL, REWARD = 0, 1, 2
# Columns of State.log.
LOG_TYPE, LOG_OUTCOME, LOG_ARRIVAL, LOG_WAIT = 0, 1, 2, 3
# Entries of Parameters.settings; the first 24 are arrivals per hour by hour of the day.
REVIEW_HOURS, DISCOUNT_RATE, WAITING_ROOM, HOLD = 24, 25, 26, 27
NUM_SETTINGS = 28
# Columns of Parameters.types; a law takes three. The last row's STAY_LAW is boarding's.
BOUND, ADMISSION, RATE, TARGET, EXTRA_RATE, LEAVING_COST, DIVERSION_COST = 0, 1, 2, 3, 4, 5, 6
STAY_LAW, PATIENCE_LAW = 7, 10
NUM_TYPE_COLUMNS = 13
# Outcomes in a log; OUTCOME_WAITING is what a patient has until something else happens.
OUTCOME_SERVED, OUTCOME_LEFT, OUTCOME_DIVERTED, OUTCOME_WAITING = 0, 1, 2, 3


class Parameters(NamedTuple):
    """What does not change: the scenario in few arrays, since each one costs compilation time.

    Attributes:
        settings: [28] arrivals per hour by hour of the day, then see above.
        types: [Y + 1, 13] BOUND (cumulative share of arrivals), costs and laws; see above.
        type_class: [Y] class of each type.
        head_weights: [Y, H] weight of each type in each head.
        needs: [K, P] units; capacity: [P] units.
    """

    settings: Float64
    types: Float64
    type_class: Int64
    head_weights: Float64
    needs: Int64
    capacity: Int64


class State(NamedTuple):
    """Everything that changes, for N hospitals with S patient slots and L log rows each.

    Attributes:
        clock: [N, 8] hours; REVIEW is infinite when nothing is held.
        streams: [N, C, 4] generators.
        times: [N, S, 4] by patient.
        links: [N, S, 9] by patient.
        stacks: [N, 2, S] slots: a binary heap, least EVENT_AT first, and a stack of free slots.
        queues: [N, K, 3] HEAD, TAIL, LENGTH; linked through PREVIOUS and NEXT.
        counts: [N, 9 + P] patients since the start, and free units.
        heads: [N, H, 3] present cost per hour of everybody waiting, undiscounted reward since
            reset, discounted reward of the step.
        log: [N, L, 4] type, outcome, arrival, wait, in order of arrival. counts[LOG_USED] > L says
            that rows were refused.
    """

    clock: Float64
    streams: NDArray[np.uint64]
    times: Float64
    links: Int64
    stacks: Int64
    queues: Int64
    counts: Int64
    heads: Float64
    log: Float64


def make_parameters(
    compiled: CompiledScenario, head_weights: Float64, *, discount_rate: float
) -> Parameters:
    """Lay a compiled scenario out for the kernels.

    Args:
        compiled: the scenario.
        head_weights: [H, Y] weight of each patient type in each head, H >= 0.
        discount_rate: beta per hour, >= 0.

    Raises:
        ShapeError: head_weights has other axes.
    """
    if head_weights.ndim != 2 or head_weights.shape[1] != compiled.num_types:
        raise ShapeError(
            f"head_weights must be [H, {compiled.num_types}], not {head_weights.shape}"
        )
    settings = np.zeros(NUM_SETTINGS)
    settings[:REVIEW_HOURS] = compiled.hourly_rates
    settings[REVIEW_HOURS] = compiled.review_hours
    settings[DISCOUNT_RATE] = discount_rate
    settings[WAITING_ROOM] = compiled.waiting_room
    settings[HOLD] = compiled.hold
    # Every array is a fresh, writable, C-contiguous copy: one array type, hence one compilation.
    return Parameters(
        settings=settings,
        types=_type_table(compiled),
        type_class=np.array(compiled.type_class, dtype=np.int64),
        head_weights=np.array(head_weights.T, dtype=np.float64, order="C"),
        needs=np.array(compiled.needs, dtype=np.int64, order="C"),
        capacity=np.array(compiled.capacity, dtype=np.int64),
    )


def _type_table(compiled: CompiledScenario) -> Float64:
    """Fill Parameters.types."""
    table = np.zeros((compiled.num_types + 1, NUM_TYPE_COLUMNS))
    bounds = np.cumsum(compiled.type_rates) / compiled.type_rates.sum()
    bounds[np.flatnonzero(compiled.type_rates)[-1] :] = 1.0
    body = table[:-1]
    body[:, BOUND] = bounds
    body[:, ADMISSION] = compiled.admission_probability
    body[:, RATE] = compiled.cost_rates
    body[:, TARGET] = compiled.target_hours
    body[:, EXTRA_RATE] = compiled.cost_rates * (compiled.factor_beyond_target - 1)
    body[:, LEAVING_COST] = compiled.leaving_costs
    body[:, DIVERSION_COST] = compiled.diversion_costs
    body[:, STAY_LAW : STAY_LAW + 3] = compiled.stay_laws
    body[:, PATIENCE_LAW : PATIENCE_LAW + 3] = compiled.patience_laws
    table[-1, STAY_LAW : STAY_LAW + 3] = compiled.boarding_law
    return table


def make_state(
    compiled: CompiledScenario, num_envs: int, num_heads: int, seed: int, *, log_rows: int = 0
) -> State:
    """Return N empty hospitals at midnight whose streams depend on (seed, index) alone."""
    slots = compiled.waiting_room + compiled.max_in_care
    num_classes, num_pools = compiled.needs.shape
    state = State(
        clock=np.zeros((num_envs, NUM_CLOCKS)),
        streams=make_stream_states(seed, 0, num_envs, NUM_CAUSES),
        times=np.zeros((num_envs, slots, NUM_TIMES)),
        links=np.full((num_envs, slots, NUM_LINKS), -1, dtype=np.int64),
        stacks=np.zeros((num_envs, 2, slots), dtype=np.int64),
        queues=np.full((num_envs, num_classes, 3), -1, dtype=np.int64),
        counts=np.zeros((num_envs, FREE + num_pools), dtype=np.int64),
        heads=np.zeros((num_envs, num_heads, 3)),
        log=np.zeros((num_envs, log_rows, 4)),
    )
    state.stacks[:, VACANT] = np.arange(slots - 1, -1, -1, dtype=np.int64)
    state.counts[:, NUM_VACANT] = slots
    state.counts[:, FREE:] = compiled.capacity
    state.queues[:, :, LENGTH] = 0
    state.clock[:, [REVIEW, LIMIT, LOG_FROM, LOG_UNTIL]] = np.inf
    return state
