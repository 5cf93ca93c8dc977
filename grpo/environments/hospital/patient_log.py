"""What a simulation leaves behind: the judged patients, their courses, samples of the hospital."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.physics.state import (
    BOARDED,
    CENSUS_AT,
    CENSUS_BOARDING,
    CENSUS_IN_CARE,
    CENSUS_UNITS,
    CENSUS_USED,
    CENSUS_WAITING,
    ED_HOURS,
    END_HOURS,
    HARM,
    LOG_ARRIVAL,
    LOG_COST,
    LOG_OUTCOME,
    LOG_TYPE,
    LOG_USED,
    LOG_WAIT,
    OUTCOME_DIVERTED,
    OUTCOME_LEFT,
    OUTCOME_SERVED,
    OUTCOME_TRANSFERRED,
    OUTCOME_WAITING,
    RECORDED,
    START_ACUITY,
    State,
)
from grpo.errors import SimulationError

# Rows of a log that are read together; five columns of them take 160 KiB.
ROWS_AT_A_TIME = 4096

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


class Outcome(IntEnum):
    """What a visit came to. SERVED: care began, and did not end in a transfer so far."""

    SERVED = OUTCOME_SERVED
    LEFT = OUTCOME_LEFT
    DIVERTED = OUTCOME_DIVERTED
    WAITING = OUTCOME_WAITING
    TRANSFERRED = OUTCOME_TRANSFERRED


@dataclass(frozen=True, eq=False)
class Courses:
    """What more happened to the patients of a log, row for row; NaN where it did not, or not yet.

    Attributes:
        recorded_acuity: [M] int64 level recorded at triage; 0 for the diverted.
        start_acuity: [M] int64 true level when care began; 0 where it did not.
        boarding_hours: [M] time on units of an earlier stage, waiting for the next one.
        ed_hours: [M] from arrival until the first stage was left for good.
        end_hours: [M] from arrival until the hospital was left after care.
        harm: [M] added probability of death by a late bed; 0 for who needed none.
    """

    recorded_acuity: Int64
    start_acuity: Int64
    boarding_hours: Float64
    ed_hours: Float64
    end_hours: Float64
    harm: Float64


@dataclass(frozen=True, eq=False)
class Census:
    """The hospital at evenly spaced times in the judged window, ``C`` of them, in each episode.

    What happened at the very time of a sample, starts included, has happened.

    Attributes:
        hours: [C] since the start of the window.
        waiting: [episodes, C] patients who wait in the emergency department.
        in_care: [episodes, C] patients in care, at any stage.
        boarding: [episodes, C] patients who wait for a later stage.
        used: [episodes, C, P] units in use or being cleaned.
        capacity: [episodes, C, P] units there are.
    """

    hours: Float64
    waiting: Float64
    in_care: Float64
    boarding: Float64
    used: Float64
    capacity: Float64


@dataclass(frozen=True, eq=False)
class PatientLog:
    """Every patient who arrived in the judged window, by episode and then by arrival.

    Row for row, two logs of one seed hold the same patients whatever the chooser, so they pair.

    Attributes:
        episode: [M] int64, 0..episodes-1.
        type: [M] int64 patient type of the compiled scenario, as he came.
        arrival_hours: [M] float64, since the start of the window; in [0, horizon_hours).
        wait_hours: [M] float64, from arrival to start of care, to leaving, or to the end of the
            run (censored, outcome WAITING); 0 for the diverted.
        outcome: [M] int64, see ``Outcome``.
        cost: [M] float64, undiscounted, relative units; of a censored wait so far.
        episodes: number of episodes.
        horizon_hours: length of the window.
        courses: what more happened, where the scenario has more; else None.
        census: samples of the hospital, where they were asked for; else None.
    """

    episode: Int64
    type: Int64
    arrival_hours: Float64
    wait_hours: Float64
    outcome: Int64
    cost: Float64
    episodes: int
    horizon_hours: float
    courses: Courses | None = None
    census: Census | None = None


def patient_costs(
    compiled: CompiledScenario, types: Int64, wait_hours: Float64, outcome: Int64
) -> Float64:
    """Return the undiscounted cost of each patient from his wait and its outcome.

    Waiting w hours at rate c with target T and factor f costs c w + (f - 1) c max(w - T, 0);
    leaving and diversion add their lumps. That is all where the scenario keeps no courses:
    nobody gets worse, boards or pays for an option.

    Args:
        compiled: the scenario.
        types: [M] patient types.
        wait_hours: [M] waits.
        outcome: [M] see ``Outcome``.
    """
    rate = compiled.cost_rates[types]
    late = np.maximum(wait_hours - compiled.target_hours[types], 0.0)
    cost = rate * wait_hours + rate * (compiled.factor_beyond_target - 1) * late
    cost += np.where(outcome == Outcome.LEFT, compiled.leaving_costs[types], 0.0)
    cost += np.where(outcome == Outcome.DIVERTED, compiled.diversion_costs[types], 0.0)
    return np.asarray(cost, dtype=np.float64)


def read_log(
    compiled: CompiledScenario, state: State, warmup_hours: float, horizon_hours: float
) -> PatientLog:
    """Flatten the kernel's log and close the waits that the end cut off.

    Raises:
        SimulationError: an episode had more arrivals than its log has rows.
    """
    rows = state.log.shape[1]
    used = state.counts[:, LOG_USED]
    if (overfull := np.flatnonzero(used > rows)).size:
        first = int(overfull[0])
        raise SimulationError(
            f"episode {first} had {used[first]} arrivals, but its log holds {rows}"
        )
    columns = _read_columns(state.log, used, whole=(LOG_TYPE, LOG_OUTCOME))
    columns[LOG_ARRIVAL] -= warmup_hours
    return PatientLog(
        episode=np.repeat(np.arange(len(used)), used),
        type=columns[LOG_TYPE],
        arrival_hours=columns[LOG_ARRIVAL],
        wait_hours=columns[LOG_WAIT],
        outcome=columns[LOG_OUTCOME],
        cost=columns[LOG_COST],
        episodes=len(used),
        horizon_hours=horizon_hours,
        courses=_read_courses(state) if compiled.keeps_courses else None,
        census=_read_census(state, warmup_hours) if state.census.shape[1] else None,
    )


def _read_courses(state: State) -> Courses:
    used = state.counts[:, LOG_USED]
    columns = _read_columns(state.courses, used, whole=(RECORDED, START_ACUITY))
    return Courses(
        recorded_acuity=columns[RECORDED],
        start_acuity=columns[START_ACUITY],
        boarding_hours=columns[BOARDED],
        ed_hours=_known(columns[ED_HOURS]),
        end_hours=_known(columns[END_HOURS]),
        harm=columns[HARM],
    )


def _read_columns(tables: Float64, used: Int64, *, whole: tuple[int, ...]) -> list[NDArray[Any]]:
    """Return every column of the rows in use, all episodes after each other.

    A part that fits the processor's cache is read at a time: a log is larger than any cache.

    Args:
        tables: [N, L, C].
        used: [N] rows in use.
        whole: columns of whole numbers, which come as int64.
    """
    kinds = [np.int64 if c in whole else np.float64 for c in range(tables.shape[2])]
    columns: list[NDArray[Any]] = [np.empty(int(used.sum()), dtype=kind) for kind in kinds]
    place = 0
    for table, rows in zip(tables, used.tolist(), strict=True):
        for first in range(0, rows, ROWS_AT_A_TIME):
            part = table[first : min(first + ROWS_AT_A_TIME, rows)]
            for c, column in enumerate(columns):
                column[place : place + len(part)] = part[:, c]
            place += len(part)
    return columns


def _known(hours: Float64) -> Float64:
    """Return hours with NaN for the zeros of what was never written."""
    return np.where(hours > 0, hours, np.nan)


def _read_census(state: State, warmup_hours: float) -> Census:
    taken = int(state.counts[:, CENSUS_USED].min())
    rows = state.census[:, :taken]
    num_pools = (state.census.shape[2] - CENSUS_UNITS) // 2
    free = rows[:, :, CENSUS_UNITS : CENSUS_UNITS + num_pools]
    capacity = rows[:, :, CENSUS_UNITS + num_pools :]
    return Census(
        hours=rows[0, :, CENSUS_AT] - warmup_hours,
        waiting=rows[:, :, CENSUS_WAITING],
        in_care=rows[:, :, CENSUS_IN_CARE],
        boarding=rows[:, :, CENSUS_BOARDING],
        used=capacity - free,
        capacity=capacity,
    )
