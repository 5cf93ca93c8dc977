"""Those who are in a later stage when a run begins; see ``initial_stages`` for how many."""

from __future__ import annotations

from grpo.environments.hospital.physics.care import STAY_KEY, visit_key
from grpo.environments.hospital.physics.features import activity_fits
from grpo.environments.hospital.physics.kernel import merged
from grpo.environments.hospital.physics.queues import occupy, schedule
from grpo.environments.hospital.physics.records import TRACE_PRESENT, trace
from grpo.environments.hospital.physics.state import (
    ACTIVITY,
    ARRIVED_AT,
    CLASS,
    COMPLETES,
    ENTERED_AT,
    FIRST_PATIENTS,
    FREE,
    IN_CARE,
    INITIAL,
    KEY,
    LOG_ROW,
    NOW,
    NOW_TYPE,
    PENDING,
    SERIAL,
    TYPE,
    VISIT,
    Parameters,
    State,
)
from grpo.environments.hospital.physics.streams import (
    Key,
    draw_key,
    exponential_of,
    time_of,
    type_of,
)


@merged
def fill_stages(state: State, par: Parameters, i: int) -> None:
    """Let each later stage hold patients as in the long run, as far as its units go.

    They are numbered from -2 downwards, belong to no log, and are not arrivals. The number is
    Poisson: how many exponential times fit into its mean.
    """
    first_row = (1 + par.stages.shape[0]) * par.types.shape[0] + par.needs.shape[1]
    for s in range(par.initial.shape[0]):
        left = par.initial[s] - exponential_of(draw_key(state.streams, i, FIRST_PATIENTS))
        while left > 0.0:
            left -= exponential_of(draw_key(state.streams, i, FIRST_PATIENTS))
            key = draw_key(state.streams, i, FIRST_PATIENTS)
            source = par.aliases.shape[0] - par.initial.shape[0] + s
            y = type_of(par.aliases, source, key)
            k = par.classes[y, par.classes.shape[1] - par.initial.shape[0] + s]
            for a in range(par.first_activity[k], par.first_activity[k + 1]):
                if activity_fits(state.counts, FREE, par.needs, i, a):
                    row = first_row + s * par.types.shape[0] + y
                    hours = time_of(visit_key(key, 1, STAY_KEY), par.laws, row, par.quantiles)
                    place_patient(state, par, i, y, k, a, key, hours)
                    break


@merged
def place_patient(
    state: State, par: Parameters, i: int, y: int, k: int, a: int, key: Key, hours: float
) -> None:
    """Put a patient who is there at the start on the units of activity ``a`` for some hours."""
    now = state.clock[i, NOW]
    slot = occupy(state.counts, state.stacks, i)
    state.counts[i, INITIAL] += 1
    state.counts[i, IN_CARE] += 1
    state.keys[i, slot, KEY] = key
    state.times[i, slot, ARRIVED_AT] = now
    state.times[i, slot, ENTERED_AT] = now
    state.links[i, slot, TYPE] = y
    state.links[i, slot, NOW_TYPE] = y
    state.links[i, slot, CLASS] = k
    state.links[i, slot, PENDING] = COMPLETES
    state.keys[i, slot, SERIAL] = -1 - state.counts[i, INITIAL]
    state.links[i, slot, LOG_ROW] = -1
    state.links[i, slot, ACTIVITY] = a
    state.links[i, slot, VISIT] = 1
    for p in range(par.needs.shape[1]):
        state.counts[i, FREE + p] -= par.needs[a, p]
    at = now + hours
    schedule(state.heap_times, state.stacks, state.counts, i, slot, at)
    serial = -1 - state.counts[i, INITIAL]
    trace(state.trace, state.counts, state.clock, i, TRACE_PRESENT, serial, k, a)
