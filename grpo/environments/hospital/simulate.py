"""Run whole episodes under a rule or a policy and keep a record of every judged patient."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiled import CompiledScenario
from grpo.environments.hospital.dispatch_rules import IndexRule
from grpo.environments.hospital.event_loop import (
    NO_ACTION,
    NO_RULE,
    find_forbidden,
    make_scratch,
    run_all,
    start_clocks,
)
from grpo.environments.hospital.state import (
    LIMIT,
    LOG_ARRIVAL,
    LOG_FROM,
    LOG_OUTCOME,
    LOG_TYPE,
    LOG_UNTIL,
    LOG_USED,
    LOG_WAIT,
    NOW,
    OUTCOME_DIVERTED,
    OUTCOME_LEFT,
    OUTCOME_SERVED,
    OUTCOME_WAITING,
    Parameters,
    State,
    make_parameters,
    make_state,
)
from grpo.environments.hospital.vector_environment import stack_rules
from grpo.errors import InputError, ShapeError, SimulationError

Float64 = NDArray[np.float64]
Chooser = Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[np.int64]]


class Outcome(IntEnum):
    """What a patient's wait came to."""

    SERVED = OUTCOME_SERVED
    LEFT = OUTCOME_LEFT
    DIVERTED = OUTCOME_DIVERTED
    WAITING = OUTCOME_WAITING


@dataclass(frozen=True, eq=False)
class PatientLog:
    """Every patient who arrived in the judged window, by episode and then by arrival.

    Row for row, two logs of one seed hold the same patients whatever the chooser, so they pair.

    Attributes:
        episode: [M] int64, 0..episodes-1.
        type: [M] int64 patient type of the compiled scenario.
        arrival_hours: [M] float64, since the start of the window; in [0, horizon_hours).
        wait_hours: [M] float64, from arrival to start of care, to leaving, or to the end of the
            run (censored, outcome WAITING); 0 for the diverted.
        outcome: [M] int64, see ``Outcome``.
        cost: [M] float64, undiscounted, relative units; of a censored wait so far.
        episodes: number of episodes.
        horizon_hours: length of the window.
    """

    episode: NDArray[np.int64]
    type: NDArray[np.int64]
    arrival_hours: Float64
    wait_hours: Float64
    outcome: NDArray[np.int64]
    cost: Float64
    episodes: int
    horizon_hours: float


def simulate(
    compiled: CompiledScenario,
    chooser: IndexRule | Chooser,
    *,
    episodes: int,
    seed: int,
    warmup_hours: float = 72.0,
    horizon_hours: float = 336.0,
) -> PatientLog:
    """Run independent episodes and record everybody who arrives in the judged window.

    An episode starts empty at midnight, runs ``warmup_hours`` unrecorded and ``horizon_hours``
    recorded, and ends there. Episode i depends on (seed, i) and the chooser only; arrivals, types,
    stays and patience do not depend on the chooser.

    Args:
        compiled: the scenario.
        chooser: an index rule, which runs wholly in the kernel, or a function from observations
            [N, O] and masks [N, A] to allowed actions [N]; row i is episode i, and rows of episodes
            that have ended are ignored.
        episodes: N >= 1.
        seed: 0 <= seed < 2**63.
        warmup_hours: >= 0.
        horizon_hours: > 0.

    Raises:
        InputError: an argument out of range, or an action that the mask forbids.
        SimulationError: an episode had more arrivals than its log has rows.
    """
    _check_arguments(episodes, warmup_hours, horizon_hours)
    par = make_parameters(compiled, np.zeros((0, compiled.num_types)), discount_rate=0.0)
    rows = _log_rows(compiled, horizon_hours)
    state = make_state(compiled, episodes, 0, seed, log_rows=rows)
    end = warmup_hours + horizon_hours
    state.clock[:, LOG_FROM] = warmup_hours
    state.clock[:, [LIMIT, LOG_UNTIL]] = end
    start_clocks(state, par)
    if isinstance(chooser, IndexRule):
        _run_by_rule(compiled, state, par, chooser)
    else:
        _run_by_chooser(compiled, state, par, chooser)
    return _read_log(compiled, state, warmup_hours, horizon_hours)


def patient_costs(
    compiled: CompiledScenario,
    types: NDArray[np.int64],
    wait_hours: Float64,
    outcome: NDArray[np.int64],
) -> Float64:
    """Return the undiscounted cost of each patient from his wait and its outcome.

    Waiting w hours at rate c with target T and factor f costs c w + (f - 1) c max(w - T, 0);
    leaving and diversion add their lumps.

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


def _check_arguments(episodes: int, warmup_hours: float, horizon_hours: float) -> None:
    if episodes < 1:
        raise InputError.single("/episodes", "must be at least 1", given=episodes)
    if not (0 <= warmup_hours < math.inf):
        raise InputError.single("/warmup_hours", "must be finite and >= 0", given=warmup_hours)
    if not (0 < horizon_hours < math.inf):
        raise InputError.single("/horizon_hours", "must be finite and > 0", given=horizon_hours)


def _log_rows(compiled: CompiledScenario, horizon_hours: float) -> int:
    """Rows that a Poisson number of arrivals exceeds with probability below 1e-20."""
    peak = max(compiled.hourly_rates.max() * min(horizon_hours, 24.0), 0.0)
    expected = compiled.hourly_rates.mean() * horizon_hours + peak
    return int(expected + 10 * math.sqrt(expected) + 32)


def _run_by_rule(
    compiled: CompiledScenario, state: State, par: Parameters, rule: IndexRule
) -> None:
    """Run every episode to its end without leaving the kernel."""
    episodes = len(state.clock)
    intercepts, slopes = stack_rules([rule])
    run_all(
        state,
        par,
        np.full(episodes, NO_ACTION, dtype=np.int64),
        np.zeros(episodes, dtype=np.int64),
        intercepts,
        slopes,
        np.ones(episodes, dtype=np.bool_),
        np.zeros((0, compiled.observation_size), dtype=np.float32),
        np.zeros((0, compiled.num_actions), dtype=np.bool_),
        make_scratch(par),
    )


def _run_by_chooser(
    compiled: CompiledScenario, state: State, par: Parameters, chooser: Chooser
) -> None:
    """Ask the chooser for all episodes at once until every one has reached its end."""
    episodes = len(state.clock)
    live = np.ones(episodes, dtype=np.bool_)
    unused = np.zeros((1, compiled.num_classes))
    no_rules = np.full(episodes, NO_RULE, dtype=np.int64)
    observations = np.zeros((episodes, compiled.observation_size), dtype=np.float32)
    masks = np.zeros((episodes, compiled.num_actions), dtype=np.bool_)
    actions = np.full(episodes, NO_ACTION, dtype=np.int64)
    scratch = make_scratch(par)
    while True:
        run_all(state, par, actions, no_rules, unused, unused, live, observations, masks, scratch)
        if not live.any():
            return
        actions = np.ascontiguousarray(chooser(observations, masks), dtype=np.int64)
        if actions.shape != (episodes,):
            raise ShapeError(f"the chooser must give actions [{episodes}], not {actions.shape}")
        forbidden = int(find_forbidden(actions, masks, live))
        if forbidden >= 0:
            raise InputError.single(
                f"/actions/{forbidden}",
                "the mask forbids this action",
                given=int(actions[forbidden]),
                allowed=", ".join(map(str, np.flatnonzero(masks[forbidden]))),
            )


def _read_log(
    compiled: CompiledScenario, state: State, warmup_hours: float, horizon_hours: float
) -> PatientLog:
    """Flatten the kernel's log and close the waits that the end cut off."""
    rows = state.log.shape[1]
    used = state.counts[:, LOG_USED]
    if (overfull := np.flatnonzero(used > rows)).size:
        first = int(overfull[0])
        raise SimulationError(
            f"episode {first} had {used[first]} arrivals, but its log holds {rows}"
        )
    written = np.arange(rows) < used[:, None]
    episode = np.repeat(np.arange(len(used)), used)
    types = state.log[..., LOG_TYPE][written].astype(np.int64)
    outcome = state.log[..., LOG_OUTCOME][written].astype(np.int64)
    arrival = state.log[..., LOG_ARRIVAL][written]
    waited_so_far = state.clock[episode, NOW] - arrival
    wait = np.where(outcome == Outcome.WAITING, waited_so_far, state.log[..., LOG_WAIT][written])
    return PatientLog(
        episode=episode,
        type=types,
        arrival_hours=arrival - warmup_hours,
        wait_hours=wait,
        outcome=outcome,
        cost=patient_costs(compiled, types, wait, outcome),
        episodes=len(used),
        horizon_hours=horizon_hours,
    )
