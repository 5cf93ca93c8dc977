"""What is replicated: an A/A simulation, in which two arms are the same rule on other patients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from grpo.environments.hospital.model.scenario_model import Exponential
from grpo.environments.hospital.queue_scenarios import make_queue_scenario
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.scenario import compile_scenario
from grpo.environments.hospital.simulate import PatientLog, simulate

EXPERIMENTS, REPLICATIONS = 300, 10


@pytest.fixture(scope="module")
def log() -> PatientLog:
    """One server, 90% busy, first come first served: 6,000 episodes of about 86 patients."""
    scenario = make_queue_scenario(
        rates={"all": (0.9,)},
        treatments=[Exponential(kind="exponential", mean_hours=1.0)],
        pools={"server": 1},
        waiting_room=500,
    )
    compiled = compile_scenario(scenario)
    return simulate(
        compiled,
        make_rule("fcfs", compiled),
        episodes=2 * EXPERIMENTS * REPLICATIONS,
        seed=20,
        warmup_hours=96,
        horizon_hours=96,
    )


def false_positives(log: PatientLog, *, pooled: bool) -> float:
    """Share of experiments in which a t-test at 5% tells two equal arms apart."""
    found = 0.0
    places = np.searchsorted(log.episode, np.arange(log.episodes + 1))
    for experiment in range(EXPERIMENTS):
        first = 2 * REPLICATIONS * experiment
        arms = []
        for arm in range(2):
            start = first + arm * REPLICATIONS
            if pooled:
                arms.append(log.wait_hours[places[start] : places[start + REPLICATIONS]])
            else:
                each = np.split(log.wait_hours, places[start : start + REPLICATIONS + 1])[1:-1]
                arms.append(np.array([waits.mean() for waits in each]))
        found += float(stats.ttest_ind(*arms).pvalue < 0.05)
    return found / EXPERIMENTS


def test_tests_on_pooled_patients_find_differences_that_do_not_exist(log: PatientLog) -> None:
    """Patients of one queue wait alike: about 8 in 10 tests on pooled patients are false alarms.

    Three binomial standard errors of 300 experiments at .8 are .07.
    """
    assert 0.7 <= false_positives(log, pooled=True) <= 0.95


def test_tests_on_means_of_replications_keep_their_level(log: PatientLog) -> None:
    """.05 +- 3 sqrt(.05 * .95 / 300) = .012 to .088."""
    assert 0.012 <= false_positives(log, pooled=False) <= 0.088
