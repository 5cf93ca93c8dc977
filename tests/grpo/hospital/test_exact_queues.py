"""The simulator against queueing theory: |estimate - exact| <= 4 standard errors.

Episodes are independent replications, so the standard error of a mean over episodes is that of
independent numbers. Every measure also demands an error small enough to matter. A correct
simulator fails one check in 16,000.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.simulator import ExactCase, exact_cases
from grpo.environments.hospital.dispatch_rules import make_rule
from grpo.environments.hospital.scenario import Constant, compile_scenario, make_queue_scenario
from grpo.environments.hospital.simulate import simulate


@pytest.mark.parametrize("case", exact_cases(), ids=lambda case: case.name)
def test_the_simulator_meets_the_exact_answer(case: ExactCase) -> None:
    for measure, samples in zip(case.measures, case.run(), strict=True):
        assert len(samples) >= 20
        error = samples.std(ddof=1) / np.sqrt(len(samples))
        assert error <= measure.largest_error, f"{measure.name}: error {error:.3g} says too little"
        assert abs(samples.mean() - measure.exact) <= 4 * error, (
            f"{measure.name}: {samples.mean():.6g} +- {error:.2g}, exact {measure.exact:.6g}"
        )


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
