"""Every event of one episode, in order: for replay, for checks, and as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.physics.records import (
    TRACE_CAPACITY,
    TRACE_CLEANED,
    TRACE_PRESENT,
    TRACE_STARTED,
)
from grpo.environments.hospital.physics.rule_table import IndexRule
from grpo.environments.hospital.physics.state import (
    TRACE_ACTIVITY,
    TRACE_AT,
    TRACE_CLASS,
    TRACE_KIND,
    TRACE_PATIENT,
    TRACE_UNITS,
    TRACE_USED,
    Recording,
)
from grpo.environments.hospital.simulate import Chooser, log_rows, run_episodes

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

EVENTS_PER_ARRIVAL = 8
# In the order of the kinds in ``records``.
EVENT_NAMES = (
    "arrived",
    "diverted",
    "left",
    "worsened",
    "started",
    "boarded",
    "discharged",
    "transferred",
    "cleaned",
    "capacity_changed",
    "present",
)


@dataclass(frozen=True, eq=False)
class EventTrace:
    """The ``M`` events of one episode.

    Attributes:
        hours: [M] since the start of the episode, which begins at a Monday's midnight.
        kind: [M] index into EVENT_NAMES.
        patient: [M] number in order of arrival from 0; from -2 downwards those who were there at
            the start (event ``present``); -1 where the event is nobody's.
        class_index: [M] class that the patient waits in now or was started from; the pool where
            units became clean; -1 where capacity changed.
        activity: [M] what was started, or on what units a patient was present; else -1.
        free: [M, P] free units after the event; below 0 while a shift that ended still runs.
        capacity: [M, P] units there are after the event.
    """

    hours: Float64
    kind: Int64
    patient: Int64
    class_index: Int64
    activity: Int64
    free: Int64
    capacity: Int64


def trace_episode(
    compiled: CompiledScenario,
    chooser: IndexRule | Chooser,
    *,
    seed: int,
    horizon_hours: float,
    episode: int = 0,
) -> EventTrace:
    """Run one episode of ``simulate``, without warm-up, and keep every event.

    Where the events are more than was made room for, the same episode is run again with more.

    Args:
        compiled: the scenario.
        chooser: a rule, or a function from observations and masks to actions; it must answer
            alike when asked again.
        seed: 0 <= seed < 2**63.
        horizon_hours: > 0.
        episode: number of the episode.
    """
    rows = EVENTS_PER_ARRIVAL * log_rows(compiled, horizon_hours)
    while True:
        state = run_episodes(
            compiled,
            chooser,
            episodes=1,
            seed=seed,
            warmup_hours=0.0,
            horizon_hours=horizon_hours,
            first_episode=episode,
            recording=Recording(trace_rows=rows),
        )
        used = int(state.counts[0, TRACE_USED])
        if used <= rows:
            break
        rows = used
    table = state.trace[0, :used]
    units = table[:, TRACE_UNITS:].astype(np.int64)
    num_pools = len(compiled.capacity)
    return EventTrace(
        hours=table[:, TRACE_AT].copy(),
        kind=table[:, TRACE_KIND].astype(np.int64),
        patient=table[:, TRACE_PATIENT].astype(np.int64),
        class_index=table[:, TRACE_CLASS].astype(np.int64),
        activity=table[:, TRACE_ACTIVITY].astype(np.int64),
        free=units[:, :num_pools],
        capacity=units[:, num_pools:],
    )


def describe_events(compiled: CompiledScenario, trace: EventTrace) -> Iterator[dict[str, Any]]:
    """Yield the events as plain data: time, kind, patient, class, pool levels."""
    names = compiled.pool_names
    for n in range(len(trace.hours)):
        kind, k = int(trace.kind[n]), int(trace.class_index[n])
        event: dict[str, Any] = {"hours": float(trace.hours[n]), "event": EVENT_NAMES[kind]}
        if kind == TRACE_CLEANED:
            event["pool"] = names[k]
        elif kind != TRACE_CAPACITY:
            event["patient"] = int(trace.patient[n])
            event["class"] = compiled.class_labels[k]
        if kind in (TRACE_STARTED, TRACE_PRESENT):
            event["action"] = compiled.action_labels[int(trace.activity[n])]
        event["pools"] = {
            name: {"free": int(trace.free[n, p]), "capacity": int(trace.capacity[n, p])}
            for p, name in enumerate(names)
        }
        yield event


def write_trace(compiled: CompiledScenario, trace: EventTrace, file: TextIO) -> int:
    """Write one JSON object per line and event; return how many lines."""
    lines = 0
    for event in describe_events(compiled, trace):
        file.write(json.dumps(event) + "\n")
        lines += 1
    return lines
