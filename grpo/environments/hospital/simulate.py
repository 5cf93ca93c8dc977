"""Run whole episodes under a rule or a policy and keep a record of every judged patient."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.compiling.parameters import Parameters, make_parameters
from grpo.environments.hospital.patient_log import (
    Census,
    Courses,
    Outcome,
    PatientLog,
    patient_costs,
    read_log,
)
from grpo.environments.hospital.physics.dispatch_kernel import NO_ACTION
from grpo.environments.hospital.physics.event_loop import (
    finish,
    run_choices,
    run_rules,
    start_clocks,
)
from grpo.environments.hospital.physics.observing import find_forbidden, make_output
from grpo.environments.hospital.physics.rule_table import DispatchRule, IndexRule, stack_rules
from grpo.environments.hospital.physics.state import (
    LIMIT,
    LOG_FROM,
    LOG_UNTIL,
    NEXT_SAMPLE,
    SAMPLE_HOURS,
    Recording,
    State,
    make_state,
)
from grpo.errors import InputError, ShapeError

__all__ = [
    "Census",
    "Chooser",
    "Courses",
    "Outcome",
    "PatientLog",
    "patient_costs",
    "run_episodes",
    "simulate",
]

Chooser = Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[np.int64]]


def simulate(
    compiled: CompiledScenario,
    chooser: IndexRule | Chooser,
    *,
    episodes: int,
    seed: int,
    warmup_hours: float = 72.0,
    horizon_hours: float = 336.0,
    first_episode: int = 0,
    census_every_hours: float | None = None,
    closed_hours: float = 0.0,
) -> PatientLog:
    """Run independent episodes and record everybody who arrives in the judged window.

    An episode starts empty at a Monday's midnight, runs ``warmup_hours`` unrecorded and
    ``horizon_hours`` recorded, and ends there. Episode i depends on (seed, i) and the chooser
    only; arrivals, types, stays, patience and all else that concerns a patient do not depend on
    the chooser.

    Args:
        compiled: the scenario.
        chooser: a rule, which runs wholly in the kernel, or a function from observations
            [N, O] and masks [N, A] to allowed actions [N]; row i is episode i, and rows of episodes
            that have ended are ignored.
        episodes: N >= 1.
        seed: 0 <= seed < 2**63.
        warmup_hours: >= 0.
        horizon_hours: > 0.
        first_episode: number of the first episode, so that a run can be made in parts.
        census_every_hours: sample the hospital so often in the window, > 0; None does not.
        closed_hours: nobody is started for so long at the beginning, in [0, warmup_hours]: a
            crowded start, to see how long a hospital remembers it.

    Raises:
        InputError: an argument out of range, or an action that the mask forbids.
        SimulationError: an episode had more arrivals than its log has rows.
    """
    _check_arguments(episodes, warmup_hours, horizon_hours, census_every_hours)
    samples = 0
    if census_every_hours is not None:
        samples = math.floor(horizon_hours / census_every_hours + 1e-9) + 1
    recording = Recording(log_rows=log_rows(compiled, horizon_hours), census_rows=samples)
    state = run_episodes(
        compiled,
        chooser,
        episodes=episodes,
        seed=seed,
        warmup_hours=warmup_hours,
        horizon_hours=horizon_hours,
        first_episode=first_episode,
        recording=recording,
        census_every_hours=census_every_hours,
        closed_hours=min(closed_hours, warmup_hours),
    )
    return read_log(compiled, state, warmup_hours, horizon_hours)


def run_episodes(
    compiled: CompiledScenario,
    chooser: IndexRule | Chooser,
    *,
    episodes: int,
    seed: int,
    warmup_hours: float,
    horizon_hours: float,
    first_episode: int = 0,
    recording: Recording,
    census_every_hours: float | None = None,
    closed_hours: float = 0.0,
) -> State:
    """Run episodes to their end and return the hospitals with all that was recorded.

    Args:
        compiled: the scenario.
        chooser: see ``simulate``.
        episodes: see ``simulate``.
        seed: see ``simulate``.
        warmup_hours: see ``simulate``.
        horizon_hours: see ``simulate``.
        first_episode: see ``simulate``.
        recording: how much is kept.
        census_every_hours: see ``simulate``.
        closed_hours: see ``simulate``.
    """
    debts = chooser.debt_weights if isinstance(chooser, DispatchRule) else None
    heads = np.zeros((0, compiled.num_types)) if debts is None else debts
    par = make_parameters(compiled, heads, discount_rate=0.0)
    state = make_state(
        compiled, episodes, len(heads), seed, first=first_episode, recording=recording
    )
    end = warmup_hours + horizon_hours
    state.clock[:, LOG_FROM] = warmup_hours
    state.clock[:, [LIMIT, LOG_UNTIL]] = end
    if census_every_hours is not None:
        state.clock[:, NEXT_SAMPLE] = warmup_hours
        state.clock[:, SAMPLE_HOURS] = census_every_hours
    start_clocks(state, par)
    if closed_hours > 0:
        state.clock[:, LIMIT] = closed_hours
        _run_by_rule(compiled, state, par, _start_nobody(compiled))
        state.clock[:, LIMIT] = end
    if isinstance(chooser, IndexRule):
        _run_by_rule(compiled, state, par, chooser)
    else:
        _run_by_chooser(compiled, state, par, chooser)
    finish(state, par)
    return state


def _start_nobody(compiled: CompiledScenario) -> DispatchRule:
    """Return a rule that keeps more free than there could ever be."""
    zeros = np.zeros(compiled.num_classes)
    endless = np.full((compiled.num_classes, len(compiled.capacity)), 2**40, dtype=np.int64)
    return DispatchRule("closed", zeros, zeros, reserve=endless)


def _check_arguments(
    episodes: int, warmup_hours: float, horizon_hours: float, census_every_hours: float | None
) -> None:
    if episodes < 1:
        raise InputError.single("/episodes", "must be at least 1", given=episodes)
    if not (0 <= warmup_hours < math.inf):
        raise InputError.single("/warmup_hours", "must be finite and >= 0", given=warmup_hours)
    if not (0 < horizon_hours < math.inf):
        raise InputError.single("/horizon_hours", "must be finite and > 0", given=horizon_hours)
    if census_every_hours is not None and not 0 < census_every_hours <= horizon_hours:
        raise InputError.single(
            "/census_every_hours",
            "out of range",
            given=census_every_hours,
            allowed="above 0, up to horizon_hours",
        )


def log_rows(compiled: CompiledScenario, horizon_hours: float) -> int:
    """Rows that the number of arrivals in so many hours exceeds with probability below 1e-20."""
    rates = compiled.hourly_rates
    expected = rates.mean() * horizon_hours + rates.max() * min(horizon_hours, len(rates))
    for surge in compiled.scenario.surges:
        every = math.inf if surge.every_hours is None else surge.every_hours.value
        expected += surge.patients.value * (math.floor(horizon_hours / every) + 1)
    return int(expected + 10 * math.sqrt(expected) + 32)


def _run_by_rule(
    compiled: CompiledScenario, state: State, par: Parameters, rule: IndexRule
) -> None:
    """Run every episode to its end without leaving the kernel."""
    episodes = len(state.clock)
    run_rules(
        state,
        par,
        np.zeros(episodes, dtype=np.int64),
        stack_rules([rule], len(compiled.capacity)),
        np.ones(episodes, dtype=np.bool_),
    )


def _run_by_chooser(
    compiled: CompiledScenario, state: State, par: Parameters, chooser: Chooser
) -> None:
    """Ask the chooser for all episodes at once until every one has reached its end."""
    episodes = len(state.clock)
    live = np.ones(episodes, dtype=np.bool_)
    output = make_output(par, episodes, compiled.observation_size)
    actions = np.full(episodes, NO_ACTION, dtype=np.int64)
    while True:
        run_choices(state, par, actions, live, math.inf, output)
        if not live.any():
            return
        actions = np.ascontiguousarray(chooser(output.observations, output.masks), dtype=np.int64)
        if actions.shape != (episodes,):
            raise ShapeError(f"the chooser must give actions [{episodes}], not {actions.shape}")
        forbidden = int(find_forbidden(actions, output.masks, live))
        if forbidden >= 0:
            raise InputError.single(
                f"/actions/{forbidden}",
                "the mask forbids this action",
                given=int(actions[forbidden]),
                allowed=", ".join(map(str, np.flatnonzero(output.masks[forbidden]))),
            )
