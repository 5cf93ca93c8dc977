"""Single mechanisms of the physics against answers by hand, in closed form or from the data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.event_trace import EVENT_NAMES, EventTrace, trace_episode
from grpo.environments.hospital.model.scenario_model import (
    CapacityStep,
    CareOption,
    HarmCurve,
    Route,
    Stage,
    Surge,
)
from grpo.environments.hospital.physics.rule_table import IndexRule
from grpo.environments.hospital.queue_scenarios import given
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.scenario import (
    Constant,
    Exponential,
    Lognormal,
    Scenario,
    compile_scenario,
    make_queue_scenario,
)
from grpo.environments.hospital.simulate import PatientLog, simulate

SHORT: dict[str, Any] = {"episodes": 1, "seed": 3, "warmup_hours": 0.0}


def run(
    scenario: Scenario | CompiledScenario, hours: float, rule: str = "fcfs", **more: Any
) -> PatientLog:
    compiled = compile_scenario(scenario) if isinstance(scenario, Scenario) else scenario
    arguments = {**SHORT, **more}
    return simulate(compiled, make_rule(rule, compiled), horizon_hours=hours, **arguments)


def trace(scenario: Scenario, hours: float, rule: str = "fcfs") -> EventTrace:
    compiled = compile_scenario(scenario)
    return trace_episode(compiled, make_rule(rule, compiled), seed=3, horizon_hours=hours)


def hours_of(events: EventTrace, name: str) -> np.ndarray:
    return np.asarray(events.hours[events.kind == EVENT_NAMES.index(name)])


def ward(**more: Any) -> Stage:
    return Stage(
        **{
            "name": "ward",
            "options": (CareOption(name="own", needs=given({"ward_bed": 1})),),
            "stay": given(Constant(hours=10.0)),
            "waiting_cost_per_hour": given(2.0),
            **more,
        }
    )


def admit(chance: float = 1.0) -> Route:
    return Route(origin="ed", destination="ward", probability=given({"all": (chance,)}))


def with_ward(**more: Any) -> Scenario:
    return make_queue_scenario(
        **{
            "rates": {"all": (1.0,)},
            "treatments": (Constant(hours=1.0),),
            "pools": {"bed": 20, "ward_bed": 2},
            "needs": ({"bed": 1},),
            "stages": (ward(),),
            "routes": (admit(),),
            **more,
        }
    )


def test_a_bed_that_is_cleaned_takes_the_next_patient_only_afterwards() -> None:
    """One bed, care 1 h, cleaning half an hour, always somebody waiting: a start every 1.5 h."""
    scenario = make_queue_scenario(
        rates={"all": (5.0,)}, treatments=(Constant(hours=1.0),), pools={"bed": 1}
    )
    bed = scenario.pools[0].model_copy(update={"turnaround": given(Constant(hours=0.5))})
    starts = hours_of(trace(scenario.model_copy(update={"pools": (bed,)}), 60.0), "started")
    assert np.diff(starts) == pytest.approx(1.5)
    assert len(starts) == 40


def test_a_boarder_keeps_his_bed_until_the_ward_takes_him_and_pays_for_it() -> None:
    """Two ward beds, 10 h each, everybody admitted: a bed comes free as the first two end.

    The hospital begins empty here, so that the first two go up at once and the third boards.
    """
    compiled = compile_scenario(with_ward())
    empty = replace(compiled, initial=np.zeros_like(compiled.initial))
    log = run(empty, 40.0)
    course = log.courses
    assert course is not None
    arrived = log.arrival_hours
    # Everybody starts at once (20 beds); care ends an hour later. Ward starts: first two at once,
    # then one whenever a ward bed comes free, in order.
    free = [arrived[0] + 1 + 10, arrived[1] + 1 + 10]
    boarding = [0.0, 0.0]
    for n in range(2, 6):
        begins = max(arrived[n] + 1, min(free))
        boarding.append(begins - arrived[n] - 1)
        free[free.index(min(free))] = begins + 10
    assert course.boarding_hours[:6] == pytest.approx(boarding)
    assert course.ed_hours[:6] == pytest.approx(1 + np.array(boarding))
    assert log.cost[:6] == pytest.approx(2.0 * np.array(boarding))


def test_a_ward_begins_as_full_as_it_will_stay() -> None:
    """M/G/infinity: 2 h x 24 h = 48 patients at the start, after 72 h and after 1,440 h."""
    scenario = with_ward(
        rates={"all": (2.0,)},
        treatments=(Exponential(mean_hours=0.2),),
        pools={"bed": 50, "ward_bed": 500},
        stages=(ward(stay=given(Lognormal(mean_hours=24.0, cv=1.2))),),
    )
    log = run(scenario, 1440.0, episodes=150, census_every_hours=24.0)
    assert log.census is not None
    used = log.census.used[:, :, 1]
    for hour in (0, 72, 1440):
        sample = used[:, hour // 24]
        assert abs(sample.mean() - 48.0) < 4 * np.sqrt(48.0 / len(sample)), hour
    assert used[:, 0].var() == pytest.approx(48.0, rel=0.5)


def test_an_overflow_bed_is_the_second_choice_and_costs_its_lump() -> None:
    scenario = make_queue_scenario(
        rates={"all": (3.0,)}, treatments=(Constant(hours=1.0),), pools={"bed": 1, "hall": 50},
        needs=({"bed": 1},), costs_per_hour=(0.0,),
    )  # fmt: skip
    hall = CareOption(name="hall", needs=given({"hall": 1}), cost_per_start=given(7.0))
    acuity = scenario.acuities[0].model_copy(update={"options": (hall,)})
    scenario = scenario.model_copy(update={"acuities": (acuity,)})
    compiled = compile_scenario(scenario)
    assert compiled.action_labels == ("ed.1", "ed.1:hall", "hold")
    log = run(scenario, 100.0)
    events = trace(scenario, 100.0)
    started = events.kind == EVENT_NAMES.index("started")
    in_hall = events.activity[started] == 1
    assert 0 < in_hall.sum() < started.sum()
    # The bed is taken first: a start in the hall leaves no free bed.
    assert np.all(events.free[started][in_hall, 0] == 0)
    assert log.cost.sum() == pytest.approx(7.0 * in_hall.sum())


def test_who_gets_worse_keeps_his_place_in_time() -> None:
    """Inside a class the earliest arrival starts first, whenever he came into the class."""
    scenario = make_queue_scenario(
        rates={"all": (1.0, 3.0)}, treatments=(Constant(hours=1.0),) * 2, pools={"bed": 3},
        deterioration_per_hour=(0.0, 0.3),
    )  # fmt: skip
    events = trace(scenario, 300.0, "strict_acuity")
    waiting: dict[int, set[int]] = {0: set(), 1: set()}
    overtook = 0
    for kind, patient, k in zip(events.kind, events.patient, events.class_index, strict=True):
        name = EVENT_NAMES[kind]
        if name == "worsened":
            waiting[1].discard(int(patient))
            overtook += any(other > patient for other in waiting[0])
        if name in ("arrived", "worsened"):
            waiting[int(k)].add(int(patient))
        if name == "started":
            assert patient == min(waiting[int(k)])
            waiting[int(k)].discard(int(patient))
    assert overtook > 20


def test_patience_is_not_started_anew_by_getting_worse() -> None:
    """Patience 2 h, nobody served: everybody leaves 2 h after arrival, worse or not."""
    scenario = make_queue_scenario(
        rates={"all": (0.0, 3.0)}, treatments=(Constant(hours=1e6),) * 2, pools={"bed": 1},
        patience=(Constant(hours=2.0),) * 2, deterioration_per_hour=(0.0, 1.0),
    )  # fmt: skip
    events = trace(scenario, 100.0)
    came = dict(zip(events.patient[events.kind == 0], hours_of(events, "arrived"), strict=True))
    left = events.kind == EVENT_NAMES.index("left")
    waits = [h - came[p] for h, p in zip(events.hours[left], events.patient[left], strict=True)]
    assert len(waits) > 200
    assert waits == pytest.approx([2.0] * len(waits))
    assert (events.kind == EVENT_NAMES.index("worsened")).sum() > 200


def test_the_cost_of_waiting_follows_the_acuity_and_adds_the_lump_of_getting_worse() -> None:
    """Nobody served, patience 2 h: acuity 2 costs 1 an hour, acuity 1 costs 3, the lump 5 x 3."""
    scenario = make_queue_scenario(
        rates={"all": (0.0, 3.0)}, treatments=(Constant(hours=1e6),) * 2, pools={"bed": 1},
        patience=(Constant(hours=2.0),) * 2, deterioration_per_hour=(0.0, 1.0),
        costs_per_hour=(3.0, 1.0),
    )  # fmt: skip
    costs = scenario.costs.model_copy(update={"deterioration_hours": given(5.0)})
    scenario = scenario.model_copy(update={"costs": costs})
    log, events = run(scenario, 100.0), trace(scenario, 100.0)
    worsened = events.kind == EVENT_NAMES.index("worsened")
    since = dict(zip(events.patient[worsened], events.hours[worsened], strict=True))
    for n in range(1, 150):
        arrived = log.arrival_hours[n]
        worse_after = since.get(n, np.inf) - arrived
        expected = min(worse_after, 2.0)
        if worse_after < 2.0:
            expected += 3.0 * (2.0 - worse_after) + 5.0 * 3.0
        assert log.cost[n] == pytest.approx(expected), n


def test_recorded_acuities_follow_the_matrix_and_costs_the_true_one() -> None:
    scenario = make_queue_scenario(
        rates={"all": (40.0, 60.0)}, treatments=(Constant(hours=0.1),) * 2, pools={"bed": 11},
        costs_per_hour=(9.0, 1.0),
    )  # fmt: skip
    rows = ((0.7, 0.3), (0.2, 0.8))
    scenario = scenario.model_copy(update={"triage_error": given({"all": rows})})
    compiled = compile_scenario(scenario)
    log = run(scenario, 400.0, "strict_acuity")
    assert log.courses is not None
    for true, row in enumerate(rows, start=1):
        mine = (compiled.type_acuity[log.type] == true) & (log.courses.recorded_acuity > 0)
        share = (log.courses.recorded_acuity[mine] == 1).mean()
        assert abs(share - row[0]) < 4 * np.sqrt(row[0] * (1 - row[0]) / mine.sum())
        rate = compiled.cost_rates[log.type[mine]]
        assert log.cost[mine] == pytest.approx(rate * log.wait_hours[mine])
    # The rule goes by what was recorded: who was recorded as urgent waits less.
    urgent = log.courses.recorded_acuity == 1
    assert log.wait_hours[urgent].mean() < 0.7 * log.wait_hours[~urgent].mean()


def test_harm_is_read_off_the_curve_at_the_time_of_the_bed() -> None:
    scenario = with_ward(rates={"all": (0.4,)})
    curve = HarmCurve(hours=(2.0, 6.0, 9.0), added_probability=(0.0, 0.04, 0.07))
    costs = scenario.costs.model_copy(update={"cost_per_death": given(1000.0)})
    log = run(scenario.model_copy(update={"harm": given(curve), "costs": costs}), 800.0)
    course = log.courses
    assert course is not None
    admitted = ~np.isnan(course.ed_hours)
    expected = np.interp(course.ed_hours[admitted], curve.hours, curve.added_probability)
    assert expected.max() == 0.07
    assert course.harm[admitted] == pytest.approx(expected)
    waiting = log.wait_hours[admitted] + 2 * course.boarding_hours[admitted]
    assert log.cost[admitted] == pytest.approx(waiting + 1000 * expected)


def test_a_surge_brings_its_patients_and_units_at_its_time() -> None:
    """60 patients over 2 h from hour 10, every 50 h; 5 units more from 30 min on, for 4 h."""
    scenario = make_queue_scenario(
        rates={"all": (0.01,)}, treatments=(Constant(hours=0.01),), pools={"bed": 3}
    )
    step = CapacityStep(pool="bed", after_minutes=given(30.0), hours=given(4.0), units=given(5))
    surge = Surge(
        name="event", first_hour=given(10.0), every_hours=given(50.0), duration_hours=given(2.0),
        patients=given(60.0), mix_share=given((1.0,)), acuity_share=given({"all": (1.0,)}),
        capacity_steps=(step,),
    )  # fmt: skip
    scenario = scenario.model_copy(update={"surges": (surge,)})
    log = run(scenario, 5000.0, census_every_hours=0.5)
    inside = (log.arrival_hours % 50 >= 10) & (log.arrival_hours % 50 < 12)
    rounds = 100
    assert abs(inside.sum() - 60 * rounds) < 4 * np.sqrt(60 * rounds) + 2
    assert (~inside).sum() < 100
    early = (log.arrival_hours[inside] % 50 < 11).mean()
    assert abs(early - 0.5) < 4 * np.sqrt(0.25 / inside.sum())
    assert log.census is not None
    place = log.census.hours % 50
    capacity = log.census.capacity[0, :, 0]
    assert np.array_equal(capacity, np.where((place >= 10.5) & (place < 14.5), 8, 3))


def test_a_busy_weekday_gets_its_share_of_the_arrivals() -> None:
    scenario = make_queue_scenario(
        rates={"all": (5.0,)}, treatments=(Constant(hours=0.1),), pools={"bed": 100}
    )
    factors = (2.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5)
    arrivals = scenario.arrivals.model_copy(update={"weekday_factor": given(factors)})
    weeks = 200
    log = run(scenario.model_copy(update={"arrivals": arrivals}), 168.0 * weeks)
    counts = np.bincount((log.arrival_hours % 168 // 24).astype(int), minlength=7)
    expected = 120.0 * weeks * np.array(factors)
    assert np.all(np.abs(counts - expected) < 4 * np.sqrt(expected))


def test_every_stay_is_the_patients_own_whatever_the_rule() -> None:
    """From start to end of care, at each stage, in bits of time: alike under two rules."""
    scenario = with_ward(
        rates={"all": (1.0, 1.0)}, treatments=(Lognormal(mean_hours=2.0, cv=1.0),) * 2,
        pools={"bed": 4, "ward_bed": 4}, needs=({"bed": 1},) * 2,
        stages=(ward(stay=given(Lognormal(mean_hours=5.0, cv=1.0))),),
        routes=(Route(origin="ed", destination="ward",
                      probability=given({"all": (0.5, 0.2)})),),
    )  # fmt: skip
    stays: list[dict[tuple[int, int], float]] = []
    for rule in ("fcfs", "strict_acuity"):
        compiled = compile_scenario(scenario)
        events = trace_episode(compiled, make_rule(rule, compiled), seed=3, horizon_hours=300.0)
        begun: dict[int, float] = {}
        visits: dict[int, int] = {}
        found: dict[tuple[int, int], float] = {}
        for hours, kind, patient in zip(events.hours, events.kind, events.patient, strict=True):
            name = EVENT_NAMES[kind]
            if name == "started":
                begun[int(patient)] = float(hours)
            elif name in ("boarded", "discharged") and int(patient) in begun:
                visit = visits.get(int(patient), 0)
                found[int(patient), visit] = float(hours) - begun[int(patient)]
                visits[int(patient)] = visit + 1
        stays.append(found)
    common = stays[0].keys() & stays[1].keys()
    assert sum(visit == 1 for _, visit in common) > 30
    assert len(common) > 200
    for one in common:
        assert stays[0][one] == pytest.approx(stays[1][one], abs=1e-9)


def test_a_run_in_parts_is_the_run_in_one() -> None:
    compiled = compile_scenario(with_ward())
    rule = IndexRule("first", np.zeros(2), np.ones(2))
    whole = simulate(compiled, rule, episodes=5, seed=9)
    part = simulate(compiled, rule, episodes=2, seed=9, first_episode=3)
    assert np.array_equal(whole.wait_hours[whole.episode >= 3], part.wait_hours)
    assert np.array_equal(whole.cost[whole.episode >= 3], part.cost)
