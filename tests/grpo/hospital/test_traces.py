"""Every event of random hospitals replayed: nobody is lost, no unit leaks, Little's law holds.

The replay knows the rules of the game and the scenario's needs, and nothing of the kernel.
"""

from __future__ import annotations

import io
import json
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.event_trace import (
    EVENT_NAMES,
    EventTrace,
    trace_episode,
    write_trace,
)
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.scenario import compile_scenario
from grpo.environments.hospital.simulate import Outcome, PatientLog, simulate
from tests.grpo.hospital.random_scenarios import random_scenario

HOURS = 24.0
LEGAL = {
    None: {"arrived", "diverted", "present"},
    "waiting": {"started", "left", "worsened"},
    "in care": {"boarded", "discharged", "transferred"},
    "boarding": {"started"},
}
BECOMES = {
    "arrived": "waiting",
    "worsened": "waiting",
    "present": "in care",
    "started": "in care",
    "boarded": "boarding",
    "diverted": "diverted",
    "left": "left",
    "discharged": "discharged",
    "transferred": "transferred",
}


class Replay:
    """The hospital as its events tell it: who is where, on which units, and for how long."""

    def __init__(self, compiled: CompiledScenario, trace: EventTrace) -> None:
        self.compiled, self.trace = compiled, trace
        self.where: dict[int, str] = {}
        self.since: dict[int, float] = {}
        self.held: dict[int, int] = {}
        self.order = 0
        self.hours: defaultdict[tuple[str, bool], float] = defaultdict(float)
        self.cleaned_at_once = compiled.laws.cleaning[:, 0] == 0

    def run(self) -> None:
        """Replay all events, and check each against what the hospital was before it."""
        now = 0.0
        in_use = np.zeros(len(self.compiled.capacity), dtype=np.int64)
        for n, hours in enumerate(self.trace.hours):
            assert hours >= now
            now = float(hours)
            name = EVENT_NAMES[self.trace.kind[n]]
            used = self.trace.capacity[n] - self.trace.free[n]
            expected = in_use + self.change(name, n, now)
            if name == "cleaned":
                changed = np.flatnonzero(used != expected)
                assert changed.tolist() == [self.trace.class_index[n]]
                assert (used <= expected).all()
            else:
                assert np.array_equal(used, expected), name
            assert (used >= 0).all()
            in_use = used
        for patient in self.where:
            self.leave_place(patient, HOURS)

    def leave_place(self, patient: int, now: float) -> None:
        """Add up how long a patient was where he is."""
        self.hours[self.where[patient], patient >= 0] += now - self.since[patient]

    def change(self, name: str, n: int, now: float) -> NDArray[np.int64]:
        """Let one event happen; return by how much the units in use change at once."""
        change = np.zeros(len(self.compiled.capacity), dtype=np.int64)
        if name in ("cleaned", "capacity_changed"):
            return change
        patient = int(self.trace.patient[n])
        before = self.where.get(patient)
        assert name in LEGAL[before], (patient, before, name)
        if name in ("arrived", "diverted"):
            assert patient == self.order
            self.order += 1
        if name in ("started", "discharged", "transferred") and patient in self.held:
            change -= self.compiled.activity_needs[self.held[patient]] * self.cleaned_at_once
        if name in ("started", "present"):
            activity = int(self.trace.activity[n])
            assert self.compiled.activity_class[activity] == self.trace.class_index[n]
            change += self.compiled.activity_needs[activity]
            self.held[patient] = activity
        if before is not None:
            self.leave_place(patient, now)
        self.where[patient], self.since[patient] = BECOMES[name], now
        return change


def check(seed: int, rule_name: str) -> None:
    compiled = compile_scenario(random_scenario(seed), hold=False)
    rule = make_rule(rule_name, compiled)
    trace = trace_episode(compiled, rule, seed=seed, horizon_hours=HOURS)
    replay = Replay(compiled, trace)
    replay.run()
    log = simulate(compiled, rule, episodes=1, seed=seed, warmup_hours=0.0, horizon_hours=HOURS)
    check_conservation(trace, log)
    check_littles_law(replay, log)


def check_conservation(trace: EventTrace, log: PatientLog) -> None:
    """Arrivals are those let in and those diverted; nobody ends twice, and the log agrees."""
    count = Counter(EVENT_NAMES[kind] for kind in trace.kind[trace.patient >= 0])
    assert count["arrived"] + count["diverted"] == len(log.type)
    ends = np.isin(
        trace.kind, [EVENT_NAMES.index(e) for e in ("left", "discharged", "transferred")]
    )
    ended = trace.patient[ends]
    assert len(set(ended.tolist())) == len(ended)
    assert (log.outcome == Outcome.LEFT).sum() == count["left"]
    assert (log.outcome == Outcome.DIVERTED).sum() == count["diverted"]
    assert (log.outcome == Outcome.TRANSFERRED).sum() == count["transferred"]


def check_littles_law(replay: Replay, log: PatientLog) -> None:
    """The integral of the number who wait is the sum of their waits; alike for who boards.

    Both are of those who arrived; the kernel's log is the second computation.
    """
    boarded = 0.0 if log.courses is None else log.courses.boarding_hours.sum()
    assert replay.hours["waiting", True] == pytest.approx(log.wait_hours.sum(), abs=1e-6)
    assert replay.hours["boarding", True] == pytest.approx(boarded, abs=1e-6)


@settings(max_examples=500, deadline=None)
@given(seed=st.integers(0, 2**40), rule=st.sampled_from(["fcfs", "strict_acuity", "c_mu"]))
def test_every_event_of_a_random_hospital_is_legal_and_little_holds(seed: int, rule: str) -> None:
    check(seed, rule)


def test_a_trace_is_written_as_one_json_object_per_event() -> None:
    compiled = compile_scenario(random_scenario(1, everything=True))
    trace = trace_episode(compiled, make_rule("fcfs", compiled), seed=1, horizon_hours=HOURS)
    file = io.StringIO()
    lines = write_trace(compiled, trace, file)
    events = [json.loads(line) for line in file.getvalue().splitlines()]
    assert len(events) == lines == len(trace.hours)
    assert {event["event"] for event in events} == set(EVENT_NAMES)
    for event in events:
        assert set(event["pools"]) == set(compiled.pool_names)
        if event["event"] == "started":
            assert event["action"] in compiled.action_labels
            assert event["class"] in compiled.class_labels
