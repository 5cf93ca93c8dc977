"""The simulator against queueing theory: |estimate - exact| <= max(4 standard errors, tolerance).

Episodes are independent replications, so the standard error of a mean over episodes is that of
independent numbers; it must be below 1% of the exact value (1.6%
where that is a share below 1%).
The run lengths of a case do not depend on what comes out.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.queue_cases import SCENARIOS, ExactCase, exact_cases, load_cases
from benchmarks.sampled_cases import SampledCase, every_case
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.scenario import (
    Constant,
    Scenario,
    compile_scenario,
    make_queue_scenario,
)
from grpo.environments.hospital.simulate import simulate

CASES = every_case()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_simulator_meets_the_exact_answer(case: ExactCase | SampledCase) -> None:
    for measure, samples in zip(case.measures, case.run(), strict=True):
        assert len(samples) >= 20
        error = samples.std(ddof=1) / np.sqrt(len(samples))
        assert error <= measure.largest_error * measure.exact, f"{measure.name}: {error:.3g}"
        assert abs(samples.mean() - measure.exact) <= max(4 * error, measure.tolerance), (
            f"{measure.name}: {samples.mean():.6g} +- {error:.2g}, exact {measure.exact:.6g}"
        )


def test_every_stored_case_is_run() -> None:
    run = {case.name.split(" ")[0] for case in CASES}
    assert run == set(load_cases())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_scenario_file_of_a_case_says_what_is_run(case: ExactCase | SampledCase) -> None:
    path = SCENARIOS / f"{case.scenario.name}.json"
    assert Scenario.model_validate_json(path.read_text(encoding="utf-8")) == case.scenario


def test_presence_in_an_infinite_server_queue_is_poisson() -> None:
    """Variance equals mean: with 5,000 days the ratio has standard error 0.02."""
    case = next(case for case in exact_cases() if case.name == "mt_g_inf_sine (lognormal)")
    compiled = compile_scenario(case.scenario)
    log = simulate(
        compiled,
        make_rule("fcfs", compiled),
        episodes=case.episodes,
        seed=7,
        warmup_hours=case.warmup_hours,
        horizon_hours=case.horizon_hours,
        census_every_hours=3.0,
    )
    assert log.census is not None
    for hour in range(0, 24, 3):
        present = log.census.in_care[:, np.round(log.census.hours) % 24 == hour]
        assert 0.93 <= present.var() / present.mean() <= 1.07


def test_arrivals_follow_the_hourly_profile() -> None:
    """Counts by hour of day are Poisson with the profile's mean: variance equals mean."""
    profile = np.concatenate([np.full(8, 0.02), np.full(8, 0.07), np.full(8, 0.035)])
    scenario = make_queue_scenario(
        rates={"all": (5.0,)},
        treatments=(Constant(hours=0.1),),
        pools={"server": 100},
        hourly_share=tuple(profile),
    )
    days = 2000
    compiled = compile_scenario(scenario)
    log = simulate(
        compiled,
        make_rule("fcfs", compiled),
        episodes=1,
        seed=5,
        warmup_hours=0,
        horizon_hours=24.0 * days,
    )
    counts = np.bincount(log.arrival_hours.astype(int), minlength=24 * days).reshape(days, 24)
    expected = 120 * profile
    assert np.all(np.abs(counts.mean(axis=0) - expected) <= 4 * np.sqrt(expected / days))
    # The variance of a sample variance of Poisson counts is about (2 m^2 + m) / days.
    spread = np.sqrt((2 * expected**2 + expected) / days)
    assert np.all(np.abs(counts.var(axis=0, ddof=1) - expected) <= 4.5 * spread)
