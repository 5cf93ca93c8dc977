"""The simulator against exact answers, and its speed: ``python -m benchmarks.simulator``.

The table of exact cases is also a test (``tests/grpo/hospital/test_exact_queues.py``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.dispatch_rules import IndexRule, make_rule
from grpo.environments.hospital.scenario import (
    Constant,
    Exponential,
    Lognormal,
    Scenario,
    compile_scenario,
    list_scenarios,
    load_scenario,
    make_queue_scenario,
)
from grpo.environments.hospital.scenario_model import Law
from grpo.environments.hospital.simulate import Outcome, PatientLog, simulate
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment
from grpo.environments.hospital.warm import warm

CASES = Path(__file__).resolve().parent.parent / "tests" / "data" / "queue_cases.json"
EPISODES = 40

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """One number of a case: its exact value, and how each episode estimates it.

    Attributes:
        name: what it is.
        exact: the answer of queueing theory.
        largest_error: a standard error above this says too little.
        estimate: from a log to one estimate per episode, [episodes].
    """

    name: str
    exact: float
    largest_error: float
    estimate: Callable[[PatientLog], Float64]


@dataclass(frozen=True)
class ExactCase:
    """A queueing problem, how it is run, and what must come out.

    Attributes:
        name: id of the case, with the law where it has several.
        scenario: the problem.
        rule: name of the rule, or slopes of an accumulating priority.
        warmup_hours: hours before the window.
        horizon_hours: judged hours per episode.
        seeds: runs of 40 episodes each, a part of the memory at a time.
        measures: what is compared.
    """

    name: str
    scenario: Scenario
    rule: str | tuple[float, ...]
    warmup_hours: float
    horizon_hours: float
    seeds: int
    measures: tuple[Measure, ...]

    def run(self) -> list[Float64]:
        """Simulate; return per measure one estimate per episode, all seeds together."""
        compiled = compile_scenario(self.scenario, hold=False)
        if isinstance(self.rule, str):
            rule = make_rule(self.rule, compiled)
        else:
            slopes = np.array(self.rule, dtype=np.float64)
            rule = IndexRule("accumulating priority", np.zeros_like(slopes), slopes)
        parts = []
        for seed in range(self.seeds):
            log = simulate(
                compiled,
                rule,
                episodes=EPISODES,
                seed=seed,
                warmup_hours=self.warmup_hours,
                horizon_hours=self.horizon_hours,
            )
            parts.append([measure.estimate(log) for measure in self.measures])
        return list(np.concatenate(parts, axis=1))


def mean_over(log: PatientLog, values: NDArray[Any], chosen: NDArray[np.bool_]) -> Float64:
    """Average values per episode over the chosen patients, [episodes]."""
    episode = log.episode[chosen]
    sums = np.bincount(episode, weights=values[chosen].astype(float), minlength=log.episodes)
    return np.asarray(sums / np.bincount(episode, minlength=log.episodes), dtype=np.float64)


def mean_wait(exact: float, error: float, k: int | None = None) -> Measure:
    """Mean time to the start of care, or to leaving, of class k or of everybody."""
    name = "mean wait" if k is None else f"mean wait, class {k + 1}"
    return Measure(
        name, exact, error * exact, lambda log: mean_over(log, log.wait_hours, _of(log, k))
    )


def share_waiting(name: str, exact: float, error: float, hours: float) -> Measure:
    """Share of arrivals that wait longer than so many hours."""
    return Measure(
        name, exact, error, lambda log: mean_over(log, log.wait_hours > hours, _of(log, None))
    )


def share_of(
    name: str, exact: float, error: float, outcome: Outcome, k: int | None = None
) -> Measure:
    """Share of the arrivals of class k, or of all, with that outcome."""
    return Measure(
        name, exact, error, lambda log: mean_over(log, log.outcome == outcome, _of(log, k))
    )


def _of(log: PatientLog, k: int | None) -> NDArray[np.bool_]:
    return np.ones(len(log.type), dtype=np.bool_) if k is None else np.asarray(log.type == k)


def exact_cases() -> list[ExactCase]:
    """Return every case that this simulator must meet."""
    stored = json.loads(CASES.read_text(encoding="utf-8"))["cases"]
    cases = {case["id"]: case for case in stored}
    return [
        _erlang_c(cases["mmc_small"]),
        _erlang_a(cases["erlang_a_overload"]),
        _cobham(cases["cobham_mmc_3class"]),
        _accumulating(cases["apq_mm1_3class"]),
        _pollaczek_khinchine(cases["pk_lognormal_cv1_5"]),
        *_erlang_b(cases["erlang_b_icu"]),
        _product_form(cases["beds_and_nurses_product_form"]),
    ]


def _erlang_c(case: dict[str, Any]) -> ExactCase:
    given, exact = case["params"], case["expected"]
    scenario = make_queue_scenario(
        rates={"all": (given["arrival_rate"],)},
        treatments=(Exponential(mean_hours=1 / given["service_rate"]),),
        pools={"server": given["servers"]},
    )
    measures = (
        mean_wait(exact["mean_wait"], 0.012),
        share_waiting("share that waits", exact["p_wait"], 0.003, 0.0),
        share_waiting("share waiting > 30 min", exact["p_wait_gt_30min"], 0.003, 0.5),
    )
    return ExactCase(case["id"], scenario, "fcfs", 120, 2500, 4, measures)


def _erlang_a(case: dict[str, Any]) -> ExactCase:
    given, exact = case["params"], case["expected"]
    scenario = make_queue_scenario(
        rates={"all": (given["arrival_rate"],)},
        treatments=(Exponential(mean_hours=1 / given["service_rate"]),),
        pools={"server": given["servers"]},
        patience=(Exponential(mean_hours=1 / given["patience_rate"]),),
    )
    measures = (
        share_of("share that leaves", exact["p_abandon"], 0.002, Outcome.LEFT),
        mean_wait(exact["mean_wait_all"], 0.01),
        share_waiting("share that waits", exact["p_wait"], 0.003, 0.0),
    )
    return ExactCase(case["id"], scenario, "fcfs", 50, 2500, 1, measures)


def _cobham(case: dict[str, Any]) -> ExactCase:
    given, exact = case["params"], case["expected"]
    scenario = make_queue_scenario(
        rates={"all": given["arrival_rates"]},
        treatments=(Exponential(mean_hours=1 / given["service_rate"]),) * 3,
        pools={"server": given["servers"]},
    )
    by_class = (mean_wait(wait, 0.02, k) for k, wait in enumerate(exact["mean_wait"]))
    measures = (*by_class, mean_wait(exact["mean_wait_overall"], 0.02))
    return ExactCase(case["id"], scenario, "strict_acuity", 300, 4000, 3, measures)


def _accumulating(case: dict[str, Any]) -> ExactCase:
    given, exact = case["params"], case["expected"]
    scenario = make_queue_scenario(
        rates={"all": given["arrival_rates"]},
        treatments=(Exponential(mean_hours=1 / given["service_rate"]),) * 3,
        pools={"server": given["servers"]},
    )
    measures = tuple(mean_wait(wait, 0.025, k) for k, wait in enumerate(exact["mean_wait"]))
    slopes = tuple(given["accumulation_rates"])
    return ExactCase(case["id"], scenario, slopes, 1000, 20_000, 2, measures)


def _pollaczek_khinchine(case: dict[str, Any]) -> ExactCase:
    given, exact = case["params"], case["expected"]
    scenario = make_queue_scenario(
        rates={"all": (given["arrival_rate"],)},
        treatments=(Lognormal(mean_hours=given["service_mean"], cv=given["service_cv"]),),
        pools={"server": 1},
    )
    measures = (
        mean_wait(exact["mean_wait"], 0.02),
        share_waiting("share that waits", exact["p_wait"], 0.002, 0.0),
    )
    return ExactCase(case["id"], scenario, "fcfs", 500, 50_000, 1, measures)


def _erlang_b(case: dict[str, Any]) -> list[ExactCase]:
    given = case["params"]
    mean = given["service_mean"]
    laws: dict[str, Law] = {
        "exponential": Exponential(mean_hours=mean),
        "lognormal": Lognormal(mean_hours=mean, cv=1.2),
        "constant": Constant(hours=mean),
    }
    loss = share_of("share turned away", case["expected"]["p_loss"], 0.002, Outcome.DIVERTED)
    return [
        ExactCase(
            f"{case['id']} ({name})",
            make_queue_scenario(
                rates={"all": (given["arrival_rate"],)},
                treatments=(law,),
                pools={"bed": given["servers"]},
                waiting_room=0,
            ),
            "fcfs",
            1000,
            30_000,
            1,
            (loss,),
        )
        for name, law in laws.items()
    ]


def _product_form(case: dict[str, Any]) -> ExactCase:
    given, names = case["params"], case["params"]["resource_names"]
    scenario = make_queue_scenario(
        rates={"all": given["arrival_rates"]},
        treatments=tuple(Exponential(mean_hours=mean) for mean in given["service_mean_h"]),
        pools=dict(zip(names, given["capacities"], strict=True)),
        needs=[dict(zip(names, need, strict=True)) for need in given["needs"]],
        waiting_room=0,
    )
    measures = tuple(
        share_of(f"share turned away, class {k + 1}", loss, 0.003, Outcome.DIVERTED, k)
        for k, loss in enumerate(case["expected"]["p_loss"])
    )
    return ExactCase(case["id"], scenario, "fcfs", 100, 5000, 1, measures)


def print_exact_cases() -> None:
    """Print estimate, standard error and exact value of every measure."""
    print(f"{'case':32} {'measure':28} {'exact':>9} {'estimate':>9} {'error':>8} {'in errors':>9}")
    for case in exact_cases():
        for measure, samples in zip(case.measures, case.run(), strict=True):
            error = samples.std(ddof=1) / np.sqrt(len(samples))
            off = (samples.mean() - measure.exact) / error
            print(
                f"{case.name:32} {measure.name:28} {measure.exact:9.5f} {samples.mean():9.5f} "
                f"{error:8.5f} {off:9.1f}"
            )


def measure_patients_per_minute(name: str, rule: str) -> float:
    """Return the millions of patients that one core simulates in a minute under a rule."""
    compiled = compile_scenario(load_scenario(name))
    index_rule = make_rule(rule, compiled)
    rates = []
    for seed in range(5):
        start = time.perf_counter()
        log = simulate(
            compiled, index_rule, episodes=64, seed=seed, warmup_hours=0, horizon_hours=1000
        )
        rates.append(len(log.type) / (time.perf_counter() - start) * 60 / 1e6)
    return float(np.median(rates))


def measure_decisions_per_second(name: str, num_envs: int = 1024, steps: int = 200) -> float:
    """Return the millions of decisions per second of a batch, random actions, with observations."""
    compiled = compile_scenario(load_scenario(name))
    environment = HospitalVectorEnvironment(compiled, num_envs, np.ones((4, compiled.num_types)))
    _, masks = environment.reset(1)
    generator = np.random.default_rng(0)
    seconds = 0.0
    for _ in range(steps):
        actions = (generator.random(masks.shape) * masks).argmax(axis=1)
        start = time.perf_counter()
        masks = environment.step(actions).action_masks
        seconds += time.perf_counter() - start
    return num_envs * steps / seconds / 1e6


def main() -> None:
    """Print the exact cases, then the speeds."""
    start = time.perf_counter()
    warm()
    print(f"kernels ready after {time.perf_counter() - start:.1f} s\n")
    print_exact_cases()
    print()
    for name in list_scenarios():
        for rule in ("fcfs", "c_mu"):
            speed = measure_patients_per_minute(name, rule)
            print(f"{name}, {rule}: {speed:.0f} million patients/min, one core")
        speed = measure_decisions_per_second(name)
        print(f"{name}, 1,024 at once: {speed:.2f} million decisions/s, one core")


if __name__ == "__main__":
    main()
