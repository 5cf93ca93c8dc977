"""The exact cases of queueing theory as scenarios: how each is built, run and measured.

``tests/data/queue_cases.json`` holds the numbers; a family is built from parameters alone, so that
other numbers of the same family need no other code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import queue_measures as measures
from benchmarks.queue_measures import Measure
from grpo.environments.hospital.model.scenario_model import CareOption, Law, Route, Stage
from grpo.environments.hospital.patient_log import Outcome, PatientLog
from grpo.environments.hospital.physics.rule_table import DispatchRule, IndexRule
from grpo.environments.hospital.queue_scenarios import given, make_queue_scenario
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.scenario import (
    CompiledScenario,
    Constant,
    Exponential,
    Lognormal,
    Scenario,
    compile_scenario,
)
from grpo.environments.hospital.simulate import simulate

DATA = Path(__file__).resolve().parent.parent / "tests" / "data"
CASES = DATA / "queue_cases.json"
SCENARIOS = DATA / "queue_scenarios"
AT_ONCE_HOURS = 1e-6
# Losses per episode that a share is read from, and hours after which fewer must do: a share below
# 1% is known to 1.6% of itself rather than 1%.
EVENTS_FOR_A_SHARE, LONGEST_HOURS = 600, 14_500

Case = dict[str, Any]
Float64 = NDArray[np.float64]
Rule = str | Callable[[CompiledScenario], IndexRule]


@dataclass(frozen=True)
class ExactCase:
    """A queueing problem, how it is run, and what must come out.

    Attributes:
        name: id of the case, with the law or the order where it has several.
        scenario: the problem.
        measures: what is compared.
        rule: name of the rule, or what makes it.
        warmup_hours: hours before the window.
        horizon_hours: judged hours per episode.
        episodes: independent replications per run.
        runs: runs with seeds 0, 1, ..., a part of the memory at a time.
        census_hours: how often the hospital is sampled, None for never.
    """

    name: str
    scenario: Scenario
    measures: tuple[Measure, ...]
    rule: Rule = "fcfs"
    warmup_hours: float = 100.0
    horizon_hours: float = 1000.0
    episodes: int = 40
    runs: int = 1
    census_hours: float | None = None

    def run(self, first_seed: int = 0) -> list[Float64]:
        """Simulate; return per measure one estimate per episode, all runs together."""
        compiled = compile_scenario(self.scenario, hold=False)
        rule = make_rule(self.rule, compiled) if isinstance(self.rule, str) else self.rule(compiled)
        parts = []
        for seed in range(first_seed, first_seed + self.runs):
            log = simulate(
                compiled,
                rule,
                episodes=self.episodes,
                seed=seed,
                warmup_hours=self.warmup_hours,
                horizon_hours=self.horizon_hours,
                census_every_hours=self.census_hours,
            )
            parts.append([measure.estimate(log) for measure in self.measures])
        return list(np.concatenate(parts, axis=1))


def write_scenarios(scenarios: Sequence[Scenario]) -> None:
    """Write every scenario to a file of its name."""
    SCENARIOS.mkdir(exist_ok=True)
    for scenario in scenarios:
        text = scenario.model_dump_json(indent=1, exclude_none=True)
        (SCENARIOS / f"{scenario.name}.json").write_text(text + "\n", encoding="utf-8")


def load_cases() -> dict[str, Case]:
    """Return the stored cases by id."""
    stored = json.loads(CASES.read_text(encoding="utf-8"))["cases"]
    return {case["id"]: case for case in stored}


def exact_cases() -> list[ExactCase]:
    """Return every stored case that is a run of ``simulate``; ``sampled_cases`` has the rest."""
    return [
        exact
        for name, case in load_cases().items()
        if name in FAMILIES
        for exact in FAMILIES[name](case)
    ]


def _exponential(rate: float) -> Exponential:
    return Exponential(mean_hours=1 / rate)


def erlang_c(case: Case, **run: Any) -> Iterator[ExactCase]:
    """M/M/c, first come first served."""
    given_, exact = case["params"], case["expected"]
    scenario = make_queue_scenario(
        name=case["id"],
        rates={"all": (given_["arrival_rate"],)},
        treatments=(_exponential(given_["service_rate"]),),
        pools={"server": given_["servers"]},
    )
    found = (
        measures.mean_wait(exact["mean_wait"]),
        measures.share_waiting("share that waits", exact["p_wait"], 0.0),
        measures.share_waiting("share waiting > 30 min", exact["p_wait_gt_30min"], 0.5),
        measures.wait_of_waiting(exact["mean_wait_given_wait"]),
        measures.wait_quantile("95% of waits below", exact["p95_wait"], 0.95),
        measures.census_mean("mean queue", exact["mean_queue"], measures.waiting),
        measures.census_mean("utilisation", exact["utilisation"], measures.use_of(0)),
    )
    yield ExactCase(case["id"], scenario, found, **run)


def erlang_b(case: Case, **run: Any) -> Iterator[ExactCase]:
    """M/G/c/c: no queue, whatever the law of the service."""
    given_, exact = case["params"], case["expected"]
    mean = given_["service_mean"]
    laws: dict[str, Law] = {
        "exponential": Exponential(mean_hours=mean),
        "lognormal": Lognormal(mean_hours=mean, cv=1.2),
        "constant": Constant(hours=mean),
    }
    for name, law in laws.items():
        scenario = make_queue_scenario(
            name=f"{case['id']}_{name}",
            rates={"all": (given_["arrival_rate"],)},
            treatments=(law,),
            pools={"bed": given_["servers"]},
            waiting_room=0,
        )
        found = (
            measures.share_of("share turned away", exact["p_loss"], (Outcome.DIVERTED,)),
            measures.census_mean("mean busy", exact["mean_busy"], measures.in_care),
        )
        yield ExactCase(f"{case['id']} ({name})", scenario, found, **run)


def erlang_a(case: Case, **run: Any) -> Iterator[ExactCase]:
    """M/M/c+M: impatient patients."""
    given_, exact = case["params"], case["expected"]
    scenario = make_queue_scenario(
        name=case["id"],
        rates={"all": (given_["arrival_rate"],)},
        treatments=(_exponential(given_["service_rate"]),),
        pools={"server": given_["servers"]},
        patience=(_exponential(given_["patience_rate"]),),
    )
    found = (
        measures.share_of("share that leaves", exact["p_abandon"], (Outcome.LEFT,)),
        measures.mean_wait(exact["mean_wait_all"]),
        measures.share_waiting("share that waits", exact["p_wait"], 0.0),
        measures.census_mean("mean queue", exact["mean_queue"], measures.waiting),
        measures.census_mean("utilisation", exact["utilisation"], measures.use_of(0)),
    )
    yield ExactCase(case["id"], scenario, found, **run)


def many_classes(case: Case, rates: Sequence[float] | None, **run: Any) -> Iterator[ExactCase]:
    """M/M/c with classes, by strict priority or by accumulating priority at given rates."""
    given_, exact = case["params"], case["expected"]
    waits = exact["mean_wait"] if "mean_wait" in exact else exact["optimal_mean_wait"]
    scenario = make_queue_scenario(
        name=case["id"],
        rates={"all": given_["arrival_rates"]},
        treatments=(_exponential(given_["service_rate"]),) * len(waits),
        pools={"server": given_["servers"]},
    )
    found = tuple(measures.mean_wait(wait, k) for k, wait in enumerate(waits))
    overall = exact.get("mean_wait_overall")
    if overall is not None:
        found += (measures.mean_wait(overall),)
    rule: Rule = "strict_acuity" if rates is None else accumulating(rates)
    yield ExactCase(case["id"], scenario, found, rule, **run)


def accumulating(rates: Sequence[float]) -> Rule:
    """Return what makes the rule with these slopes and no intercepts."""
    slopes = np.array(rates, dtype=np.float64)
    return lambda _: IndexRule("accumulating priority", np.zeros_like(slopes), slopes)


def in_order(order: str) -> Rule:
    """Return what makes the strict priority order, e.g. ``213``: class 2 first."""

    def make(compiled: CompiledScenario) -> IndexRule:
        ranks = np.array([order.index(str(k + 1)) for k in range(compiled.num_classes)])
        return IndexRule(f"order {order}", -1e6 * ranks, np.ones(compiled.num_classes))

    return make


def pollaczek_khinchine(case: Case, **run: Any) -> Iterator[ExactCase]:
    """M/G/1 with lognormal service, given by mean and CV and by mu and sigma."""
    given_, exact = case["params"], case["expected"]
    scenario = make_queue_scenario(
        name=case["id"],
        rates={"all": (given_["arrival_rate"],)},
        treatments=(Lognormal(mean_hours=given_["service_mean"], cv=given_["service_cv"]),),
        pools={"server": 1},
    )
    found = (
        measures.mean_wait(exact["mean_wait"]),
        measures.share_waiting("share that waits", exact["p_wait"], 0.0),
        measures.census_mean("mean queue", exact["mean_queue"], measures.waiting),
    )
    yield ExactCase(case["id"], scenario, found, **run)


def infinite_servers(
    case: Case, hourly_rates: Sequence[float], laws: dict[str, Law], **run: Any
) -> Iterator[ExactCase]:
    """M_t/G/infinity: patients present at hours of the day."""
    exact = case["expected"]
    per_day = sum(hourly_rates)
    for name, law in laws.items():
        scenario = make_queue_scenario(
            name=f"{case['id']}_{name}",
            rates={"all": (per_day / 24,)},
            treatments=(law,),
            pools={"server": 1000},
            hourly_share=[rate / per_day for rate in hourly_rates],
        )
        occupancy = exact.get(f"mean_occupancy_{name}", exact.get("mean_occupancy"))
        exact_case = ExactCase(f"{case['id']} ({name})", scenario, (), census_hours=1.0, **run)
        days = exact_case.episodes * exact_case.horizon_hours / 24
        found = tuple(
            measures.at_hour("present", mean, hour, measures.in_care, 4 * math.sqrt(mean / days))
            for hour, mean in zip(exact["hours"], occupancy, strict=True)
        )
        yield replace(exact_case, measures=found)


def control(case: Case, **run: Any) -> Iterator[ExactCase]:
    """M/M/1 with holding costs: every strict order; the c-mu order is the optimum."""
    exact, scenario = case["expected"], control_scenario(case)
    best = exact["optimal_order"]
    for order, answer in exact["orders"].items():
        found = tuple(measures.mean_wait(wait, k) for k, wait in enumerate(answer["wait"]))
        if order == best:
            found += (
                Measure(
                    "cost per hour of waiting",
                    answer["cost_queue"],
                    0.02 * answer["cost_queue"],
                    estimate=_cost_rate,
                ),
            )
        yield ExactCase(f"{case['id']} (order {order})", scenario, found, in_order(order), **run)


def average_control(case: Case, **run: Any) -> Iterator[ExactCase]:
    """Two classes on an M/M/1: cost per hour of waiting and care under both orders.

    Care costs ``c_k lambda_k / mu_k`` per hour whatever the order; the log has the waiting.
    """
    given_, exact = case["params"], case["expected"]
    rates, speeds, costs = (
        np.array(given_[name]) for name in ("arrival_rates", "service_rates", "holding_costs")
    )
    scenario = control_scenario(case)
    best = exact["optimal_order"]
    answers = {best: exact["optimal_cost_rate"], best[::-1]: exact["other_order_cost_rate"]}
    care = float((costs * rates / speeds).sum())
    for order, answer in answers.items():
        found = Measure(
            "cost per hour",
            answer,
            0.02 * answer,
            estimate=lambda log: _cost_rate(log) + care,
        )
        yield ExactCase(f"{case['id']} (order {order})", scenario, (found,), in_order(order), **run)


def control_scenario(case: Case) -> Scenario:
    """An M/M/1 whose classes cost differently per hour of waiting."""
    given_ = case["params"]
    return make_queue_scenario(
        name=case["id"],
        rates={"all": given_["arrival_rates"]},
        treatments=[_exponential(rate) for rate in given_["service_rates"]],
        pools={"server": 1},
        costs_per_hour=given_["holding_costs"],
        waiting_room=given_.get("waiting_room", 10_000),
    )


def _cost_rate(log: PatientLog) -> Float64:
    """Cost of everybody who arrived, per hour of the window, [episodes]."""
    totals = np.bincount(log.episode, weights=log.cost, minlength=log.episodes)
    return np.asarray(totals / log.horizon_hours, dtype=np.float64)


def trunk_reservation(case: Case, **run: Any) -> Iterator[ExactCase]:
    """Two classes and no queue: who is not started at once is lost, some beds held back."""
    given_, exact = case["params"], case["expected"]
    gains = given_["rewards_on_admission"]
    scenario = make_queue_scenario(
        name=case["id"],
        rates={"all": given_["arrival_rates"]},
        treatments=(_exponential(given_["service_rate"]),) * 2,
        pools={"bed": given_["servers"]},
        # Who fits but is held back gives up at once.
        patience=(None, Constant(hours=AT_ONCE_HOURS)),
        waiting_room=0,
    )
    lost = (Outcome.DIVERTED, Outcome.LEFT)

    def reward_rate(log: PatientLog) -> Float64:
        gain = np.array(gains)[log.type] * (log.outcome == Outcome.SERVED)
        totals = np.bincount(log.episode, weights=gain, minlength=log.episodes)
        return np.asarray(totals / log.horizon_hours, dtype=np.float64)

    for answer in exact["by_threshold"]:
        kept = int(answer["reserved"])
        found = (
            Measure(
                "reward per hour",
                answer["reward_rate"],
                0.01 * answer["reward_rate"],
                estimate=reward_rate,
            ),
            measures.share_of(
                "share lost, class 1",
                answer["loss1"],
                lost,
                0,
                largest_error=0.01 if answer["loss1"] > 0.01 else 0.016,
            ),
            measures.share_of("share lost, class 2", answer["loss2"], lost, 1),
        )
        name = f"{case['id']} ({kept} held back)"
        # The rarer a loss, the longer it takes to know its share.
        hours = EVENTS_FOR_A_SHARE / (answer["loss1"] * given_["arrival_rates"][0])
        run["horizon_hours"] = min(hours, LONGEST_HOURS)
        yield ExactCase(name, scenario, found, holding_back(kept), **run)


def holding_back(units: int) -> Rule:
    """Return what makes FCFS with units held back from the second class."""

    def make(_: CompiledScenario) -> IndexRule:
        reserve = np.array([[0], [units]], dtype=np.int64)
        return DispatchRule("reservation", np.zeros(2), np.ones(2), reserve=reserve)

    return make


def tandem(case: Case, **run: Any) -> Iterator[ExactCase]:
    """An emergency department that feeds a ward: who boards keeps his bed."""
    given_, exact = case["params"], case["expected"]
    ward = Stage(
        name="ward",
        options=(CareOption(name="own", needs=given({"ward_bed": 1})),),
        stay=given(_exponential(given_["ward_service_rate"])),
        waiting_cost_per_hour=given(1.0),
    )
    admit = Route(origin="ed", destination="ward", probability=given({"all": (given_["p_admit"],)}))
    scenario = make_queue_scenario(
        name=case["id"],
        rates={"all": (given_["arrival_rate"],)},
        treatments=(_exponential(given_["ed_service_rate"]),),
        pools={"ed_bed": given_["ed_beds"], "ward_bed": given_["ward_beds"]},
        needs=({"ed_bed": 1},),
        waiting_room=given_["ed_places_total"] - given_["ed_beds"],
        stages=(ward,),
        routes=(admit,),
    )
    full = lambda census: (census.used[:, :, 1] == given_["ward_beds"]) * 1.0  # noqa: E731
    found = (
        measures.share_of("share turned away", exact["p_loss"], (Outcome.DIVERTED,)),
        measures.census_mean("mean boarders", exact["mean_boarders"], measures.boarding),
        measures.census_mean("mean queue", exact["mean_queue"], measures.waiting),
        measures.mean_accepted_wait(exact["mean_wait_accepted"]),
        measures.census_mean(
            "share of time ward full", exact["p_board_needed_time_avg_ward_full"], full
        ),
        measures.census_mean("use of ward", exact["ward_utilisation"], measures.use_of(1)),
        measures.census_mean("use of ED beds", exact["ed_bed_utilisation"], measures.use_of(0)),
        Measure(
            "boarding per admission",
            exact["mean_boarding_time_per_admission"],
            0.02 * exact["mean_boarding_time_per_admission"],
            estimate=boarding_per_admission,
        ),
    )
    yield ExactCase(case["id"], scenario, found, census_hours=1.0, **run)


def boarding_per_admission(log: PatientLog) -> Float64:
    """Mean boarding time of those who went on to a ward, [episodes]."""
    assert log.courses is not None  # noqa: S101 - the case has a ward
    course = log.courses
    admitted = ~np.isnan(course.ed_hours) & ~(course.end_hours == course.ed_hours)
    return measures.mean_over(log, course.boarding_hours, admitted)


def product_form(case: Case, **run: Any) -> Iterator[ExactCase]:
    """Beds and nurses taken together, all or nothing, no queue."""
    given_, names = case["params"], case["params"]["resource_names"]
    exact = case["expected"]
    scenario = make_queue_scenario(
        name=case["id"],
        rates={"all": given_["arrival_rates"]},
        treatments=tuple(Exponential(mean_hours=mean) for mean in given_["service_mean_h"]),
        pools=dict(zip(names, given_["capacities"], strict=True)),
        needs=[dict(zip(names, need, strict=True)) for need in given_["needs"]],
        waiting_room=0,
    )
    found = (
        *(
            measures.share_of(f"share turned away, class {k + 1}", loss, (Outcome.DIVERTED,), k)
            for k, loss in enumerate(exact["p_loss"])
        ),
        *(
            measures.census_mean(f"{names[p]}s in use", use, measures.units_of(p))
            for p, use in enumerate(exact["mean_use"])
        ),
    )
    yield ExactCase(case["id"], scenario, found, **run)


def shift_change(case: Case, **run: Any) -> Iterator[ExactCase]:
    """Fewer staff by night; care that runs when a shift ends is finished."""
    given_, exact = case["params"], case["expected"]
    day, night = given_["capacity_day"], given_["capacity_night"]
    plan = [day if given_["day_start"] <= h < given_["day_end"] else night for h in range(24)]
    scenario = make_queue_scenario(
        name=case["id"],
        rates={"all": (given_["arrival_rate"],)},
        treatments=(_exponential(given_["service_rate"]),),
        pools={"staff": day},
        plans={"staff": plan},
    )
    by_hour = zip(exact["hours"], exact["mean_queue"], exact["mean_busy"], strict=True)
    found = [measures.mean_wait(exact["mean_wait"])]
    for hour, queue, busy in by_hour:
        found.append(measures.at_hour("queue", queue, hour, measures.waiting, 0.02 * queue))
        found.append(measures.at_hour("busy", busy, hour, measures.in_care, 0.02 * busy))
    yield ExactCase(case["id"], scenario, tuple(found), census_hours=1.0, **run)


def sine_rates() -> list[float]:
    """Mean over each hour of 6 (1 + 0.6 sin(2 pi t / 24))."""
    turn = 2 * math.pi / 24
    return [
        6 * (1 + 0.6 * (math.cos(turn * h) - math.cos(turn * (h + 1))) / turn) for h in range(24)
    ]


def _sine(case: Case) -> Iterator[ExactCase]:
    mean, cv = case["params"]["service_mean"], case["params"]["service_cv"]
    laws: dict[str, Law] = {
        "lognormal": Lognormal(mean_hours=mean, cv=cv),
        "exponential": Exponential(mean_hours=mean),
    }
    yield from infinite_servers(
        case, sine_rates(), laws, warmup_hours=96, horizon_hours=24 * 125, episodes=40
    )


def _profile(case: Case) -> Iterator[ExactCase]:
    mean, cv = case["params"]["service_mean"], case["params"]["service_cv"]
    laws: dict[str, Law] = {"lognormal": Lognormal(mean_hours=mean, cv=cv)}
    rates = case["params"]["hourly_rates"]
    yield from infinite_servers(
        case, rates, laws, warmup_hours=96, horizon_hours=24 * 125, episodes=40
    )


FAMILIES: dict[str, Callable[[Case], Iterator[ExactCase]]] = {
    "mmc_small": lambda case: erlang_c(
        case, warmup_hours=200, horizon_hours=4000, runs=4, census_hours=1.0
    ),
    "mmc_ed": lambda case: erlang_c(
        case, warmup_hours=300, horizon_hours=11_000, runs=4, census_hours=2.0
    ),
    "mm1": lambda case: erlang_c(
        case, warmup_hours=500, horizon_hours=45_000, runs=2, census_hours=4.0
    ),
    "erlang_b_icu": lambda case: erlang_b(
        case, warmup_hours=1000, horizon_hours=180_000, census_hours=24.0
    ),
    "erlang_a_overload": lambda case: erlang_a(
        case, warmup_hours=50, horizon_hours=2500, census_hours=1.0
    ),
    "cobham_mmc_3class": lambda case: many_classes(
        case, None, warmup_hours=300, horizon_hours=8000, runs=4
    ),
    "pk_lognormal_cv1_5": lambda case: pollaczek_khinchine(
        case, warmup_hours=500, horizon_hours=80_000, runs=2, census_hours=4.0
    ),
    "apq_mm1_3class": lambda case: many_classes(
        case, case["params"]["accumulation_rates"], warmup_hours=1000, horizon_hours=75_000, runs=2
    ),
    "mt_g_inf_sine": _sine,
    "mt_g_inf_hourly_profile": _profile,
    "cmu_mm1_nonpreemptive": lambda case: control(
        case, warmup_hours=500, horizon_hours=50_000, runs=2
    ),
    "cmu_2class_average_and_discounted": lambda case: average_control(
        case, warmup_hours=1000, horizon_hours=60_000, runs=2
    ),
    "trunk_reservation": lambda case: trunk_reservation(case, warmup_hours=50),
    "group_robust_mm1": lambda case: many_classes(
        case,
        case["expected"]["apq_rates_achieving_it"],
        warmup_hours=1000,
        horizon_hours=50_000,
        runs=2,
    ),
    "boarding_tandem": lambda case: tandem(case, warmup_hours=500, horizon_hours=33_000, runs=2),
    "beds_and_nurses_product_form": lambda case: product_form(
        case, warmup_hours=100, horizon_hours=8000, census_hours=2.0
    ),
    "shift_change_finish_in_progress": lambda case: shift_change(
        case, warmup_hours=96, horizon_hours=24 * 1700, runs=4
    ),
}
