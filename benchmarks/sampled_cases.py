"""Exact cases that need more than a log: discounting in the environment, and a trace of events."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.queue_cases import Case, ExactCase, control_scenario, exact_cases, load_cases
from benchmarks.queue_measures import Answer
from grpo.environments.hospital.event_trace import EVENT_NAMES, EventTrace, trace_episode
from grpo.environments.hospital.physics.state import NOW
from grpo.environments.hospital.queue_scenarios import make_queue_scenario
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.scenario import (
    Constant,
    Exponential,
    Scenario,
    compile_scenario,
)
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class SampledCase:
    """A case with its own way of sampling.

    Attributes:
        name: id of the case, with the order where it has several.
        scenario: the problem.
        measures: what is compared.
        sample: from a first seed to independent estimates per measure.
    """

    name: str
    scenario: Scenario
    measures: tuple[Answer, ...]
    sample: Callable[[int], list[Float64]]

    def run(self, first_seed: int = 0) -> list[Float64]:
        """Return per measure independent estimates."""
        return self.sample(first_seed)


def every_case() -> list[ExactCase | SampledCase]:
    """Return every case of the file."""
    cases = load_cases()
    return [
        *exact_cases(),
        *discounted_control(cases["cmu_2class_average_and_discounted"]),
        *deterioration(cases["deterioration_no_service"]),
    ]


def discounted_control(case: Case, *, batches: int = 20, size: int = 1000) -> Iterator[SampledCase]:
    """Two classes on an M/M/1 from empty: discounted cost of waiting and care, by order.

    Waiting is what the environment's head pays, discounted inside and between its steps. A start of
    class k at t adds the expected discounted cost of care, c_k exp(-beta t) / (mu_k + beta).
    """
    given, exact = case["params"], case["expected"]
    name = f"{case['id']}_from_empty"
    small = {**case, "id": name, "params": {**given, "waiting_room": 200}}
    scenario = control_scenario(small)
    for order in ("21", "12"):
        answer = exact[f"discounted_cost_from_empty_order{order}"]
        yield SampledCase(
            f"{case['id']} (order {order}, discounted)",
            scenario,
            (Answer("discounted cost from empty", answer, 0.02 * answer),),
            lambda seed, order=order: [  # type: ignore[misc]
                np.concatenate(
                    [_discounted(small, scenario, order, seed + n, size) for n in range(batches)]
                )
            ],
        )


def _discounted(case: Case, scenario: Scenario, order: str, seed: int, size: int) -> Float64:
    """Return one discounted cost per hospital, [size]."""
    given = case["params"]
    beta = given["discount_rate_per_hour"]
    per_start = np.array(given["holding_costs"]) / (np.array(given["service_rates"]) + beta)
    compiled = compile_scenario(scenario)
    environment = HospitalVectorEnvironment(
        compiled,
        size,
        np.ones((1, compiled.num_types)),
        half_life_hours=math.log(2) / beta,
        burn_in=False,
        horizon_hours=case["simulate"]["horizon_h"],
    )
    _, masks = environment.reset(seed)
    ranks = [int(k) - 1 for k in order]
    costs, live = np.zeros(size), np.ones(size, dtype=np.bool_)
    weight = np.exp(-beta * environment.state.clock[:, NOW])
    while live.any():
        actions = np.where(masks[:, ranks[0]], ranks[0], ranks[1])
        actions = np.where(masks[:, :-1].any(axis=1), actions, compiled.hold_action)
        starts = live & (actions < compiled.hold_action)
        costs[starts] += weight[starts] * per_start[actions[starts]]
        transition = environment.step(actions)
        costs -= weight * transition.head_rewards[:, 0]
        weight = weight * transition.discounts
        masks, live = transition.action_masks, ~transition.truncated
    return costs


def deterioration(case: Case, *, episodes: int = 20) -> Iterator[SampledCase]:
    """Nobody is ever served: getting worse against leaving, 10,000 patients per episode."""
    given, exact = case["params"], case["expected"]
    scenario = make_queue_scenario(
        name=case["id"],
        rates={"all": (0.0, 50.0)},
        # The first patient takes the only server for ever.
        treatments=(Constant(hours=1e6),) * 2,
        pools={"server": 1},
        patience=(Exponential(mean_hours=1 / given["patience_rate"]),) * 2,
        deterioration_per_hour=(0.0, given["deterioration_rate"]),
        waiting_room=5_000,
    )
    compiled = compile_scenario(scenario)
    names = (
        "p_deteriorate_before_leaving",
        "mean_time_to_first_event",
        "p_still_waiting_unchanged_at_8h",
    )
    answers = tuple(Answer(name, exact[name], 0.005) for name in names)

    def sample(seed: int) -> list[Float64]:
        rule = make_rule("fcfs", compiled)
        traces = (
            trace_episode(compiled, rule, seed=seed, episode=n, horizon_hours=450.0)
            for n in range(episodes)
        )
        return list(np.array([_first_events(trace, 200.0) for trace in traces]).T)

    yield SampledCase(case["id"], scenario, answers, sample)


def _first_events(trace: EventTrace, until: float) -> tuple[float, float, float]:
    """Read, of those who came before ``until``, what happened to them first and when."""
    kinds = [EVENT_NAMES.index(name) for name in ("arrived", "worsened", "left")]
    arrived, worsened, left = (trace.kind == kind for kind in kinds)
    came = np.full(trace.patient.max() + 1, np.inf)
    came[trace.patient[arrived]] = trace.hours[arrived]
    first = np.full(len(came), np.inf)
    for event in (left, worsened):
        first[trace.patient[event]] = np.minimum(first[trace.patient[event]], trace.hours[event])
    worse = np.zeros(len(came), dtype=np.bool_)
    worse[trace.patient[worsened]] = True
    judged = (came < until) & (np.arange(len(came)) > 0)
    hours = (first - came)[judged]
    return float(worse[judged].mean()), float(hours.mean()), float((hours > 8.0).mean())
