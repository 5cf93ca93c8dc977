"""What is kept of a run: a row per judged patient, a row per event, samples of the hospital."""

from __future__ import annotations

from grpo.environments.hospital.physics.kernel import inlined, internal
from grpo.environments.hospital.physics.state import (
    BOARDING,
    CENSUS_AT,
    CENSUS_BOARDING,
    CENSUS_IN_CARE,
    CENSUS_UNITS,
    CENSUS_USED,
    CENSUS_WAITING,
    FREE,
    IN_CARE,
    LOG_ARRIVAL,
    LOG_COST,
    LOG_FROM,
    LOG_OUTCOME,
    LOG_TYPE,
    LOG_UNTIL,
    LOG_USED,
    LOG_WAIT,
    NEXT_SAMPLE,
    NOW,
    SAMPLE_HOURS,
    TRACE_ACTIVITY,
    TRACE_AT,
    TRACE_CLASS,
    TRACE_KIND,
    TRACE_PATIENT,
    TRACE_UNITS,
    TRACE_USED,
    WAITING,
    Float64,
    Int64,
)

# Kinds of events in a trace.
TRACE_ARRIVED, TRACE_DIVERTED, TRACE_LEFT, TRACE_WORSENED, TRACE_STARTED = 0, 1, 2, 3, 4
TRACE_BOARDED, TRACE_DISCHARGED, TRACE_TRANSFERRED, TRACE_CLEANED, TRACE_CAPACITY = 5, 6, 7, 8, 9
TRACE_PRESENT = 10


@inlined
def open_record(
    log: Float64, counts: Int64, clock: Float64, i: int, y: int, outcome: int, cost: float
) -> int:
    """Begin the record of a patient who arrives now; -1 outside the window or in a full log."""
    now = clock[i, NOW]
    if now < clock[i, LOG_FROM] or now >= clock[i, LOG_UNTIL]:
        return -1
    row = counts[i, LOG_USED]
    counts[i, LOG_USED] = row + 1
    if row >= log.shape[1]:
        return -1
    log[i, row, LOG_TYPE] = y
    log[i, row, LOG_OUTCOME] = outcome
    log[i, row, LOG_ARRIVAL] = now
    log[i, row, LOG_WAIT] = 0.0
    log[i, row, LOG_COST] = cost
    return int(row)


@inlined
def record(rows: Float64, i: int, row: int, column: int, value: float) -> None:
    """Write a number of a patient's record or course; do nothing where none is kept."""
    if 0 <= row < rows.shape[1]:
        rows[i, row, column] = value


@inlined
def add_to_record(rows: Float64, i: int, row: int, column: int, value: float) -> None:
    """Add to a number of a patient's record or course; do nothing where none is kept."""
    if 0 <= row < rows.shape[1]:
        rows[i, row, column] += value


@inlined
def trace(
    rows: Float64, counts: Int64, clock: Float64, i: int, kind: int, patient: int, k: int, a: int
) -> None:
    """Write one event into the trace, if one is kept.

    Args:
        rows: State.trace.
        counts: State.counts.
        clock: State.clock.
        i: which hospital.
        kind: see above.
        patient: his number in order of arrival, -1 where the event is nobody's.
        k: class that he waits in or was started from; the pool where units became clean.
        a: activity that he started, or -1.
    """
    if rows.shape[1] > 0:
        _write_event(rows, counts, clock, i, kind, patient, k, a)


@internal
def _write_event(
    rows: Float64, counts: Int64, clock: Float64, i: int, kind: int, patient: int, k: int, a: int
) -> None:
    """Write one event into the trace, if there is room: see ``trace``."""
    row = counts[i, TRACE_USED]
    counts[i, TRACE_USED] = row + 1
    if row >= rows.shape[1]:
        return
    rows[i, row, TRACE_AT] = clock[i, NOW]
    rows[i, row, TRACE_KIND] = kind
    rows[i, row, TRACE_PATIENT] = patient
    rows[i, row, TRACE_CLASS] = k
    rows[i, row, TRACE_ACTIVITY] = a
    for n in range(rows.shape[2] - TRACE_UNITS):
        rows[i, row, TRACE_UNITS + n] = counts[i, FREE + n]


@internal
def take_census(rows: Float64, counts: Int64, clock: Float64, i: int) -> None:
    """Write how many wait, are cared for and board now, and the units; set the next sample."""
    clock[i, NEXT_SAMPLE] += clock[i, SAMPLE_HOURS]
    row = counts[i, CENSUS_USED]
    counts[i, CENSUS_USED] = row + 1
    if row >= rows.shape[1]:
        return
    rows[i, row, CENSUS_AT] = clock[i, NOW]
    rows[i, row, CENSUS_WAITING] = counts[i, WAITING]
    rows[i, row, CENSUS_IN_CARE] = counts[i, IN_CARE]
    rows[i, row, CENSUS_BOARDING] = counts[i, BOARDING]
    for n in range(rows.shape[2] - CENSUS_UNITS):
        rows[i, row, CENSUS_UNITS + n] = counts[i, FREE + n]
